//! Instances: which exist, whose they are, and how they ended.

use jiff::Timestamp;
use mainstay_diagnosis::facts::ExitRecord;
use mainstay_spec::ids::{AppId, DeploymentId, InstanceId, InvocationId};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    Store, StoreError,
    columns::{from_json_if_set, parsed, parsed_if_set},
};

#[derive(Debug, Clone)]
pub struct InstanceRow {
    pub id: InstanceId,
    pub app: AppId,
    pub deployment: DeploymentId,
    pub component: String,
    pub ordinal: u32,
    pub created_at: Timestamp,
    /// The engine holds nothing of it any more but its log.
    pub removed: bool,
    pub exit: Option<ExitRecord>,
    /// How many started in its place before it. Given by the store.
    pub restarts: u32,
    /// The run that it is of, if its component is a job.
    pub invocation: Option<InvocationId>,
}

impl InstanceRow {
    /// The name people see: `web-0`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.component, self.ordinal)
    }

    /// A name that no other instance of the app has or had: `web-76b84c7f`.
    pub fn unique_name(&self) -> String {
        format!("{}-{}", self.component, self.id.short())
    }

    /// Whether somebody who says this means it: any of its names, or its id.
    pub fn is_called(&self, name: &str) -> bool {
        name == self.name() || name == self.unique_name() || name == self.id.to_string()
    }
}

impl Store {
    /// Stores the instance before it is started, so that nothing can run that nobody knows of.
    pub async fn insert_instance(&self, row: &InstanceRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO instances (id, app, deployment, component, ordinal, created_at, invocation, restarts)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, coalesce(max(restarts) + 1, 0)
             FROM instances WHERE deployment = ?3 AND component = ?4 AND ordinal = ?5",
        )
        .bind(row.id.to_string())
        .bind(row.app.to_string())
        .bind(row.deployment.to_string())
        .bind(&row.component)
        .bind(row.ordinal)
        .bind(row.created_at.to_string())
        .bind(row.invocation.map(|id| id.to_string()))
        .execute(&self.writer)
        .await
        .map_err(StoreError::during(format!("store instance {}", row.id)))?;
        Ok(())
    }

    pub async fn set_instance_exit(&self, id: InstanceId, exit: &ExitRecord) -> Result<(), StoreError> {
        let json = serde_json::to_string(exit).map_err(StoreError::damaged("exit record", id))?;
        sqlx::query("UPDATE instances SET exit = ? WHERE id = ?")
            .bind(json)
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("store the exit of instance {id}")))?;
        Ok(())
    }

    pub async fn mark_instance_removed(&self, id: InstanceId) -> Result<(), StoreError> {
        sqlx::query("UPDATE instances SET removed = 1 WHERE id = ?")
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("mark instance {id} as removed")))?;
        Ok(())
    }

    /// Every instance of the deployment, oldest first, removed ones included.
    pub async fn instances_of_deployment(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<InstanceRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM instances WHERE deployment = ? ORDER BY created_at, id")
            .bind(deployment.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!(
                "list the instances of deployment {deployment}"
            )))?;
        rows.iter().map(read).collect()
    }

    /// Every instance that was ever started in one place of a deployment, oldest first.
    pub async fn instances_of_place(
        &self,
        deployment: DeploymentId,
        component: &str,
        ordinal: u32,
    ) -> Result<Vec<InstanceRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM instances WHERE deployment = ? AND component = ? AND ordinal = ? ORDER BY restarts",
        )
        .bind(deployment.to_string())
        .bind(component)
        .bind(ordinal)
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during(format!(
            "list the instances of {component}-{ordinal} of deployment {deployment}"
        )))?;
        rows.iter().map(read).collect()
    }

    /// Every instance of the run, oldest first.
    pub async fn instances_of_invocation(
        &self,
        invocation: InvocationId,
    ) -> Result<Vec<InstanceRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM instances WHERE invocation = ? ORDER BY created_at, id")
            .bind(invocation.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!(
                "list the instances of job invocation {invocation}"
            )))?;
        rows.iter().map(read).collect()
    }

    /// The instances of the app that the engine may still hold.
    pub async fn present_instances(&self, app: AppId) -> Result<Vec<InstanceRow>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM instances WHERE app = ? AND removed = 0 ORDER BY created_at, id")
                .bind(app.to_string())
                .fetch_all(&self.readers)
                .await
                .map_err(StoreError::during(format!("list the instances of app {app}")))?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &SqliteRow) -> Result<InstanceRow, StoreError> {
    let id: String = row.get("id");
    Ok(InstanceRow {
        id: id.parse().map_err(StoreError::damaged("id", &id))?,
        app: parsed(row, "app", &id)?,
        deployment: parsed(row, "deployment", &id)?,
        component: row.get("component"),
        ordinal: row.get("ordinal"),
        created_at: parsed(row, "created_at", &id)?,
        removed: row.get("removed"),
        exit: from_json_if_set(row, "exit", &id)?,
        restarts: row.get("restarts"),
        invocation: parsed_if_set(row, "invocation", &id)?,
    })
}
