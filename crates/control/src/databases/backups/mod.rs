//! Backups of the databases that the platform runs.
//!
//! ```text
//!  schedule ─┐        ┌ dump: tool instance, counted at the same moment ─▶ file + checksum
//!  API ──────┴─▶ make ┤
//!                     └ verify: scratch instance, own volume, no network ◀─ restore ── file
//!                               counted: the same? ─▶ good
//! ```
//!
//! How an engine is dumped, restored and counted is its own ([`Backup`](super::engines::Backup)). One is made at a time, whatever database it is
//! of. Each has a row before it begins, so that none fails silently; everything else that it makes is noted in its [`traces`] and gone when it
//! is over, however it ended.

mod counts;
mod failure;
mod file;
mod instances;
mod make;
mod packed;
mod restore;
mod retention;
mod room;
mod schedule;
mod scratch;
mod source;
mod tool;
mod traces;
mod upkeep;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use mainstay_spec::ids::{BackupId, DatabaseId};
use mainstay_store::{
    BackupCause, BackupFailure, BackupRow, BackupState, DatabaseRow, NewAuditEntry, RestoreRow,
};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;

use self::traces::Traces;
pub(super) use self::{
    failure::Failed,
    file::{Draft, Stored, Written},
    instances::SOCKETS,
    packed::{Packed, Unpacked},
    scratch::Scratch,
    source::{AUTHORITY, Source},
    tool::{Answer, Input, Sink, Tool},
};
pub(crate) use self::{restore::begin as restore, schedule::keep};
use crate::{
    platform::{Platform, PlatformError},
    tasks::Stage,
};

/// Of what is called off: ending two instances.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// As of a call that could not be answered.
const FAILED_STATUS: u16 = 500;

/// Who is at work on which database's backups.
#[derive(Debug)]
pub(crate) struct Backups {
    /// Each takes a processor and much of what the disk can do.
    slot: Semaphore,
    at_work: Mutex<HashMap<DatabaseId, Work>>,
}

#[derive(Debug, Clone, Default)]
struct Work {
    call_off: CancellationToken,
    over: CancellationToken,
}

/// The right to work on a database's backups; dropped, others may.
#[derive(Debug)]
struct Turn {
    backups: Arc<Backups>,
    database: DatabaseId,
    work: Work,
}

impl Default for Backups {
    fn default() -> Self {
        Self {
            slot: Semaphore::new(1),
            at_work: Mutex::default(),
        }
    }
}

impl Backups {
    /// `None` while somebody else has it.
    fn turn(self: &Arc<Self>, database: DatabaseId) -> Option<Turn> {
        let mut at_work = lock(&self.at_work);
        if at_work.contains_key(&database) {
            return None;
        }
        let work = Work::default();
        at_work.insert(database, work.clone());
        Some(Turn {
            backups: Arc::clone(self),
            database,
            work,
        })
    }

