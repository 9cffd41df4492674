//! Why an image could not be pulled, as a type; registries tell it by status, by a code in the body, or by closing the connection.

use std::io;

use mainstay_diagnosis::facts::BuildFault;
use oci_client::{
    ParseError,
    errors::{OciDistributionError, OciErrorCode},
};

use crate::{error_chain, http::HttpError, oci, store::StoreError, unpack::UnpackError};

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("{reference:?} is no image reference")]
    BadReference {
        reference: String,
        #[source]
        source: ParseError,
    },
    #[error("{host} has no image {reference}")]
    NotFound { reference: String, host: String },
    /// 401 or 403. Many registries answer so for images that do not exist.
    #[error("{host} does not let these credentials pull {reference} ({status})")]
    Unauthorized {
        reference: String,
        host: String,
        status: u16,
    },
    #[error("{host} limits the rate of pulls (429)")]
    RateLimited { reference: String, host: String },
    #[error("{host} answered {status} for {reference}: {message}")]
    Refused {
        reference: String,
        host: String,
        status: u16,
        message: String,
    },
    #[error("{host} is not reachable for {reference} ({attempts} attempts): {message}")]
    Network {
        reference: String,
        host: String,
        attempts: u32,
        message: String,
    },
    #[error("{host} did not deliver {reference} within {seconds} seconds")]
    TooSlow {
        reference: String,
        host: String,
        seconds: u64,
    },
    #[error("{reference} is not for {}/{}, only for {}", oci::OS, oci::ARCHITECTURE, available.join(", "))]
    Architecture {
        reference: String,
        available: Vec<String>,
    },
    #[error("{host} delivered {reference} damaged: {message}")]
    Invalid {
        reference: String,
        host: String,
        message: String,
    },
    #[error("a layer of {reference} cannot be unpacked")]
    Unpack {
        reference: String,
        #[source]
        source: UnpackError,
    },
    #[error(transparent)]
    Client(#[from] HttpError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    /// True when the same pull may succeed in a moment.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// The same as a fact of a build.
    pub fn into_fault(self) -> BuildFault {
        let message = self.to_string();
        let not_pullable = |reference: String, host: String, status: Option<u16>, attempts: u32| {
            BuildFault::BaseImageNotPullable {
                reference,
                host,
                status,
                message: message.clone(),
                attempts,
            }
        };
        match self {
            Self::BadReference { reference, .. } => not_pullable(reference, String::new(), None, 0),
            Self::NotFound { reference, host } => not_pullable(reference, host, Some(404), 1),
            Self::RateLimited { reference, host } => not_pullable(reference, host, Some(429), 1),
            Self::Unauthorized {
                reference,
                host,
                status,
            }
            | Self::Refused {
                reference,
                host,
                status,
                ..
            } => not_pullable(reference, host, Some(status), 1),
            Self::Network {
                reference,
                host,
                attempts,
                ..
            } => not_pullable(reference, host, None, attempts),
            Self::TooSlow { reference, host, .. } | Self::Invalid { reference, host, .. } => {
                not_pullable(reference, host, None, 1)
            }
            Self::Unpack { reference, source } => {
                let message = error_chain(&source).join(": ");
                BuildFault::BaseImageNotPullable {
                    reference,
                    host: String::new(),
                    status: None,
                    message,
                    attempts: 1,
                }
            }
            Self::Architecture { reference, available } => BuildFault::ImageArchitecture {
                reference,
                available,
                node: format!("{}/{}", oci::OS, oci::ARCHITECTURE),
            },
            error @ (Self::Client(_) | Self::Store(_)) => BuildFault::Platform {
                operation: "pulling an image".to_owned(),
                error_chain: error_chain(&error),
            },
        }
    }

    /// Reads what the client library says.
    pub(super) fn from_client(error: &OciDistributionError, reference: String, host: String) -> Self {
        match classify(error) {
            Class::Status(404) => Self::NotFound { reference, host },
            Class::Status(status @ (401 | 403)) => Self::Unauthorized {
                reference,
                host,
                status,
            },
            Class::Status(429) => Self::RateLimited { reference, host },
            Class::Status(status) => Self::Refused {
                reference,
                host,
                status,
                message: short(&error.to_string()),
            },
            Class::Network => {
                let message = error_chain(error).last().cloned().unwrap_or_default();
                Self::Network {
                    reference,
                    host,
                    attempts: 1,
                    message: short(&message),
                }
            }
            Class::Invalid => Self::Invalid {
                reference,
                host,
                message: short(&error.to_string()),
            },
        }
    }

    /// The same after so many tries.
    pub(super) fn after(self, tries: u32) -> Self {
        match self {
            Self::Network {
                reference,
                host,
                message,
                ..
            } => Self::Network {
                reference,
                host,
                message,
                attempts: tries,
            },
            other => other,
        }
    }
}

