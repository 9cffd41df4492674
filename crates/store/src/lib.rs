//! Rows and queries on SQLite, and the deployments' event log. Nothing else speaks SQL.
//!
//! One file in WAL mode with `synchronous=FULL`: what a call returned from is on disk.

mod apps;
mod builds;
mod deployments;
mod error;
#[cfg(feature = "faults")]
mod faults;
mod instance_events;
mod instances;
mod invocations;
mod keeping;
mod reasons;
mod schema;
mod tokens;

use std::path::Path;

use sqlx::Connection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};

pub use apps::AppRow;
pub use builds::BuildRow;
pub use deployments::{DeploymentRow, NewDeployment};
pub use error::StoreError;
#[cfg(feature = "faults")]
pub use faults::Faults;
pub use instance_events::{InstanceEvent, InstanceEventRow, NewInstanceEvent};
pub use instances::InstanceRow;
pub use invocations::{InvocationPhase, InvocationRow, NewInvocation, Trigger};
pub use keeping::{PastDeployment, PastInstance};
pub use reasons::ReasonRow;

/// The platform's memory.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the database, creating and migrating it as needed.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_in(path, SqlitePoolOptions::new()).await
    }

    async fn open_in(path: &Path, pool: SqlitePoolOptions) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(std::time::Duration::from_secs(10));
        // SQLite has one writer at a time; a handful of connections lets readers pass it.
        let pool = pool
            .max_connections(4)
            .after_release(|connection, _| Box::pin(is_clean(connection)))
            .connect_with(options)
            .await
            .map_err(StoreError::during(format!(
                "open the database {}",
                path.display()
            )))?;
        schema::migrate(&pool).await?;
        Ok(Self { pool })
    }

    /// Waits for running queries and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether nothing is left of what a connection was used for; if not, it is closed instead of used again. A rollback that failed would leave
/// its transaction open: the next user's writes would go into it and be lost, and nobody else could write.
async fn is_clean(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    // Behind the rollback of a dropped transaction, which is under way by now.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}
