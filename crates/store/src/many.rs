//! What is known of many apps or deployments, each kind in one query: a page of a list must not ask for each of its rows.

use std::{collections::HashMap, fmt::Display};

use mainstay_deploy::Recorded;
use mainstay_spec::ids::{AppId, DeploymentId};
use serde::de::DeserializeOwned;
use sqlx::{Row, sqlite::SqliteRow};

use crate::{BuildRow, DeploymentRow, ReasonRow, Store, StoreError, builds, deployments, reasons};

impl Store {
    /// Those of these that there are, in no order.
    pub async fn deployments_by_id(&self, ids: &[DeploymentId]) -> Result<Vec<DeploymentRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM deployments WHERE id IN (SELECT value FROM json_each(?))")
            .bind(list(ids))
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during("read several deployments"))?;
        rows.iter().map(deployments::read).collect()
    }

    /// What is not settled yet of these apps, oldest first.
    pub async fn unsettled_of_apps(&self, apps: &[AppId]) -> Result<Vec<DeploymentRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM deployments
             WHERE app IN (SELECT value FROM json_each(?)) AND settled = 0 ORDER BY number",
        )
        .bind(list(apps))
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during(
            "list the unsettled deployments of several apps",
        ))?;
        rows.iter().map(deployments::read).collect()
    }

    /// Their event logs, each oldest first.
    pub async fn events_of(
        &self,
        deployments: &[DeploymentId],
    ) -> Result<HashMap<DeploymentId, Vec<Recorded>>, StoreError> {
        let rows = sqlx::query(
            "SELECT deployment, at, event FROM deployment_events
             WHERE deployment IN (SELECT value FROM json_each(?)) ORDER BY deployment, sequence",
        )
        .bind(list(deployments))
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("read the events of several deployments"))?;
        by_deployment(&rows, deployments::read_event)
    }

    pub async fn builds_of<S: DeserializeOwned, O: DeserializeOwned>(
        &self,
        deployments: &[DeploymentId],
    ) -> Result<HashMap<DeploymentId, Vec<BuildRow<S, O>>>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM builds WHERE deployment IN (SELECT value FROM json_each(?)) ORDER BY deployment, component",
        )
        .bind(list(deployments))
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("read the builds of several deployments"))?;
        by_deployment(&rows, |row, _| builds::read(row))
    }

    pub async fn reasons_of(
        &self,
        deployments: &[DeploymentId],
    ) -> Result<HashMap<DeploymentId, Vec<ReasonRow>>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM reasons
             WHERE deployment IN (SELECT value FROM json_each(?)) ORDER BY deployment, observed_at",
        )
        .bind(list(deployments))
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("read the reasons of several deployments"))?;
        by_deployment(&rows, reasons::read)
    }
}

/// For `json_each`. Ids are plain words.
fn list(ids: &[impl Display]) -> String {
    let quoted: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", quoted.join(","))
}

fn by_deployment<T>(
    rows: &[SqliteRow],
    read: impl Fn(&SqliteRow, DeploymentId) -> Result<T, StoreError>,
) -> Result<HashMap<DeploymentId, Vec<T>>, StoreError> {
    let mut found: HashMap<DeploymentId, Vec<T>> = HashMap::new();
    for row in rows {
        let id: &str = row.get("deployment");
        let id = id.parse().map_err(StoreError::damaged("deployment", id))?;
        found.entry(id).or_default().push(read(row, id)?);
    }
    Ok(found)
}
