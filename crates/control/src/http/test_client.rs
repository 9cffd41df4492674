//! Asks the API without a network.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header::AUTHORIZATION},
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
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).expect("a request");
    let answer = router(application.clone()).oneshot(request).await;
    answer.expect("it cannot fail").status()
}
