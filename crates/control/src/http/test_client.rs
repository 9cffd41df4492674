//! Asks the API without a network.

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header::AUTHORIZATION},
    response::Response,
};
use tower::ServiceExt;

use super::router;
use crate::app::Application;

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
