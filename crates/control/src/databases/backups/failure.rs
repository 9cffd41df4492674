//! Why a backup is not good: a kind that programs can go by, and words for people.

use mainstay_engine::{EngineError, StartError};
use mainstay_store::{BackupFailure, StoreError};

use super::super::login::Trouble;
use crate::platform::PlatformError;

const MIB: u64 = 1 << 20;

/// What kept a backup from being good, or a restore from being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) kind: BackupFailure,
    pub(crate) message: String,
}

impl Failed {
    pub(in crate::databases) fn new(kind: BackupFailure, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// A tool's or a server's answer to a question of ours.
    pub(in crate::databases) fn not_understood(what: &str) -> Self {
        let message = format!("the answer with {what} was not understood");
        Self::new(BackupFailure::Platform, message)
    }

    /// By the kernel's error number where it has a meaning of its own.
    pub(super) fn of_file(operation: &str, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => BackupFailure::DiskFull,
            std::io::ErrorKind::NotFound => BackupFailure::FileMissing,
            _ => BackupFailure::Platform,
        };
        Self::new(kind, format!("could not {operation}: {error}"))
    }
}

impl From<PlatformError> for Failed {
    fn from(error: PlatformError) -> Self {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a backup met a fault of the platform's"
        );
        Self::new(BackupFailure::Platform, format!("the platform failed: {error}"))
    }
}

impl From<EngineError> for Failed {
    fn from(error: EngineError) -> Self {
        PlatformError::from(error).into()
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        PlatformError::from(error).into()
    }
}

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Engine(error) => error.into(),
            refused @ StartError::Refused(_) => Self::new(
                BackupFailure::Platform,
                format!("an instance could not be started: {refused}"),
            ),
        }
    }
}

/// The server could not be asked.
impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Self::new(BackupFailure::NotReady, trouble.message)
    }
}

/// "12 MiB".
pub(super) fn size(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(MIB))
}
