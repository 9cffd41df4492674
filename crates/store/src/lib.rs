//! Rows and queries on SQLite, and the deployments' event log. Nothing else speaks SQL.
//!
//! One file in WAL mode with `synchronous=FULL`: what a call returned from is on disk. SQLite has one writer at a time, and one that finds
//! another at work sleeps and looks again, by chance for long. So all writes go through one connection, for which they wait in turn.

mod accepting;
mod accounts;
mod alerts;
mod apps;
mod audit;
mod backups;
mod builds;
mod clusters;
mod columns;
mod databases;
mod deployments;
mod error;
#[cfg(feature = "faults")]
mod faults;
mod holding_alerts;
mod hosts;
mod instance_events;
mod instances;
mod invocations;
mod keeping;
mod limits;
mod many;
#[cfg(test)]
mod plan_tests;
mod reasons;
mod restores;
mod running;
mod samples;
mod schema;
mod sealing;
mod tokens;
mod traffic;
mod uploads;
mod users;

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
pub use accounts::{AccountRow, Removal};
pub use alerts::{AlertDestinations, Delivery, Measured, Occurrence};
pub use apps::AppRow;
pub use audit::{AuditRow, NewAuditEntry};
pub use backups::{BackupCause, BackupFailure, BackupRow, BackupState, TableRows};
pub use builds::BuildRow;
pub use clusters::ClusterRow;
pub use databases::DatabaseRow;
pub use deployments::{DeploymentRow, NewDeployment};
pub use error::StoreError;
#[cfg(feature = "faults")]
pub use faults::Faults;
pub use holding_alerts::AlertTurn;
pub use instance_events::{InstanceEvent, InstanceEventRow, NewInstanceEvent};
pub use instances::InstanceRow;
pub use invocations::{InvocationPhase, InvocationRow, NewInvocation, Trigger};
pub use keeping::{PastDeployment, PastInstance};
pub use limits::{Limits, Use};
pub use reasons::ReasonRow;
pub use restores::{RestoreRow, RestoreState, VolumeFile};
pub use running::RunningGroup;
pub use samples::{Mean, NewSample, PlaceRow, SampleRow};
pub use tokens::TokenRow;
pub use users::UserRow;

const MODE: u32 = 0o600;

/// Connections that only read: they pass each other and the writer.
const READERS: u32 = 4;

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
    readers: SqlitePool,
    /// The one connection that writes.
    writer: SqlitePool,
    /// Of each account that has none of its own.
    limits: Arc<Limits>,
    /// Below which apps have their default hosts.
    domain: Arc<str>,
}

impl Store {
    /// Opens the database, creating and migrating it as needed.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_in(path, SqlitePoolOptions::new).await
    }

    /// `pool` makes the pools of both kinds.
    async fn open_in(path: &Path, pool: impl Fn() -> SqlitePoolOptions) -> Result<Self, StoreError> {
        keep_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // What is deleted or replaced is written over: it may be the text of a spec.
            .pragma("secure_delete", "ON")
            // Of other programs that look into the file.
            .busy_timeout(std::time::Duration::from_secs(10));
        // Before there is a pool: a connection that saw the schema before its last change would prepare statements for what was.
        let opening = || StoreError::during(format!("open the database {}", path.display()));
        let mut first = SqliteConnection::connect_with(&options)
            .await
            .map_err(opening())?;
        schema::migrate(&mut first).await?;
        limits::take_of_all(&mut first).await?;
        first.close().await.map_err(opening())?;
        let connect = async |connections: u32, options: SqliteConnectOptions| {
            let pool = pool()
                .max_connections(connections)
                .after_release(|connection, _| Box::pin(is_clean(connection)));
            pool.connect_with(options).await.map_err(opening())
        };
        let store = Self {
            readers: connect(READERS, options.clone().pragma("query_only", "ON")).await?,
            writer: connect(1, options).await?,
            limits: Arc::default(),
            domain: Arc::default(),
        };
        store.knowing_its_domain().await
    }

    /// Waits for running queries and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        // The last one to go puts everything into the file itself, which one that only reads cannot.
        self.writer.close().await;
    }
}

/// Whether nothing is left of what a connection was used for; if not, it is closed instead of used again. A rollback that failed would leave
/// its transaction open: the next user's writes would go into it and be lost, and nobody else could write.
async fn is_clean(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    // Behind the rollback of a dropped transaction, which is under way by now.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_cannot_write() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("test.db")).await.unwrap();
        let write = |pool: &SqlitePool| {
            let pool = pool.clone();
            async move {
                sqlx::query("INSERT INTO meta (key, value) VALUES ('a', 'b')")
                    .execute(&pool)
                    .await
            }
        };
        let refused = write(&store.readers).await.unwrap_err().to_string();
        assert!(refused.contains("readonly"), "{refused}");
        write(&store.writer).await.unwrap();
    }
}