enum Class {
    Status(u16),
    Network,
    Invalid,
}

fn classify(error: &OciDistributionError) -> Class {
    match error {
        OciDistributionError::RegistryError { envelope, .. } => envelope
            .errors
            .first()
            .map_or(Class::Invalid, |error| classify_code(&error.code)),
        OciDistributionError::ImageManifestNotFoundError(_) => Class::Status(404),
        OciDistributionError::ServerError { code, .. } => Class::Status(*code),
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
            Class::Status(401)
        }
        OciDistributionError::RequestError(request) => match request.status() {
            Some(status) => Class::Status(status.as_u16()),
            None if request.is_decode() => Class::Invalid,
            None => Class::Network,
        },
        OciDistributionError::IoError(io) if !is_digest_mismatch(io) => Class::Network,
        _ => Class::Invalid,
    }
}

/// The status that the distribution spec pairs with a code.
fn classify_code(code: &OciErrorCode) -> Class {
    match code {
        OciErrorCode::ManifestUnknown
        | OciErrorCode::NameUnknown
        | OciErrorCode::NotFound
        | OciErrorCode::BlobUnknown
        | OciErrorCode::ManifestBlobUnknown => Class::Status(404),
        OciErrorCode::Unauthorized => Class::Status(401),
        OciErrorCode::Denied => Class::Status(403),
        OciErrorCode::Toomanyrequests => Class::Status(429),
        _ => Class::Status(400),
    }
}

/// The library hides a wrong digest inside of an input error.
fn is_digest_mismatch(error: &io::Error) -> bool {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<oci_client::errors::DigestError>())
        .is_some()
}

/// Registries answer with whole pages at times.
fn short(text: &str) -> String {
    const CHARACTERS: usize = 300;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(error: &OciDistributionError) -> RegistryError {
        RegistryError::from_client(error, "redis".to_owned(), "docker.io".to_owned())
    }

    fn envelope(code: &str) -> OciDistributionError {
        let text = format!(r#"{{"errors":[{{"code":"{code}","message":"m"}}]}}"#);
        OciDistributionError::RegistryError {
            envelope: serde_json::from_str(&text).unwrap(),
            url: String::new(),
        }
    }

    #[test]
    fn codes_of_the_body_are_told_apart() {
        assert!(matches!(
            from(&envelope("MANIFEST_UNKNOWN")),
            RegistryError::NotFound { .. }
        ));
        assert!(matches!(
            from(&envelope("DENIED")),
            RegistryError::Unauthorized { status: 403, .. }
        ));
        assert!(matches!(
            from(&envelope("TOOMANYREQUESTS")),
            RegistryError::RateLimited { .. }
        ));
        assert!(matches!(
            from(&envelope("ODD")),
            RegistryError::Refused { status: 400, .. }
        ));
        let broken = OciDistributionError::ServerError {
            code: 502,
            url: String::new(),
            message: "<html>".to_owned(),
        };
        assert!(from(&broken).is_transient());
    }

    #[test]
    fn faults_carry_host_and_status() {
        let fault = from(&envelope("TOOMANYREQUESTS")).into_fault();
        let expected = BuildFault::BaseImageNotPullable {
            reference: "redis".to_owned(),
            host: "docker.io".to_owned(),
            status: Some(429),
            message: "docker.io limits the rate of pulls (429)".to_owned(),
            attempts: 1,
        };
        assert_eq!(fault, expected);
    }
}
