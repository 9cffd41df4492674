//! What happened to instances while they serve: typed, in order, and never more than a bounded number of each app.

use jiff::Timestamp;
use mainstay_diagnosis::{Cause, Code};
use mainstay_spec::ids::{AppId, DeploymentId, InstanceId};
use serde::{Deserialize, Serialize};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    Store, StoreError,
    columns::{from_json, parsed, parsed_if_set},
};

/// What happened. The full reason is with the deployment; an event names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum InstanceEvent {
    Started {
        /// How many started in its place before it.
        restarts: u32,
    },
    /// It answers, for the first time or again.
    Ready,
    /// It runs, and its readiness check fails.
    NotReady {
        code: Code,
        cause: Cause,
        message: String,
    },
    /// Its liveness check failed: the platform ends it and starts another.
    LivenessFailed { message: String },
    Exited {
        /// As users are shown it.
        exit_code: i32,
        /// `None`: it was asked to.
        code: Option<Code>,
        cause: Option<Cause>,
        message: String,
    },
    /// Another one could not be started.
    StartFailed {
        code: Code,
        cause: Cause,
        message: String,
    },
    /// Another one follows after a pause.
    Restarting { after_ms: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInstanceEvent {
    pub app: AppId,
    pub deployment: DeploymentId,
    pub component: String,
    pub ordinal: u32,
    /// `None` where there is no instance: between two of them.
    pub instance: Option<InstanceId>,
    pub at: Timestamp,
    pub event: InstanceEvent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceEventRow {
    /// Counts up.
    pub id: u64,
    pub deployment: DeploymentId,
    pub component: String,
    pub ordinal: u32,
    pub instance: Option<InstanceId>,
    pub at: Timestamp,
    pub event: InstanceEvent,
}

impl InstanceEventRow {
    /// The name people see: `web-0`.
    pub fn place(&self) -> String {
        format!("{}-{}", self.component, self.ordinal)
    }
}

impl Store {
    /// Appends the event. Of the app's events the newest `kept` stay.
    pub async fn append_instance_event(&self, new: &NewInstanceEvent, kept: u32) -> Result<(), StoreError> {
        let operation = || {
            format!(
                "store an event of {}-{} of app {}",
                new.component, new.ordinal, new.app
            )
        };
        let event = serde_json::to_string(&new.event).map_err(StoreError::damaged("event", new.app))?;
        let mut transaction = self
            .writer
            .begin()
            .await
            .map_err(StoreError::during(operation()))?;
        sqlx::query(
            "INSERT INTO instance_events (app, deployment, component, ordinal, instance, at, event)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(new.app.to_string())
        .bind(new.deployment.to_string())
        .bind(&new.component)
        .bind(new.ordinal)
        .bind(new.instance.map(|id| id.to_string()))
        .bind(new.at.to_string())
        .bind(event)
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::during(operation()))?;
        sqlx::query(
            "DELETE FROM instance_events WHERE app = ?1 AND id <= (
                 SELECT id FROM instance_events WHERE app = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2
             )",
        )
        .bind(new.app.to_string())
        .bind(kept)
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::during(operation()))?;
        transaction
            .commit()
            .await
            .map_err(StoreError::during(operation()))
    }

    /// A page of the app's events, of one component or of all, newest first, and how many there are.
    pub async fn instance_events(
        &self,
        app: AppId,
        component: Option<&str>,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<InstanceEventRow>, u64), StoreError> {
        let operation = || format!("list the instance events of app {app}");
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let rows = sqlx::query(
            "SELECT * FROM instance_events WHERE app = ?1 AND (?2 IS NULL OR component = ?2)
             ORDER BY id DESC LIMIT ?3 OFFSET ?4",
        )
        .bind(app.to_string())
        .bind(component)
        .bind(number(limit))
        .bind(number(offset))
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during(operation()))?;
        let total: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM instance_events WHERE app = ?1 AND (?2 IS NULL OR component = ?2)",
        )
        .bind(app.to_string())
        .bind(component)
        .fetch_one(&self.readers)
        .await
        .map_err(StoreError::during(operation()))?;
        let rows = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok((rows, u64::try_from(total).unwrap_or(0)))
    }

    /// How often an instance of the component was started after another one in its place, after `since`.
    pub async fn restarts_since(
        &self,
        app: AppId,
        component: &str,
        since: Timestamp,
    ) -> Result<u32, StoreError> {
        sqlx::query_scalar(
            "SELECT count(*) FROM instance_events WHERE app = ? AND component = ? AND at > ?
               AND event ->> 'event' = 'started' AND event ->> 'restarts' > 0",
        )
        .bind(app.to_string())
        .bind(component)
        .bind(since.to_string())
        .fetch_one(&self.readers)
        .await
        .map_err(StoreError::during(format!(
            "count the restarts of {component} of app {app}"
        )))
    }
}

fn read(row: &SqliteRow) -> Result<InstanceEventRow, StoreError> {
    let id: i64 = row.get("id");
    Ok(InstanceEventRow {
        id: u64::try_from(id).unwrap_or(0),
        deployment: parsed(row, "deployment", id)?,
        component: row.get("component"),
        ordinal: row.get("ordinal"),
        instance: parsed_if_set(row, "instance", id)?,
        at: parsed(row, "at", id)?,
        event: from_json(row, "event", id)?,
    })
}
