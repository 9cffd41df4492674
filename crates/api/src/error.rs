//! Refused and failed calls.

use mainstay_spec::SpecError;

use crate::{
    Reason,
    wire::{wire_object, wire_words},
};

wire_object! {
    /// The body of every answer that is no success.
    pub struct ErrorBody {
        pub id: ErrorId,
        pub message: String,
        pub request_id: String,
        /// Addition: every bad field of a refused spec.
        pub errors: Vec<SpecError>,
        /// Addition: the code behind a refusal that has one, such as `ResourceExhausted`.
        pub reason: Option<Reason>,
    }
}

wire_words! {
    pub enum ErrorId {
        ServerError = "server_error",
        BadRequest = "bad_request",
        Unauthorized = "unauthorized",
        Forbidden = "forbidden",
        NotFound = "not_found",
        MethodNotAllowed = "method_not_allowed",
        Conflict = "conflict",
        PayloadTooLarge = "payload_too_large",
        UnprocessableEntity = "unprocessable_entity",
        TooManyRequests = "too_many_requests",
        ServiceUnavailable = "service_unavailable",
    }
}

/// A word that is none of its set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownWord(pub String);

impl std::fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is not a known word", self.0)
    }
}

impl std::error::Error for UnknownWord {}

impl ErrorId {
    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::PayloadTooLarge => 413,
            Self::UnprocessableEntity => 422,
            Self::TooManyRequests => 429,
            Self::ServerError => 500,
            Self::ServiceUnavailable => 503,
        }
    }
}

impl ErrorBody {
    pub fn new(id: ErrorId, message: impl Into<String>) -> Self {
        Self {
            id,
            message: message.into(),
            ..Self::default()
        }
    }

    /// A refused spec. The message tells the first error as clients know it; `errors` holds them all.
    pub fn of_spec(errors: Vec<SpecError>) -> Self {
        let lead = match errors.len() {
            0 | 1 => "error validating app spec field",
            _ => "errors validating app spec; first error in field",
        };
        let message = match errors.first() {
            Some(error) if error.path.is_empty() => format!("error validating app spec: {}", error.rule),
            Some(error) => format!("{lead} \"{}\": {}", dotted(&error.path), sentence(error)),
            None => "the app spec was refused".into(),
        };
        Self {
            errors,
            ..Self::new(ErrorId::BadRequest, message)
        }
    }
}

/// `services[0].http_port` as `services.0.http_port`.
fn dotted(path: &str) -> String {
    path.replace('[', ".").replace(']', "")
}

fn sentence(error: &SpecError) -> String {
    let value = error
        .value
        .as_ref()
        .map(|value| format!(" (found {value})"))
        .unwrap_or_default();
    let help = error
        .suggestion
        .as_ref()
        .map(|suggestion| format!("; {suggestion}"))
        .unwrap_or_default();
    format!("{}{value}{help}", error.rule)
}

#[cfg(test)]
mod tests {
    use mainstay_spec::{Format, parse};

    use super::*;

    #[test]
    fn a_refused_spec_tells_the_first_error_and_lists_all() {
        let text = "name: shop\nservices: [{name: web, git: {repo_clone_url: /a}, http_port: 0, htp: 1, protocol: H3}]";
        let body = ErrorBody::of_spec(parse(text, Format::Yaml).unwrap_err().into_vec());
        assert_eq!(
            body.message,
            "errors validating app spec; first error in field \"services.0.http_port\": must be between 1 and 65535 (found 0)"
        );
        assert_eq!((body.id.status(), body.errors.len()), (400, 3));
    }

    #[test]
    fn an_error_has_the_fields_that_clients_print() {
        let body = ErrorBody {
            request_id: "r".into(),
            ..ErrorBody::new(ErrorId::NotFound, "no such app")
        };
        let text = serde_json::to_string(&body).unwrap();
        assert_eq!(
            text,
            r#"{"id":"not_found","message":"no such app","request_id":"r"}"#
        );
    }
}
