//! A database gets the data of a backup.
//!
//! ```text
//!  backup's file ─ checksum ─▶ new volume beside ─▶ restored ─▶ counted ─▶ its server stopped ───┐
//!                                                                                              ▼
//!  old volume in use ──────────────────────────────── database's server stopped ─▶ one commit: the new file is the volume
//!                                                                                              │
//!  old volume deleted ◀─ the keeper, once the server is ready ─────────────────────────────────┘
//! ```
//!
//! Which file is the volume is said by the row alone, and changed by one commit: at any instant the data is the old or the new. A server that
//! does not get ready on the new volume goes back to the old one.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use mainstay_diagnosis::facts::StopReason;
use mainstay_spec::ids::RestoreId;
use mainstay_store::{BackupFailure, BackupRow, DatabaseRow, RestoreRow, RestoreState, VolumeFile};
use tokio::time::{Instant, sleep};

use super::{
    super::{
        Condition, condition,
        keeper::is_wanted,
        stop,
        volume::{self, Places},
    },
    Turn, counts,
    failure::Failed,
    file::Stored,
    in_time,
    instances::ScratchVolume,
    make, room,
    scratch::Scratch,
    traces::Traces,
    upkeep,
};
use crate::{
    platform::{Platform, PlatformError},
    tasks::Stage,
};

/// A server on a volume that was stopped in order needs seconds.
const READY_WITHIN: Duration = Duration::from_mins(3);
const LOOKED_AT_EVERY: Duration = Duration::from_millis(200);

/// A volume that may take the place of the database's.
struct Ready {
    image: std::path::PathBuf,
    file: VolumeFile,
}

/// Begins one. `None` while a backup or another restore of the database is under way.
pub(crate) async fn begin(
    platform: &Arc<Platform>,
    row: &DatabaseRow,
    backup: &BackupRow,
) -> Result<Option<RestoreRow>, PlatformError> {
    let Some(turn) = platform.databases.backups.turn(row.id) else {
        return Ok(None);
    };
    let restore = RestoreRow {
        id: RestoreId::from_uuid(uuid::Uuid::new_v4()),
        database: row.id,
        backup: backup.id,
        state: RestoreState::Pending,
        failure: None,
        message: String::new(),
        created_at: platform.clock.now(),
        finished_at: None,
    };
    platform.store.insert_restore(&restore).await?;
    let (own, row, backup, begun) = (Arc::clone(platform), row.clone(), backup.clone(), restore.clone());
    platform.tasks.spawn_actor(async move {
        if let Err(error) = run(&own, &turn, &row, &backup, &begun).await {
            tracing::error!(database = row.name, app = %row.app, error = &error as &dyn std::error::Error, "could not note how a restore ended");
        }
    });
    Ok(Some(restore))
}

async fn run(
    platform: &Arc<Platform>,
    turn: &Turn,
    row: &DatabaseRow,
    backup: &BackupRow,
    restore: &RestoreRow,
) -> Result<(), PlatformError> {
    let traces = Traces::default();
    let work = async {
        let prepared = in_time(platform, prepare(platform, row, backup, restore, &traces)).await;
        match prepared {
            Ok(ready) => switch(platform, row, restore, ready, &traces).await,
            Err(failed) => Err(failed),
        }
    };
    let outcome = tokio::select! {
        outcome = work => Some(outcome),
        // The database is being deleted, and this row with it.
        () = turn.work.call_off.cancelled() => {
            traces.clear(platform).await;
            return Ok(());
        }
        () = platform.tasks.until(Stage::Ending) => None,
    };
    traces.clear(platform).await;
    match outcome {
        None => settle(platform, restore.id).await,
        Some(Ok(())) => {
            tracing::info!(database = row.name, app = %row.app, backup = %backup.id, "a database was restored");
            let ended = platform.store.end_restore(restore.id, None, "", Timestamp::now());
            Ok(ended.await?)
        }
        Some(Err(failed)) => {
            tracing::warn!(database = row.name, app = %row.app, backup = %backup.id, why = failed.message, "a restore failed");
            fail(platform, backup, restore, &failed).await
        }
    }
}

/// The old data is the database's, unless it switched. What the file was found to be is said of the backup too.
async fn fail(
    platform: &Platform,
    backup: &BackupRow,
    restore: &RestoreRow,
    failed: &Failed,
) -> Result<(), PlatformError> {
    if matches!(failed.kind, BackupFailure::Checksum | BackupFailure::FileMissing) {
        upkeep::condemn(platform, backup, failed).await?;
    }
    let store = &platform.store;
    let state = store.restore(restore.id).await?.map(|row| row.state);
    let (why, message) = match state {
        None | Some(RestoreState::Done | RestoreState::Failed) => return Ok(()),
        Some(RestoreState::Switching) => {
            let message = format!("the database has the new data, but: {}", failed.message);
            (None, message)
        }
        Some(RestoreState::Pending | RestoreState::Restoring) => (Some(failed.kind), failed.message.clone()),
    };
    Ok(store
        .end_restore(restore.id, why, &message, Timestamp::now())
        .await?)
}

