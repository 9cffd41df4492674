//! Calls about backups of databases.

use mainstay_api::{
    BackupResponse, BackupsResponse, DatabaseBackup, DatabaseRestore, RestoreResponse, RestoresResponse,
};
use reqwest::Method;
use serde_json::Value;

use super::{Client, escaped};
use crate::error::CliError;

impl Client {
    /// Begins one.
    pub(crate) async fn back_up(&self, app: &str, database: &str) -> Result<DatabaseBackup, CliError> {
        let answer: BackupResponse = self
            .send(Method::POST, &path(app, database), &Value::Null)
            .await?;
        Ok(answer.backup)
    }

    pub(crate) async fn backups(&self, app: &str, database: &str) -> Result<Vec<DatabaseBackup>, CliError> {
        let answer: BackupsResponse = self.get(&path(app, database)).await?;
        Ok(answer.backups)
    }

    /// With its tables.
    pub(crate) async fn backup(
        &self,
        app: &str,
        database: &str,
        backup: &str,
    ) -> Result<DatabaseBackup, CliError> {
        let path = format!("{}/{}", path(app, database), escaped(backup));
        let answer: BackupResponse = self.get(&path).await?;
        Ok(answer.backup)
    }

    /// Begins it.
    pub(crate) async fn restore(
        &self,
        app: &str,
        database: &str,
        backup: &str,
        replace_data: bool,
    ) -> Result<DatabaseRestore, CliError> {
        let backup = format!("{}/{}", path(app, database), escaped(backup));
        let path = format!("{backup}/restore?replace_data={replace_data}");
        let answer: RestoreResponse = self.send(Method::POST, &path, &Value::Null).await?;
        Ok(answer.restore)
    }

    pub(crate) async fn restores(&self, app: &str, database: &str) -> Result<Vec<DatabaseRestore>, CliError> {
        let path = format!("/v2/mainstay/apps/{app}/databases/{}/restores", escaped(database));
        let answer: RestoresResponse = self.get(&path).await?;
        Ok(answer.restores)
    }
}

fn path(app: &str, database: &str) -> String {
    format!("/v2/mainstay/apps/{app}/databases/{}/backups", escaped(database))
}
