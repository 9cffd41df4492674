//! What becomes of backups that are there: they are looked at again, the oldest go, and what an earlier server left behind is put in order.

use std::path::Path;

use jiff::Timestamp;
use mainstay_spec::ids::DatabaseId;
use mainstay_store::{BackupFailure, BackupRow, BackupState, DatabaseRow};

use super::{
    super::volume::Places,
    failure::Failed,
    file::{self, Stored},
    restore, retention,
};
use crate::platform::{Platform, PlatformError};

/// What is told of a backup, or of a restore, that the server did not finish.
pub(super) const INTERRUPTED: &str = "the server ended in the middle";

/// Lets go of those that are not kept any more. For whoever has the turn: none of them is being restored.
pub(super) async fn let_go(platform: &Platform, database: DatabaseId) -> Result<(), PlatformError> {
    let (store, config) = (&platform.store, &platform.config);
    let backups = store.backups_of_database(database).await?;
    for id in retention::surplus(&backups, &config.databases.backups, platform.clock.now()) {
        remove(&file::path(config, database, id))?;
        store.delete_backup(id).await?;
    }
    Ok(())
}

/// Reads all files: what was damaged on its disk is not good any more.
pub(super) async fn check(platform: &Platform, database: DatabaseId) -> Result<(), PlatformError> {
    for backup in good(platform, database).await? {
        let checked = async { Stored::open(&platform.config, &backup).await?.check().await };
        let Err(failed) = checked.await else {
            continue;
        };
        // It may have been let go of while it was read.
        if let Some(backup) = platform.store.backup(backup.id).await? {
            condemn(platform, &backup, &failed).await?;
        }
    }
    Ok(())
}

/// Finds at once what is gone or has another length.
pub(super) async fn glance(platform: &Platform, database: DatabaseId) -> Result<(), PlatformError> {
    for backup in good(platform, database).await? {
        if let Err(failed) = Stored::open(&platform.config, &backup).await {
            condemn(platform, &backup, &failed).await?;
        }
    }
    Ok(())
}

async fn good(platform: &Platform, database: DatabaseId) -> Result<Vec<BackupRow>, PlatformError> {
    let mut backups = platform.store.backups_of_database(database).await?;
    backups.retain(|backup| backup.state == BackupState::Good);
    Ok(backups)
}

/// It was good, and is not.
pub(super) async fn condemn(
    platform: &Platform,
    backup: &BackupRow,
    failed: &Failed,
) -> Result<(), PlatformError> {
    tracing::warn!(backup = %backup.id, why = failed.message, "a backup is not good any more");
    let why = Some((failed.kind, failed.message.as_str()));
    platform
        .store
        .end_backup(backup.id, why, Timestamp::now())
        .await?;
    Ok(())
}

/// Before keepers and schedule begin: no instance of an earlier server's backups is left.
pub(super) async fn take_up(platform: &Platform) -> Result<(), PlatformError> {
    let databases = platform.store.databases().await?;
    for row in &databases {
        for backup in platform.store.backups_of_database(row.id).await? {
            if !backup.state.is_over() {
                let why = Some((BackupFailure::Interrupted, INTERRUPTED));
                platform
                    .store
                    .end_backup(backup.id, why, Timestamp::now())
                    .await?;
            }
        }
    }
    for row in &databases {
        for one in platform.store.restores_of_database(row.id).await? {
            if !one.state.is_over() {
                restore::settle(platform, one.id).await?;
            }
        }
    }
    sweep(platform, &databases).await
}

/// Halves of files, files that no backup has, and those of databases that are gone. What is called otherwise is somebody else's.
async fn sweep(platform: &Platform, databases: &[DatabaseRow]) -> Result<(), PlatformError> {
    let directory = file::directory(&platform.config);
    for place in entries(&directory)? {
        let name = place.file_name().and_then(|name| name.to_str());
        let Some(id) = name.and_then(|name| name.parse::<DatabaseId>().ok()) else {
            continue;
        };
        if !databases.iter().any(|row| row.id == id) {
            std::fs::remove_dir_all(&place).map_err(failed(&place))?;
            continue;
        }
        let kept: Vec<_> = platform
            .store
            .backups_of_database(id)
            .await?
            .into_iter()
            .filter(has_file)
            .map(|backup| backup.id)
            .collect();
        for file in entries(&place)? {
            let is_kept = file::backup_of(&file).is_some_and(|backup| kept.contains(&backup));
            if !is_kept {
                remove(&file)?;
            }
        }
    }
    for row in databases {
        let places = Places::new(&platform.config.data_dir, row.id);
        for file in entries(places.root())? {
            if Places::is_leftover(row, &file) {
                remove(&file)?;
            }
        }
    }
    Ok(())
}

/// One that was good once may still be of use to somebody.
fn has_file(backup: &BackupRow) -> bool {
    backup.state == BackupState::Good || backup.failure == Some(BackupFailure::Checksum)
}

fn entries(directory: &Path) -> Result<Vec<std::path::PathBuf>, PlatformError> {
    match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .map_err(failed(directory)),
    }
}

fn remove(file: &Path) -> Result<(), PlatformError> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(file)(error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> PlatformError {
    let operation = format!("clean up {}", path.display());
    move |source| PlatformError::Io { operation, source }
}
