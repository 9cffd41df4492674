//! What is still needed of the past, and forgetting the rest. Plain columns only: these queries run over everything there is.

use std::collections::HashSet;

use jiff::Timestamp;
use mainstay_deploy::PhaseKind;
use mainstay_spec::{
    AppSpec,
    ids::{AccountId, AppId, BuildId, DeploymentId, InstanceId},
};
use serde::de::DeserializeOwned;
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    Store, StoreError,
    columns::{id, parsed, word},
};

/// Deployments whose images somebody may still start: those that are not settled, serve, have instances that were not removed or a
/// run of a job that has not ended, or are one of an app's newest `?1` that served before and can be rolled back to.
const HELD: &str = "
    SELECT id FROM deployments WHERE settled = 0
    UNION SELECT active_deployment FROM apps WHERE active_deployment IS NOT NULL
    UNION SELECT deployment FROM instances WHERE removed = 0
    UNION SELECT deployment FROM job_invocations WHERE completed_at IS NULL
    UNION SELECT id FROM (
        SELECT d.id, row_number() OVER (PARTITION BY d.app ORDER BY d.number DESC) AS place
        FROM deployments AS d JOIN apps AS a ON a.id = d.app
        WHERE d.activated_at IS NOT NULL AND d.id IS NOT a.active_deployment
    ) WHERE place <= ?1";

/// A deployment, as far as keeping goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastDeployment {
    pub id: DeploymentId,
    pub app: AppId,
    pub account: AccountId,
    pub number: u64,
    pub phase: PhaseKind,
    pub settled: bool,
    /// It serves.
    pub active: bool,
    /// Of its last event.
    pub updated_at: Timestamp,
}

/// An instance, as far as keeping goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastInstance {
    pub id: InstanceId,
    pub deployment: DeploymentId,
    pub component: String,
    pub ordinal: u32,
    /// How many started in its place before it.
    pub restarts: u32,
    pub removed: bool,
}

impl Store {
    /// Deployments whose images have to stay; `rollbacks`: how many of each app could be rolled back to.
    pub async fn held_deployments(&self, rollbacks: u32) -> Result<HashSet<DeploymentId>, StoreError> {
        let rows = sqlx::query(HELD)
            .bind(rollbacks)
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during("list the deployments that are held"))?;
        rows.iter().map(|row| id(row, "id")).collect()
    }

    /// The specs of all apps and of all deployments that are held.
    pub async fn specs_in_use(&self, rollbacks: u32) -> Result<Vec<AppSpec>, StoreError> {
        let query = format!(
            "SELECT id, spec FROM apps UNION ALL SELECT id, spec FROM deployments WHERE id IN ({HELD})"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(rollbacks)
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during("list the specs in use"))?;
        rows.iter()
            .map(|row| {
                let owner: &str = row.get("id");
                serde_json::from_str(row.get("spec")).map_err(StoreError::damaged("spec", owner))
            })
            .collect()
    }

    /// Every deployment of every app, newest first within each.
    pub async fn past_deployments(&self) -> Result<Vec<PastDeployment>, StoreError> {
        let rows = sqlx::query(
            "SELECT d.id, d.app, a.account, d.number, d.phase, d.settled, d.updated_at, d.id IS a.active_deployment AS active
             FROM deployments AS d JOIN apps AS a ON a.id = d.app ORDER BY d.app, d.number DESC",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("list all deployments"))?;
        rows.iter().map(read_deployment).collect()
    }

    /// Every build with its deployment.
    pub async fn past_builds(&self) -> Result<Vec<(BuildId, DeploymentId)>, StoreError> {
        let rows = sqlx::query("SELECT id, deployment FROM builds")
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during("list all builds"))?;
        rows.iter()
            .map(|row| Ok((id(row, "id")?, id(row, "deployment")?)))
            .collect()
    }

    pub async fn deployment_ids(&self, app: AppId) -> Result<Vec<DeploymentId>, StoreError> {
        let rows = sqlx::query("SELECT id FROM deployments WHERE app = ?")
            .bind(app.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!("list the deployments of app {app}")))?;
        rows.iter().map(|row| id(row, "id")).collect()
    }

    pub async fn build_ids(&self, deployment: DeploymentId) -> Result<Vec<BuildId>, StoreError> {
        let rows = sqlx::query("SELECT id FROM builds WHERE deployment = ?")
            .bind(deployment.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!(
                "list the builds of deployment {deployment}"
            )))?;
        rows.iter().map(|row| id(row, "id")).collect()
    }

    /// What each app was ever built from.
    pub async fn sources<S: DeserializeOwned>(&self) -> Result<Vec<(AppId, S)>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT d.app, b.source FROM builds AS b JOIN deployments AS d ON d.id = b.deployment",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("list the sources of all apps"))?;
        rows.iter()
            .map(|row| {
                let app = id(row, "app")?;
                let source = serde_json::from_str(row.get("source"));
                Ok((app, source.map_err(StoreError::damaged("source", app))?))
            })
            .collect()
    }

    /// Every instance, in the order in which they were started in their places.
    pub async fn past_instances(&self) -> Result<Vec<PastInstance>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, deployment, component, ordinal, restarts, removed
             FROM instances ORDER BY deployment, component, ordinal, restarts",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("list all instances"))?;
        rows.iter().map(read_instance).collect()
    }

    /// Forgets a settled deployment that does not serve, with its events, builds, instances and reasons. Says whether it was one.
    pub async fn forget_deployment(&self, deployment: DeploymentId) -> Result<bool, StoreError> {
        let deleted = sqlx::query(
            "DELETE FROM deployments WHERE id = ?1 AND settled = 1
               AND NOT EXISTS (SELECT 1 FROM apps WHERE apps.id = deployments.app AND active_deployment = ?1)
               AND NOT EXISTS (SELECT 1 FROM instances WHERE deployment = ?1 AND removed = 0)",
        )
        .bind(deployment.to_string())
        .execute(&self.writer)
        .await
        .map_err(StoreError::during(format!("forget deployment {deployment}")))?;
        Ok(deleted.rows_affected() > 0)
    }

    /// Forgets an instance that was removed.
    pub async fn forget_instance(&self, instance: InstanceId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM instances WHERE id = ? AND removed = 1")
            .bind(instance.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("forget instance {instance}")))?;
        Ok(())
    }
}

fn read_deployment(row: &SqliteRow) -> Result<PastDeployment, StoreError> {
    let name: &str = row.get("id");
    Ok(PastDeployment {
        id: id(row, "id")?,
        app: id(row, "app")?,
        account: id(row, "account")?,
        number: u64::try_from(row.get::<i64, _>("number")).unwrap_or(0),
        phase: word(row, "phase", name)?,
        settled: row.get("settled"),
        active: row.get("active"),
        updated_at: parsed(row, "updated_at", name)?,
    })
}

fn read_instance(row: &SqliteRow) -> Result<PastInstance, StoreError> {
    Ok(PastInstance {
        id: id(row, "id")?,
        deployment: id(row, "deployment")?,
        component: row.get("component"),
        ordinal: row.get("ordinal"),
        restarts: row.get("restarts"),
        removed: row.get("removed"),
    })
}
