//! Reasons that are known while a deployment goes on or serves; final ones are part of its events.

use jiff::Timestamp;
use mainstay_diagnosis::Reason;
use mainstay_spec::ids::DeploymentId;
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    Store, StoreError,
    columns::{from_json, parsed, parsed_if_set},
};

#[derive(Debug, Clone)]
pub struct ReasonRow {
    pub deployment: DeploymentId,
    pub component: String,
    /// `wait` while it is being deployed, `run` once it serves.
    pub stage: String,
    pub reason: Reason,
    pub observed_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
}

impl Store {
    /// Stores the newest reason of a stage; one that healed is overwritten by a new one.
    pub async fn put_reason(&self, row: &ReasonRow) -> Result<(), StoreError> {
        let json =
            serde_json::to_string(&row.reason).map_err(StoreError::damaged("reason", row.deployment))?;
        sqlx::query(
            "INSERT OR REPLACE INTO reasons (deployment, component, stage, reason, observed_at, resolved_at)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(row.deployment.to_string())
        .bind(&row.component)
        .bind(&row.stage)
        .bind(json)
        .bind(row.observed_at.to_string())
        .bind(row.resolved_at.map(|at| at.to_string()))
        .execute(&self.writer)
        .await
        .map_err(StoreError::during(format!(
            "store a reason of deployment {}",
            row.deployment
        )))?;
        Ok(())
    }

    pub async fn resolve_reasons(
        &self,
        deployment: DeploymentId,
        component: &str,
        stage: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE reasons SET resolved_at = ? WHERE deployment = ? AND component = ? AND stage = ? AND resolved_at IS NULL",
        )
        .bind(now.to_string())
        .bind(deployment.to_string())
        .bind(component)
        .bind(stage)
        .execute(&self.writer)
        .await
        .map_err(StoreError::during(format!("resolve a reason of deployment {deployment}")))?;
        Ok(())
    }

    pub async fn reasons(&self, deployment: DeploymentId) -> Result<Vec<ReasonRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM reasons WHERE deployment = ? ORDER BY observed_at")
            .bind(deployment.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!(
                "read the reasons of deployment {deployment}"
            )))?;
        rows.iter().map(|row| read(row, deployment)).collect()
    }
}

pub(crate) fn read(row: &SqliteRow, deployment: DeploymentId) -> Result<ReasonRow, StoreError> {
    Ok(ReasonRow {
        deployment,
        component: row.get("component"),
        stage: row.get("stage"),
        reason: from_json(row, "reason", deployment)?,
        observed_at: parsed(row, "observed_at", deployment)?,
        resolved_at: parsed_if_set(row, "resolved_at", deployment)?,
    })
}
