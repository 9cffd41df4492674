//! Refusals as answers: the one place where statuses and error ids are chosen (`app-platform.md` b.2).

use axum::{
    Json,
    http::{StatusCode, header::ALLOW},
    response::{IntoResponse, Response},
};
use mainstay_api::{ErrorBody, ErrorId};
use mainstay_spec::SpecErrors;

use crate::app::Refusal;

#[derive(Debug)]
pub(crate) struct ApiError {
    body: Box<ErrorBody>,
    /// Methods that the resource has, for who asked with another.
    allow: Option<String>,
}

impl From<ErrorBody> for ApiError {
    fn from(body: ErrorBody) -> Self {
        Self {
            body: Box::new(body),
            allow: None,
        }
    }
}

impl ApiError {
    pub(crate) fn new(id: ErrorId, message: impl Into<String>) -> Self {
        ErrorBody::new(id, message).into()
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.body.id.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(
            ErrorId::NotFound,
            "The resource you requested could not be found.",
        )
    }

    pub(crate) fn unauthorized() -> Self {
        let message = "Unable to authenticate you: give the token as `Authorization: Bearer …`.";
        Self::new(ErrorId::Unauthorized, message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorId::Forbidden, message)
    }

    /// Of a token that is for one app.
    pub(crate) fn other_app() -> Self {
        Self::forbidden("this token is for another app only")
    }

    pub(crate) fn too_many_requests() -> Self {
        let message =
            "API rate limit exceeded: `retry-after` says in how many seconds it can be asked again.";
        Self::new(ErrorId::TooManyRequests, message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(ErrorId::MethodNotAllowed, "The resource has no such method.")
    }

    pub(crate) fn allowing(mut self, methods: String) -> Self {
        self.allow = Some(methods);
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorId::BadRequest, message)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Self::not_found(),
            Refusal::BadRequest(message) => Self::bad_request(message),
            Refusal::Conflict(message) => Self::new(ErrorId::Conflict, message),
            Refusal::Unprocessable(message) => Self::new(ErrorId::UnprocessableEntity, message),
            Refusal::Limit(reason) => {
                let body = ErrorBody::new(ErrorId::UnprocessableEntity, reason.message.clone());
                let reason = Some((*reason).into());
                ErrorBody { reason, ..body }.into()
            }
            full @ Refusal::DiskFull => Self::new(ErrorId::ServiceUnavailable, full.to_string()),
            Refusal::Spec(errors) => ErrorBody::of_spec(errors).into(),
            Refusal::Platform(error) => {
                let incident = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
                tracing::error!(
                    incident,
                    error = &error as &dyn std::error::Error,
                    "a request failed"
                );
                let message =
                    format!("The platform failed to answer (incident {incident}). It is safe to try again.");
                Self::new(ErrorId::ServerError, message)
            }
        }
    }
}

impl From<SpecErrors> for ApiError {
    fn from(errors: SpecErrors) -> Self {
        ErrorBody::of_spec(errors.into_vec()).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let request_id = uuid::Uuid::new_v4().to_string();
        let status = self.status();
        let header = [("x-request-id", request_id.clone())];
        let allow = self.allow.map(|methods| [(ALLOW, methods)]);
        let body = ErrorBody {
            request_id,
            ..*self.body
        };
        match allow {
            Some(allow) => (status, header, allow, Json(body)).into_response(),
            None => (status, header, Json(body)).into_response(),
        }
    }
}
