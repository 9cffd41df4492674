//! Builds: one per component of a deployment.

use jiff::Timestamp;
use mainstay_diagnosis::facts::BuildFacts;
use mainstay_spec::ids::{BuildId, DeploymentId};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Store, StoreError,
    columns::{from_json, from_json_if_set, parsed},
};

/// A build. `S` and `O` are the builder's own types for what was built and what came out; the store only keeps them.
#[derive(Debug, Clone)]
pub struct BuildRow<S, O> {
    pub id: BuildId,
    pub deployment: DeploymentId,
    pub component: String,
    pub source: S,
    /// `None` until it ended, and when it failed.
    pub output: Option<O>,
    /// `None` until it ended.
    pub facts: Option<BuildFacts>,
    pub created_at: Timestamp,
}

impl Store {
    /// Stores a build, replacing an unfinished one of the same component.
    pub async fn put_build<S: Serialize, O: Serialize>(
        &self,
        row: &BuildRow<S, O>,
    ) -> Result<(), StoreError> {
        let mut connection = self
            .writer
            .acquire()
            .await
            .map_err(StoreError::during(format!("store build {}", row.id)))?;
        put(&mut connection, row).await
    }

    pub async fn builds<S: DeserializeOwned, O: DeserializeOwned>(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<BuildRow<S, O>>, StoreError> {
        let rows = sqlx::query("SELECT * FROM builds WHERE deployment = ? ORDER BY component")
            .bind(deployment.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!(
                "read the builds of deployment {deployment}"
            )))?;
        rows.iter().map(read).collect()
    }
}

pub(crate) async fn put<S: Serialize, O: Serialize>(
    connection: &mut SqliteConnection,
    row: &BuildRow<S, O>,
) -> Result<(), StoreError> {
    let text = |value: Result<String, serde_json::Error>| value.map_err(StoreError::damaged("build", row.id));
    let output = row
        .output
        .as_ref()
        .map(serde_json::to_string)
        .map(text)
        .transpose()?;
    let facts = row
        .facts
        .as_ref()
        .map(serde_json::to_string)
        .map(text)
        .transpose()?;
    sqlx::query(
        "INSERT OR REPLACE INTO builds (id, deployment, component, source, output, facts, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.id.to_string())
    .bind(row.deployment.to_string())
    .bind(&row.component)
    .bind(text(serde_json::to_string(&row.source))?)
    .bind(output)
    .bind(facts)
    .bind(row.created_at.to_string())
    .execute(connection)
    .await
    .map_err(StoreError::during(format!("store build {}", row.id)))?;
    Ok(())
}

pub(crate) fn read<S: DeserializeOwned, O: DeserializeOwned>(
    row: &SqliteRow,
) -> Result<BuildRow<S, O>, StoreError> {
    let id: String = row.get("id");
    Ok(BuildRow {
        id: id.parse().map_err(StoreError::damaged("id", &id))?,
        deployment: parsed(row, "deployment", &id)?,
        component: row.get("component"),
        source: from_json(row, "source", &id)?,
        output: from_json_if_set(row, "output", &id)?,
        facts: from_json_if_set(row, "facts", &id)?,
        created_at: parsed(row, "created_at", &id)?,
    })
}
