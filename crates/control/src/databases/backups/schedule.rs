//! Begins backups when they are due. A database whose server is stopped has none made: nothing in it changes.

use std::{sync::Arc, time::Duration};

use mainstay_store::{BackupCause, DatabaseRow};
use tokio::time::sleep;

use super::{begin, retention::due_at};
use crate::{
    databases::Condition,
    platform::{Platform, PlatformError},
};

/// Between two looks at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(30);
const LOOK_EVERY_LEAST: Duration = Duration::from_secs(1);

/// For as long as the server runs.
pub(crate) async fn keep(platform: Arc<Platform>) {
    let every = Duration::from_secs(platform.config.databases.backups.every_seconds);
    if every.is_zero() {
        return;
    }
    let pause = (every / 4).clamp(LOOK_EVERY_LEAST, LOOK_EVERY);
    loop {
        if let Err(error) = look(&platform).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not look for backups that are due"
            );
        }
        sleep(pause).await;
    }
}

async fn look(platform: &Arc<Platform>) -> Result<(), PlatformError> {
    for row in platform.store.databases().await? {
        if is_due(platform, &row).await? {
            // One that is under way already is as good.
            begin(platform, &row, BackupCause::Schedule).await?;
        }
    }
    Ok(())
}

async fn is_due(platform: &Arc<Platform>, row: &DatabaseRow) -> Result<bool, PlatformError> {
    let condition = platform.databases.keeper(platform, row.id).condition;
    let is_stopped = matches!(*condition.borrow(), Condition::Stopped);
    if is_stopped || !row.volume_made {
        return Ok(false);
    }
    let backups = platform.store.backups_of_database(row.id).await?;
    let due = due_at(&backups, &platform.config.databases.backups, row.created_at);
    Ok(due.is_some_and(|due| due <= platform.clock.now()))
}