/// Says how one ended that nobody works on any more: its row knows whether the database has the new data.
pub(super) async fn settle(platform: &Platform, id: RestoreId) -> Result<(), PlatformError> {
    let store = &platform.store;
    let Some(restore) = store.restore(id).await?.filter(|row| !row.state.is_over()) else {
        return Ok(());
    };
    let (failure, message) = if restore.state == RestoreState::Switching {
        (None, "the server ended right after the database got the new data")
    } else {
        (Some(BackupFailure::Interrupted), upkeep::INTERRUPTED)
    };
    Ok(store.end_restore(id, failure, message, Timestamp::now()).await?)
}

/// Reads the backup into a new volume, on a server that nobody reaches, and counts.
async fn prepare(
    platform: &Arc<Platform>,
    row: &DatabaseRow,
    backup: &BackupRow,
    restore: &RestoreRow,
    traces: &Traces,
) -> Result<Ready, Failed> {
    let (config, store) = (&platform.config, &platform.store);
    store
        .set_restore_state(restore.id, RestoreState::Restoring)
        .await?;
    // Nothing is begun with a file that is not what was written.
    Stored::open(config, backup).await?.check().await?;
    let _room = room::for_restore(platform, row, *restore.id.as_uuid(), backup).await?;
    let places = Places::new(&config.data_dir, row.id);
    let ground = make::ground(platform, row, &places).await?;
    let new = ScratchVolume {
        image: places.restored(&restore.id.short()),
        id: row.id,
        is_durable: true,
    };
    let engine = ground.place.engine;
    let mut scratch = Scratch::make(platform, &ground, &new, traces).await?;
    engine
        .restore(&mut scratch, Stored::open(config, backup).await?)
        .await?;
    counts::compare(&backup.tables, &engine.count(&scratch).await?)?;
    let system_identifier = Some(engine.complete(&scratch).await?);
    scratch.stop().await?;
    let marks = volume::Marks::of(engine, row);
    if let Err(problem) = volume::look(&new.image, row.id, marks).await? {
        return Err(Failed::new(BackupFailure::Restore, problem.to_string()));
    }
    let name = new.image.file_name().and_then(|name| name.to_str());
    Ok(Ready {
        file: VolumeFile {
            file: name.unwrap_or_default().to_owned(),
            system_identifier,
        },
        image: new.image,
    })
}

/// Stops the server, gives the database its new volume, and waits until it is ready on it.
async fn switch(
    platform: &Arc<Platform>,
    row: &DatabaseRow,
    restore: &RestoreRow,
    new: Ready,
    traces: &Traces,
) -> Result<(), Failed> {
    let keeper = platform.databases.keeper(platform, row.id);
    {
        let _turn = keeper.turn.lock().await;
        let row = present(platform, row).await?;
        stop(platform, &row, StopReason::Requested).await?;
        // From here on it may be the database's data. If it does not come to that, the next server's sweep removes it.
        traces.hand_over(&new.image);
        platform
            .store
            .switch_volume(row.id, &new.file, restore.id)
            .await?;
    }
    keeper.wake.notify_one();
    let Err(trouble) = ready(platform, row).await? else {
        return Ok(());
    };
    let message = format!("{trouble}; it has the data from before");
    let _turn = keeper.turn.lock().await;
    let row = present(platform, row).await?;
    stop(platform, &row, StopReason::Requested).await?;
    let why = (BackupFailure::Restore, message.as_str());
    let is_back = platform
        .store
        .switch_volume_back(row.id, restore.id, why, Timestamp::now())
        .await?;
    keeper.wake.notify_one();
    if !is_back {
        // The keeper found it ready after all, and let go of the old volume.
        return Ok(());
    }
    traces.add_file(&new.image);
    Err(Failed::new(BackupFailure::Restore, message))
}

/// As it is now.
async fn present(platform: &Platform, row: &DatabaseRow) -> Result<DatabaseRow, Failed> {
    let row = platform.store.database(row.id).await?;
    Ok(row.ok_or_else(|| PlatformError::missing("the database"))?)
}

/// The keeper lets go of the old volume once the server is ready on the new one, or if it is not to run. The inner error: it does not get ready.
async fn ready(platform: &Arc<Platform>, row: &DatabaseRow) -> Result<Result<(), String>, Failed> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let now = present(platform, row).await?;
        if now.replaced_volume.is_none() {
            return Ok(Ok(()));
        }
        // An app that is being deleted has its databases looked after no more.
        if is_wanted(platform, &now).await?.is_none() {
            return Ok(Err("the app is being deleted".to_owned()));
        }
        if Instant::now() > deadline {
            let trouble = match condition(platform, &now) {
                Condition::Starting(Some(trouble)) | Condition::Broken(trouble) => trouble.message,
                _ => "it was not ready in time".to_owned(),
            };
            return Ok(Err(format!(
                "its server does not start on the restored data: {trouble}"
            )));
        }
        sleep(LOOKED_AT_EVERY).await;
    }
}
