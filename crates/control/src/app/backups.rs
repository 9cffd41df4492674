//! Backups of the databases that the platform runs for an app.

use mainstay_spec::ids::{AppId, BackupId};
use mainstay_store::{BackupCause, BackupRow, BackupState, DatabaseRow, RestoreRow};

use super::{Application, Refusal};
use crate::databases::{self, Condition, backups};

impl Application {
    /// Begins one, of a database that can be asked.
    pub(crate) async fn back_up(&self, app: AppId, name: &str) -> Result<BackupRow, Refusal> {
        let row = self.database_row(app, name).await?;
        match databases::condition(&self.platform, &row) {
            Condition::Stopped => {
                return Err(Refusal::Conflict(format!(
                    "`{name}` is stopped, for no spec names it: there is no server to take a backup of"
                )));
            }
            Condition::Broken(trouble) => {
                return Err(Refusal::Conflict(format!("`{name}`: {}", trouble.message)));
            }
            Condition::Starting(_) | Condition::Ready { .. } => {}
        }
        let begun = backups::begin(&self.platform, &row, BackupCause::Manual).await?;
        begun.ok_or_else(|| busy(name))
    }

    /// The newest first.
    pub(crate) async fn backups(&self, app: AppId, name: &str) -> Result<Vec<BackupRow>, Refusal> {
        let row = self.database_row(app, name).await?;
        Ok(backups::of_database(&self.platform, row.id).await?)
    }

    pub(crate) async fn backup(&self, app: AppId, name: &str, id: BackupId) -> Result<BackupRow, Refusal> {
        let mut backups = self.backups(app, name).await?.into_iter();
        backups.find(|backup| backup.id == id).ok_or(Refusal::NotFound)
    }

    /// Begins to give the database the data of a good backup, which has to be `confirmed`.
    pub(crate) async fn restore(
        &self,
        app: AppId,
        name: &str,
        id: BackupId,
        confirmed: bool,
    ) -> Result<RestoreRow, Refusal> {
        let row = self.database_row(app, name).await?;
        let backup = self.backup(app, name, id).await?;
        match backup.state {
            BackupState::Good => {}
            BackupState::Failed => {
                return Err(Refusal::Conflict(format!(
                    "backup {id} failed and cannot be restored: {}",
                    backup.message
                )));
            }
            BackupState::Pending | BackupState::Running | BackupState::Verifying => {
                return Err(Refusal::Conflict(format!("backup {id} is not over yet")));
            }
        }
        if !confirmed {
            return Err(Refusal::Conflict(format!(
                "the data of `{name}` would be replaced by that of {}, and what was written since would be lost; \
                 to do that, set replace_data=true (`mainstay databases restore --replace-data`)",
                backup.created_at
            )));
        }
        let begun = backups::restore(&self.platform, &row, &backup).await?;
        begun.ok_or_else(|| busy(name))
    }

    /// The newest first.
    pub(crate) async fn restores(&self, app: AppId, name: &str) -> Result<Vec<RestoreRow>, Refusal> {
        let row = self.database_row(app, name).await?;
        Ok(backups::restores(&self.platform, row.id).await?)
    }

    async fn database_row(&self, app: AppId, name: &str) -> Result<DatabaseRow, Refusal> {
        self.app(app).await?;
        let mut rows = self.platform.store.databases_of_app(app).await?.into_iter();
        rows.find(|row| row.name == name).ok_or(Refusal::NotFound)
    }
}

fn busy(name: &str) -> Refusal {
    Refusal::Conflict(format!(
        "a backup or a restore of `{name}` is under way; wait for its end"
    ))
}
