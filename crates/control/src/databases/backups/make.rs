//! One backup from its beginning to its being good: dumped, then restored aside and counted.

use std::{net::Ipv4Addr, time::Duration};

use mainstay_images::store::free_bytes;
use mainstay_spec::ids::{DatabaseId, DeploymentId};
use mainstay_store::{BackupFailure, BackupRow, BackupState, DatabaseRow};
use tokio::time::timeout;

use super::{
    super::{Condition, image, volume::Places},
    dump::Source,
    failure::{Failed, size},
    file::{self, Draft, Stored},
    instances::{Ground, ScratchVolume},
    scratch::Scratch,
    traces::Traces,
};
use crate::{
    capacity::{Claim, Wish},
    platform::Platform,
};

/// A database that starts is waited for.
const READY_WITHIN: Duration = Duration::from_mins(2);
/// Of an empty cluster and its log, beside what is restored.
const SCRATCH_BYTES: u64 = 256 << 20;
const LEAST_BYTES: u64 = 1 << 20;

/// Leaves a whole, tried file, or says why not; all else that it made is in `traces`.
pub(super) async fn make(
    platform: &std::sync::Arc<Platform>,
    row: &DatabaseRow,
    backup: &BackupRow,
    traces: &Traces,
) -> Result<(), Failed> {
    let (config, store) = (&platform.config, &platform.store);
    store.set_backup_state(backup.id, BackupState::Running).await?;
    let source = Source::open(platform, row, ready(platform, row).await?).await?;
    file::make_directory(&file::directory_of(config, row.id))?;
    let _room = room(platform, row, backup, source.bytes().await?).await?;

    let places = Places::new(&config.data_dir, row.id);
    let ground = ground(platform, row, &places).await?;
    let tools = traces.new_instance();
    platform.engine.ensure_network(row.app).await?;
    platform.engine.start(ground.tools(tools)).await?;
    let path = file::path(config, row.id, backup.id);
    traces.add_file(&path);
    let (written, tables) = source
        .dump(tools, Draft::create(&path, file::reserve(config))?)
        .await?;
    drop(source);
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
        image: ground.places.scratch(&backup.id.short()),
        id: DatabaseId::from_uuid(uuid::Uuid::new_v4()),
        is_durable: false,
    };
    let stored = Stored::open(&platform.config, backup).await?;
    let scratch = Scratch::start(platform, ground, &volume, traces).await?;
    scratch.restore(stored).await?;
    scratch.compare(&backup.tables).await
}

pub(super) async fn ground<'a>(
    platform: &'a Platform,
    row: &'a DatabaseRow,
    places: &'a Places,
) -> Result<Ground<'a>, Failed> {
    let record = image::ensure(platform, row).await?;
    let layers = platform.images.layer_paths(&record);
    Ok(Ground {
        row,
        layers: layers.map_err(crate::platform::PlatformError::from)?,
        config: &platform.config.databases,
        places,
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

/// Promised until the claim is dropped: the memory of one instance, and what the file and a scratch volume may take.
async fn room(
    platform: &Platform,
    row: &DatabaseRow,
    backup: &BackupRow,
    database_bytes: u64,
) -> Result<Claim, Failed> {
    let config = &platform.config;
    let earlier = platform.store.backups_of_database(row.id).await?;
    let file_bytes = expected_bytes(&earlier, database_bytes);
    let reserve = file::reserve(config);
    let is_elsewhere = reserve == 0 && config.capacity.disk_free_bytes > 0;
    if is_elsewhere {
        let free = free_bytes(&file::directory(config)).map_err(crate::platform::PlatformError::from)?;
        if free < file_bytes {
            let message = format!(
                "the directory of backups has {} free, and the backup is expected to take {}",
                size(free),
                size(file_bytes)
            );
            return Err(Failed::new(BackupFailure::NoRoom, message));
        }
    }
    let app = platform.store.app(row.app).await?;
    let wish = Wish {
        // Nobody else's: what is promised goes by this id.
        deployment: DeploymentId::from_uuid(*backup.id.as_uuid()),
        user: app.map_or_else(
            || row.name.clone(),
            |app| format!("{}/{} (backup)", app.name, row.name),
        ),
        memory_bytes: config.databases.memory_bytes,
        disk_bytes: config.capacity.disk_free_bytes
            + database_bytes
            + SCRATCH_BYTES
            + if is_elsewhere { 0 } else { file_bytes },
    };
    let asked = platform.capacity.let_in(platform, &wish).await?;
    asked.map_err(|refused| {
        let message = format!(
            "the machine has no room for it: {} of {} {} are in use, and it takes {}",
            size(refused.used),
            size(refused.limit),
            refused.resource,
            size(refused.asked)
        );
        Failed::new(BackupFailure::NoRoom, message)
    })
}

/// Half as much again as the last good one took; of a first one, half of the database, whose content is packed and whose indexes stay behind.
fn expected_bytes(earlier: &[BackupRow], database_bytes: u64) -> u64 {
    let last = earlier.iter().find(|backup| backup.state == BackupState::Good);
    let bytes = last.and_then(|backup| backup.bytes);
    bytes
        .map_or(database_bytes / 2, |bytes| bytes + bytes / 2)
        .max(LEAST_BYTES)
}
