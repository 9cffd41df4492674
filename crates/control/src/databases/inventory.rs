//! What there is of the databases that the platform runs for an app, and the end of one that no spec names any more.

use std::sync::Arc;

use jiff::Timestamp;
use mainstay_spec::ids::AppId;
use mainstay_store::{BackupRow, BackupState, DatabaseRow};

use super::{Condition, announce, backups, condition, delete, keeper::is_wanted};
use crate::platform::{Platform, PlatformError};

/// A database, how it is, and whether a spec that counts names it.
#[derive(Debug)]
pub(crate) struct DatabaseView {
    pub(crate) row: DatabaseRow,
    pub(crate) condition: Condition,
    pub(crate) is_in_use: bool,
    /// The newest that is over.
    pub(crate) last_backup: Option<BackupRow>,
    /// When the newest good one was begun.
    pub(crate) last_good_backup_at: Option<Timestamp>,
}

/// Why a database was not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotDeleted {
    Unknown,
    InUse,
}

/// Those of one app, by name.
pub(crate) async fn of_app(platform: &Arc<Platform>, app: AppId) -> Result<Vec<DatabaseView>, PlatformError> {
    let mut views = Vec::new();
    for row in platform.store.databases_of_app(app).await? {
        let backups = backups::of_database(platform, row.id).await?;
        let good = backups.iter().find(|backup| backup.state == BackupState::Good);
        views.push(DatabaseView {
            is_in_use: is_wanted(platform, &row).await? != Some(false),
            condition: condition(platform, &row),
            last_good_backup_at: good.map(|backup| backup.created_at),
            last_backup: backups.into_iter().find(|backup| backup.state.is_over()),
            row,
        });
    }
    Ok(views)
}

/// Deletes one with all its data, unless a spec names it that serves, goes on or waits.
pub(crate) async fn delete_unused(
    platform: &Arc<Platform>,
    app: AppId,
    name: &str,
) -> Result<Result<(), NotDeleted>, PlatformError> {
    let rows = platform.store.databases_of_app(app).await?;
    let Some(row) = rows.into_iter().find(|row| row.name == name) else {
        return Ok(Err(NotDeleted::Unknown));
    };
    let keeper = platform.databases.keeper(platform, row.id);
    let _turn = keeper.turn.lock().await;
    // What the keeper changed before this turn counts.
    let Some(row) = platform.store.database(row.id).await? else {
        return Ok(Err(NotDeleted::Unknown));
    };
    if is_wanted(platform, &row).await? != Some(false) {
        return Ok(Err(NotDeleted::InUse));
    }
    delete(platform, &row).await?;
    keeper.wake.notify_one();
    announce(platform, app).await?;
    Ok(Ok(()))
}
