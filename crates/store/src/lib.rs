//! Rows and queries on SQLite, and the deployments' event log. Nothing else speaks SQL.
//!
//! One file in WAL mode with `synchronous=FULL`: what a call returned from is on disk.

mod accepting;
mod alerts;
mod apps;
mod audit;
mod builds;
mod databases;
mod deployments;
mod error;
#[cfg(feature = "faults")]
mod faults;
mod instance_events;
mod instances;
mod invocations;
mod keeping;
mod limits;
mod reasons;
mod schema;
mod sealing;
mod tokens;

use std::{
    fs::{File, Permissions},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use sqlx::{
    Connection,
    sqlite::{
        SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
        SqliteSynchronous,
    },
};

pub use accepting::AppChange;
pub use apps::AppRow;
pub use audit::{AuditRow, NewAuditEntry};
pub use builds::BuildRow;
pub use databases::DatabaseRow;
pub use deployments::{DeploymentRow, NewDeployment};
pub use error::StoreError;
#[cfg(feature = "faults")]
pub use faults::Faults;
pub use instance_events::{InstanceEvent, InstanceEventRow, NewInstanceEvent};
pub use instances::InstanceRow;
pub use invocations::{InvocationPhase, InvocationRow, NewInvocation, Trigger};
pub use keeping::{PastDeployment, PastInstance};
pub use limits::{Limits, Use};
pub use reasons::ReasonRow;
pub use tokens::TokenRow;

const MODE: u32 = 0o600;

/// Specs and databases have secrets: only the server's user may read them. SQLite gives the files beside the database its mode.
fn keep_private(path: &Path) -> Result<(), StoreError> {
    let open = || -> std::io::Result<()> {
        let file = File::options().append(true).create(true).mode(MODE).open(path)?;
        file.set_permissions(Permissions::from_mode(MODE))
    };
    open().map_err(|error| {
        StoreError::during(format!("open the database {}", path.display()))(sqlx::Error::Io(error))
    })
}

/// The platform's memory.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
    limits: Arc<Limits>,
}

impl Store {
    /// Opens the database, creating and migrating it as needed.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_in(path, SqlitePoolOptions::new()).await
    }

    async fn open_in(path: &Path, pool: SqlitePoolOptions) -> Result<Self, StoreError> {
        keep_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // What is deleted or replaced is written over: it may be the text of a spec.
            .pragma("secure_delete", "ON")
            .busy_timeout(std::time::Duration::from_secs(10));
        // Before there is a pool: a connection that saw the schema before its last change would prepare statements for what was.
        let opening = || StoreError::during(format!("open the database {}", path.display()));
        let mut first = SqliteConnection::connect_with(&options)
            .await
            .map_err(opening())?;
        schema::migrate(&mut first).await?;
        limits::take_of_all(&mut first).await?;
        first.close().await.map_err(opening())?;
        // SQLite has one writer at a time; a handful of connections lets readers pass it.
        let pool = pool
            .max_connections(4)
            .after_release(|connection, _| Box::pin(is_clean(connection)))
            .connect_with(options)
            .await
            .map_err(opening())?;
        Ok(Self {
            pool,
            limits: Arc::default(),
        })
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
