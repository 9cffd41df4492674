//! Refusals as answers: the one place where statuses and error ids are chosen (`app-platform.md` b.2).

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use mainstay_api::{ErrorBody, ErrorId};
use mainstay_spec::SpecErrors;

use crate::app::Refusal;

#[derive(Debug)]
pub(crate) struct ApiError(Box<ErrorBody>);

impl ApiError {
    fn new(id: ErrorId, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorBody::new(id, message)))
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

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(ErrorId::MethodNotAllowed, "The resource has no such method.")
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
            Refusal::Limit(reason) => {
                let body = ErrorBody::new(ErrorId::UnprocessableEntity, reason.message.clone());
                Self(Box::new(ErrorBody {
                    reason: Some((*reason).into()),
                    ..body
                }))
            }
            Refusal::Spec(errors) => Self(Box::new(ErrorBody::of_spec(errors))),
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
        Self(Box::new(ErrorBody::of_spec(errors.into_vec())))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let request_id = uuid::Uuid::new_v4().to_string();
        let status = StatusCode::from_u16(self.0.id.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let header = [("x-request-id", request_id.clone())];
        (
            status,
            header,
            Json(ErrorBody {
                request_id,
                ..*self.0
            }),
        )
            .into_response()
    }
}
