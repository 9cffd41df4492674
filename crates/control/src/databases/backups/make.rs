//! One backup from its beginning to its being good: dumped, then restored aside and counted.

use std::{net::Ipv4Addr, time::Duration};

use mainstay_spec::ids::DatabaseId;
use mainstay_store::{BackupFailure, BackupRow, BackupState, DatabaseRow};
use tokio::time::timeout;

use super::{
    super::{Condition, engines, image, login::Login, logins, server::Place, volume::Places},
    counts,
    failure::Failed,
    file::{self, Draft, Stored},
    instances::{Ground, ScratchVolume},
    room,
    scratch::Scratch,
    source::Source,
    traces::Traces,
};
use crate::platform::Platform;

/// A database that starts is waited for.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// Leaves a whole, tried file, or says why not; all else that it made is in `traces`.
pub(super) async fn make(
    platform: &std::sync::Arc<Platform>,
    row: &DatabaseRow,
    backup: &BackupRow,
    traces: &Traces,
) -> Result<(), Failed> {
    let (config, store) = (&platform.config, &platform.store);
    store.set_backup_state(backup.id, BackupState::Running).await?;
    let engine = engines::of_row(row)?;
    let login = Login {
        database: &row.database_name,
        ..logins(platform, row, engine, ready(platform, row).await?).admin
    };
    let bytes = engine.bytes(&login).await?;
    file::make_directory(&file::directory_of(config, row.id))?;
    let _room = room::for_backup(platform, row, backup, bytes).await?;

    let places = Places::new(&config.data_dir, row.id);
    let ground = ground(platform, row, &places).await?;
    let tools = traces.new_instance();
    platform.engine.ensure_network(row.app).await?;
    platform.engine.start(ground.tools(tools)).await?;
    let path = file::path(config, row.id, backup.id);
    traces.add_file(&path);
    let source = Source::open(platform, row, login, tools).await?;
    let draft = Draft::create(&path, file::reserve(config))?;
    let (written, mut tables) = engine.dump(&source, draft).await?;
    tables.sort();
    // Never two instances at a time: their memory was promised once.
    end_instances(platform, traces, &path).await;
    store
        .set_backup_written(backup.id, written.bytes, &written.sha256, &tables)
        .await?;
    let backup = BackupRow {
        bytes: Some(written.bytes),
        sha256: Some(written.sha256),
        tables,
        ..backup.clone()
    };
    verify(platform, &ground, &backup, traces).await?;
    end_instances(platform, traces, &path).await;
    traces.hand_over(&path);
    Ok(())
}

/// All traces but the file.
async fn end_instances(platform: &Platform, traces: &Traces, file: &std::path::Path) {
    traces.hand_over(file);
    traces.clear(platform).await;
    traces.add_file(file);
}

/// Restores it aside, and counts.
async fn verify(
    platform: &Platform,
    ground: &Ground<'_>,
    backup: &BackupRow,
    traces: &Traces,
) -> Result<(), Failed> {
    let volume = ScratchVolume {
        image: ground.place.places.scratch(&backup.id.short()),
        id: DatabaseId::from_uuid(uuid::Uuid::new_v4()),
        is_durable: false,
    };
    let stored = Stored::open(&platform.config, backup).await?;
    let mut scratch = Scratch::make(platform, ground, &volume, traces).await?;
    let engine = ground.place.engine;
    engine.restore(&mut scratch, stored).await?;
    counts::compare(&backup.tables, &engine.count(&scratch).await?)
}

pub(super) async fn ground<'a>(
    platform: &'a Platform,
    row: &'a DatabaseRow,
    places: &'a Places,
) -> Result<Ground<'a>, Failed> {
    let record = image::ensure(platform, row).await?;
    let layers = platform.images.layer_paths(&record);
    let place = Place {
        row,
        engine: engines::of_row(row)?,
        places,
        config: &platform.config.databases,
    };
    Ok(Ground {
        place,
        layers: layers.map_err(crate::platform::PlatformError::from)?,
    })
}

async fn ready(platform: &std::sync::Arc<Platform>, row: &DatabaseRow) -> Result<Ipv4Addr, Failed> {
    let mut condition = platform.databases.keeper(platform, row.id).condition;
    let decided = |now: &Condition| !matches!(now, Condition::Starting(_));
    drop(timeout(READY_WITHIN, condition.wait_for(decided)).await);
    let last = condition.borrow().clone();
    let not_ready = |why: &str| Err(Failed::new(BackupFailure::NotReady, why));
    match last {
        Condition::Ready { address } => Ok(address),
        Condition::Broken(trouble) | Condition::Starting(Some(trouble)) => Err(trouble.into()),
        Condition::Starting(None) => not_ready("its server does not start in time"),
        Condition::Stopped => not_ready("its server is stopped: no spec names the database"),
    }
}
