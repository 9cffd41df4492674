//! Asks the API without a network.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header::AUTHORIZATION},
    response::Response,
};
use serde_json::Value;
use tower::ServiceExt;

use super::router;
use crate::app::Application;

/// Of an answer.
const BYTES_MAX: usize = 16 << 20;

/// The status of the answer to a request without a body.
pub(super) async fn ask(
    application: &Application,
    method: &Method,
    path: &str,
    token: Option<&str>,
) -> StatusCode {
    answer(&router(application.clone()), method, path, token)
        .await
        .status()
}

/// The whole answer, of a router that was asked before.
pub(super) async fn answer(router: &Router, method: &Method, path: &str, token: Option<&str>) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).expect("a request");
    router.clone().oneshot(request).await.expect("it cannot fail")
}

/// Status and body of the answer to a request in JSON.
pub(super) async fn send(
    router: &Router,
    method: Method,
    path: &str,
    token: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::from(body.to_string()))
        .expect("a request");
    let answer = router.clone().oneshot(request).await.expect("it cannot fail");
    let status = answer.status();
    let bytes = to_bytes(answer.into_body(), BYTES_MAX)
        .await
        .expect("it is whole");
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}
