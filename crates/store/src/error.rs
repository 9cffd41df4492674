//! The store's one error: which operation failed, and SQLite's reason.

use mainstay_diagnosis::facts::QuotaFacts;
use mainstay_spec::ids::{AppId, DeploymentId};

/// A query failed, or a stored value could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("could not {operation}")]
    Query {
        operation: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("the stored {what} of {id} cannot be read")]
    Damaged {
        what: &'static str,
        id: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("an app named {name:?} exists already")]
    NameTaken { name: String },
    #[error("the host {host} belongs to another app")]
    HostTaken { host: String },
    #[error("the account's limit of {} would be passed", .0.resource)]
    LimitPassed(Box<QuotaFacts>),
    #[error("there is no app {app}, or it is being deleted")]
    NoApp { app: AppId },
    #[error("app {app} stays at the rollback {deployment} until it is committed or reverted")]
    Pinned { app: AppId, deployment: DeploymentId },
    #[error("app {app} does not stay at a rollback")]
    NotPinned { app: AppId },
}

/// `SQLITE_FULL`: <https://www.sqlite.org/rescode.html#full>.
const FULL: &str = "13";

impl StoreError {
    /// Whether there was no room on the disk; nothing of the query was done.
    pub fn is_disk_full(&self) -> bool {
        let Self::Query { source, .. } = self else {
            return false;
        };
        let database = source.as_database_error();
        database.and_then(sqlx::error::DatabaseError::code).as_deref() == Some(FULL)
    }

    pub(crate) fn during(operation: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Query { operation, source }
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "ids are passed as they are at hand, borrowed or not"
    )]
    pub(crate) fn damaged<E>(what: &'static str, id: impl ToString) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let id = id.to_string();
        move |source| Self::Damaged {
            what,
            id,
            source: source.into(),
        }
    }
}
