//! The memory and the disk that a backup or a restore takes: promised before anything is begun.

use mainstay_images::store::free_bytes;
use mainstay_spec::ids::DeploymentId;
use mainstay_store::{BackupFailure, BackupRow, BackupState, DatabaseRow};
use uuid::Uuid;

use super::{
    failure::{Failed, size},
    file,
};
use crate::{
    capacity::{Claim, Wish},
    platform::{Platform, PlatformError},
};

/// Of an empty cluster and its log, beside what is restored.
const SCRATCH_BYTES: u64 = 256 << 20;
const LEAST_BYTES: u64 = 1 << 20;
/// How much larger than its archive a database is at most, usually.
const UNPACKS_TO: u64 = 8;

/// The file and the volume that it is tried on. `database_bytes` is what the database takes now.
pub(super) async fn for_backup(
    platform: &Platform,
    row: &DatabaseRow,
    backup: &BackupRow,
    database_bytes: u64,
) -> Result<Claim, Failed> {
    let earlier = platform.store.backups_of_database(row.id).await?;
    let file_bytes = expected_bytes(&earlier, database_bytes);
    let mut disk_bytes = database_bytes + SCRATCH_BYTES;
    if file::is_elsewhere(&platform.config) {
        let free = free_bytes(&file::directory(&platform.config)).map_err(PlatformError::from)?;
        if free < file_bytes {
            let message = format!(
                "the directory of backups has {} free, and the backup is expected to take {}",
                size(free),
                size(file_bytes)
            );
            return Err(Failed::new(BackupFailure::NoRoom, message));
        }
    } else {
        disk_bytes += file_bytes;
    }
    claim(platform, row, *backup.id.as_uuid(), disk_bytes).await
}

/// The new volume, beside the present one.
pub(super) async fn for_restore(
    platform: &Platform,
    row: &DatabaseRow,
    id: Uuid,
    backup: &BackupRow,
) -> Result<Claim, Failed> {
    let bytes = backup.bytes.unwrap_or(0).saturating_mul(UNPACKS_TO);
    claim(platform, row, id, bytes.min(row.volume_bytes) + SCRATCH_BYTES).await
}

/// Of one instance as large as the database's, and so much of the disk beside what has to stay free.
async fn claim(platform: &Platform, row: &DatabaseRow, id: Uuid, disk_bytes: u64) -> Result<Claim, Failed> {
    let config = &platform.config;
    let app = platform.store.app(row.app).await?;
    let wish = Wish {
        app: row.app,
        // Nobody else's: what is promised goes by this id.
        deployment: DeploymentId::from_uuid(id),
        user: app.map_or_else(
            || row.name.clone(),
            |app| format!("{}/{} (backup)", app.name, row.name),
        ),
        memory_bytes: config.databases.memory_bytes,
        disk_bytes: config.capacity.disk_free_bytes + disk_bytes,
        // Its database is there, and one more of few.
        needs_range: false,
        addresses: 0,
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use mainstay_spec::ids::{BackupId, DatabaseId};
    use mainstay_store::BackupCause;

    use super::*;

    #[test]
    fn a_backup_is_expected_to_be_like_the_last_good_one() {
        let backup = |state, bytes| BackupRow {
            id: BackupId::from_uuid(Uuid::nil()),
            database: DatabaseId::from_uuid(Uuid::nil()),
            cause: BackupCause::Manual,
            state,
            failure: None,
            message: String::new(),
            bytes: Some(bytes),
            sha256: None,
            tables: Vec::new(),
            created_at: Timestamp::UNIX_EPOCH,
            finished_at: None,
        };
        let earlier = [
            backup(BackupState::Failed, 1 << 40),
            backup(BackupState::Good, 10 << 20),
        ];
        assert_eq!(expected_bytes(&earlier, 1 << 40), 15 << 20);
        assert_eq!(expected_bytes(&[], 100 << 20), 50 << 20);
        assert_eq!(expected_bytes(&[], 0), LEAST_BYTES);
    }
}