    /// Calls off what is under way, and waits until it is over.
    async fn call_off(&self, database: DatabaseId) {
        let work = lock(&self.at_work).get(&database).cloned();
        let Some(work) = work else { return };
        work.call_off.cancel();
        if timeout(ENDS_WITHIN, work.over.cancelled()).await.is_err() {
            tracing::warn!(%database, "a backup that was called off takes its time");
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.backups.at_work).remove(&self.database);
        self.work.over.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins one. `None` while another one of the database is under way.
pub(crate) async fn begin(
    platform: &Arc<Platform>,
    row: &DatabaseRow,
    cause: BackupCause,
) -> Result<Option<BackupRow>, PlatformError> {
    let Some(turn) = platform.databases.backups.turn(row.id) else {
        return Ok(None);
    };
    let backup = BackupRow {
        id: BackupId::from_uuid(uuid::Uuid::new_v4()),
        database: row.id,
        cause,
        state: BackupState::Pending,
        failure: None,
        message: String::new(),
        bytes: None,
        sha256: None,
        tables: Vec::new(),
        created_at: platform.clock.now(),
        finished_at: None,
    };
    platform.store.insert_backup(&backup).await?;
    let (own, row, begun) = (Arc::clone(platform), row.clone(), backup.clone());
    platform.tasks.spawn_actor(async move {
        run(&own, turn, &row, &begun).await;
    });
    Ok(Some(backup))
}

/// Ends with a word in the store, whatever happens, unless the database is being deleted.
async fn run(platform: &Arc<Platform>, turn: Turn, row: &DatabaseRow, backup: &BackupRow) {
    let traces = Traces::default();
    let outcome = tokio::select! {
        outcome = in_time(platform, make::make(platform, row, backup, &traces)) => Some(outcome),
        () = turn.work.call_off.cancelled() => None,
        () = platform.tasks.until(Stage::Ending) => {
            Some(Err(Failed::new(BackupFailure::Interrupted, upkeep::INTERRUPTED)))
        }
    };
    traces.clear(platform).await;
    let Some(outcome) = outcome else { return };
    let failure = outcome.as_ref().err();
    match failure {
        None => tracing::info!(database = row.name, app = %row.app, backup = %backup.id, "a backup is good"),
        Some(failed) => {
            tracing::warn!(database = row.name, app = %row.app, backup = %backup.id, why = failed.message, "a backup failed");
        }
    }
    if let (Some(failed), BackupCause::Schedule) = (failure, backup.cause)
        && let Err(error) = note(platform, row, failed).await
    {
        tracing::error!(database = row.name, app = %row.app, error = &error as &dyn std::error::Error, "could not note that a backup failed");
    }
    let why = failure.map(|failed| (failed.kind, failed.message.as_str()));
    let noted = async {
        platform
            .store
            .end_backup(backup.id, why, Timestamp::now())
            .await?;
        upkeep::let_go(platform, row.id).await?;
        // Others may begin: reading all files again takes its time.
        drop(turn);
        tokio::select! {
            checked = upkeep::check(platform, row.id) => checked,
            () = platform.tasks.until(Stage::Ending) => Ok(()),
        }
    };
    if let Err(error) = noted.await {
        tracing::error!(database = row.name, app = %row.app, error = &error as &dyn std::error::Error, "could not look after the backups of a database");
    }
}

/// Nobody waits for one that the schedule began: the log of changes says that it failed.
async fn note(platform: &Platform, row: &DatabaseRow, failed: &Failed) -> Result<(), PlatformError> {
    let Some(app) = platform.store.app(row.app).await? else {
        return Ok(());
    };
    let entry = NewAuditEntry {
        at: Timestamp::now(),
        account: app.account,
        user: String::new(),
        user_name: String::new(),
        token: String::new(),
        token_name: "the schedule".to_owned(),
        action: format!("BACKUP of database {} failed: {}", row.name, failed.message),
        app: Some(row.app),
        status: FAILED_STATUS,
        origin: String::new(),
    };
    Ok(platform.store.add_audit(&entry).await?)
}

/// In its turn, within the time that one may take.
async fn in_time<T>(platform: &Platform, work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let _slot = platform.databases.backups.slot.acquire().await;
    let limit = Duration::from_secs(platform.config.databases.backups.time_seconds);
    let done = timeout(limit, work).await;
    done.unwrap_or_else(|_| {
        let message = format!("it took longer than {} s", limit.as_secs());
        Err(Failed::new(BackupFailure::TimeLimit, message))
    })
}

/// Restores of a database, the newest first.
pub(crate) async fn restores(
    platform: &Platform,
    database: DatabaseId,
) -> Result<Vec<RestoreRow>, PlatformError> {
    Ok(platform.store.restores_of_database(database).await?)
}

/// Those of a database, the newest first, as they are now.
pub(crate) async fn of_database(
    platform: &Platform,
    database: DatabaseId,
) -> Result<Vec<BackupRow>, PlatformError> {
    upkeep::glance(platform, database).await?;
    Ok(platform.store.backups_of_database(database).await?)
}

/// Puts in order what an earlier server left.
pub(super) async fn take_up(platform: &Platform) -> Result<(), PlatformError> {
    upkeep::take_up(platform).await
}

/// Ends what is under way, and deletes the files: the database is being deleted, and its rows go with it.
pub(super) async fn delete_all(platform: &Platform, row: &DatabaseRow) -> Result<(), PlatformError> {
    platform.databases.backups.call_off(row.id).await;
    let directory = file::directory_of(&platform.config, row.id);
    match tokio::fs::remove_dir_all(&directory).await {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(PlatformError::Io {
            operation: format!("delete the backups of database {}", row.name),
            source,
        }),
        _ => Ok(()),
    }
}
