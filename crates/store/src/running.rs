//! What serves and what runs on the machine, as far as counting goes. Plain columns only.

use std::collections::HashMap;

use mainstay_spec::ids::{AppId, DeploymentId};
use sqlx::Row;

use crate::{Store, StoreError, columns::id};

/// Instances of one component that have not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningGroup {
    pub app: AppId,
    pub deployment: DeploymentId,
    pub component: String,
    pub count: u64,
}

impl Store {
    /// The names of the apps of this one's account, its own among them: those that it may be told.
    pub async fn names_beside(&self, app: AppId) -> Result<HashMap<AppId, String>, StoreError> {
        let rows =
            sqlx::query("SELECT id, name FROM apps WHERE account = (SELECT account FROM apps WHERE id = ?)")
                .bind(app.to_string())
                .fetch_all(&self.readers)
                .await
                .map_err(StoreError::during("list the names of an account's apps"))?;
        rows.iter()
            .map(|row| Ok((id(row, "id")?, row.get("name"))))
            .collect()
    }

    /// The deployment that serves, of each app that has one and is not being deleted.
    pub async fn serving_deployments(&self) -> Result<Vec<(AppId, DeploymentId)>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, active_deployment FROM apps WHERE active_deployment IS NOT NULL AND deleting = 0",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("list what serves"))?;
        rows.iter()
            .map(|row| Ok((id(row, "id")?, id(row, "active_deployment")?)))
            .collect()
    }

    /// Everything that may run, whether it serves or not.
    pub async fn running_instances(&self) -> Result<Vec<RunningGroup>, StoreError> {
        let rows = sqlx::query(
            "SELECT app, deployment, component, count(*) AS count FROM instances
             WHERE removed = 0 AND exit IS NULL GROUP BY app, deployment, component",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("count the instances that run"))?;
        rows.iter()
            .map(|row| {
                Ok(RunningGroup {
                    app: id(row, "app")?,
                    deployment: id(row, "deployment")?,
                    component: row.get("component"),
                    count: u64::try_from(row.get::<i64, _>("count")).unwrap_or(0),
                })
            })
            .collect()
    }
}
