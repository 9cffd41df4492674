//! Deployments and their event log.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mainstay_deploy::{Event, PhaseKind, Recorded};
use mainstay_spec::{
    AppSpec,
    ids::{AppId, DeploymentId},
};
use serde::Serialize;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    BuildRow, Store, StoreError, builds,
    columns::{self, from_json, from_json_if_set, parsed, parsed_if_set, word},
};

#[derive(Debug, Clone)]
pub struct NewDeployment {
    pub id: DeploymentId,
    pub app: AppId,
    pub spec: AppSpec,
    /// In words, as clients show it: "manual", "app spec updated".
    pub cause: String,
    /// `MANUAL`, `DEPLOY_ON_PUSH`, …
    pub cause_kind: String,
    pub previous: Option<DeploymentId>,
    pub force_build: bool,
    /// Component → revision to keep (a spec update alone keeps the commit of the previous deployment).
    pub pinned_sources: BTreeMap<String, String>,
    /// The deployment whose images it uses again.
    pub cloned_from: Option<DeploymentId>,
    /// See [`DeploymentRow::restarts`].
    pub restarts: Option<Vec<String>>,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct DeploymentRow {
    pub id: DeploymentId,
    pub app: AppId,
    /// Counts up from 1 within the app.
    pub number: u64,
    pub spec: AppSpec,
    /// That of its app.
    pub host_suffix: String,
    pub cause: String,
    pub cause_kind: String,
    pub previous: Option<DeploymentId>,
    pub force_build: bool,
    pub pinned_sources: BTreeMap<String, String>,
    pub cloned_from: Option<DeploymentId>,
    /// Of a restart, the components that get new instances. The others keep those of the deployment before, which are this one's from the
    /// moment in which it serves.
    pub restarts: Option<Vec<String>>,
    pub phase: PhaseKind,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When it began to serve, if it ever did.
    pub activated_at: Option<Timestamp>,
}

impl DeploymentRow {
    /// Whether the component gets new instances by it.
    pub fn renews(&self, component: &str) -> bool {
        let restarts = self.restarts.as_ref();
        restarts.is_none_or(|named| named.iter().any(|name| name == component))
    }

    /// Whether an older one that has not begun to change what runs is over with it. A restart has the spec of what served when it was asked
    /// for: with it, only restarts that it includes are over.
    pub fn overtakes(&self, older: &Self) -> bool {
        let restarts = older.restarts.as_ref();
        self.restarts.is_none()
            || restarts.is_some_and(|named| named.iter().all(|component| self.renews(component)))
    }
}

impl Store {
    /// Appends the event and notes the phase it leads to (a deployment that became active is its app's active one), as one transaction.
    /// `sequence` counts from 0; a number that another event has is an error, so that two writers can never both be right. Repeating an
    /// append that was stored already succeeds: whoever was not told that it was asks again.
    pub async fn append_event(
        &self,
        deployment: DeploymentId,
        sequence: u64,
        recorded: &Recorded,
        phase: PhaseKind,
        settled: bool,
    ) -> Result<(), StoreError> {
        let builds: [BuildRow<(), ()>; 0] = [];
        self.append_event_with(deployment, sequence, recorded, phase, settled, &builds)
            .await
    }

    /// The same with what the event tells of builds, in one transaction.
    pub async fn append_event_with<S: Serialize, O: Serialize>(
        &self,
        deployment: DeploymentId,
        sequence: u64,
        recorded: &Recorded,
        phase: PhaseKind,
        settled: bool,
        builds: &[BuildRow<S, O>],
    ) -> Result<(), StoreError> {
        let operation = || format!("append event {sequence} of deployment {deployment}");
        let event =
            serde_json::to_string(&recorded.event).map_err(StoreError::damaged("event", deployment))?;
        let (number, at) = (
            i64::try_from(sequence).unwrap_or(i64::MAX),
            recorded.at.to_string(),
        );
        let mut transaction = self
            .writer
            .begin()
            .await
            .map_err(StoreError::during(operation()))?;
        let inserted = sqlx::query(
            "INSERT INTO deployment_events (deployment, sequence, at, event) VALUES (?, ?, ?, ?)",
        )
        .bind(deployment.to_string())
        .bind(number)
        .bind(&at)
        .bind(&event)
        .execute(&mut *transaction)
        .await;
        if let Err(error) = inserted {
            let is_taken = matches!(&error, sqlx::Error::Database(refusal) if refusal.is_unique_violation());
            if is_taken && is_stored(&mut transaction, deployment, number, (&at, &event)).await? {
                return Ok(());
            }
            return Err(StoreError::during(operation())(error));
        }
        sqlx::query("UPDATE deployments SET phase = ?, settled = ?, updated_at = ? WHERE id = ?")
            .bind(phase_text(phase))
            .bind(settled)
            .bind(recorded.at.to_string())
            .bind(deployment.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::during(operation()))?;
        if phase == PhaseKind::Active {
            take_over_kept(&mut transaction, deployment).await?;
            sqlx::query("UPDATE apps SET active_deployment = ?1 WHERE id = (SELECT app FROM deployments WHERE id = ?1)")
                .bind(deployment.to_string())
                .execute(&mut *transaction)
                .await
                .map_err(StoreError::during(operation()))?;
            sqlx::query("UPDATE deployments SET activated_at = coalesce(activated_at, ?) WHERE id = ?")
                .bind(recorded.at.to_string())
                .bind(deployment.to_string())
                .execute(&mut *transaction)
                .await
                .map_err(StoreError::during(operation()))?;
        }
        for build in builds {
            builds::put(&mut transaction, build).await?;
        }
        transaction
            .commit()
            .await
            .map_err(StoreError::during(operation()))
    }

    /// The event log of a deployment, oldest first.
    pub async fn events(&self, deployment: DeploymentId) -> Result<Vec<Recorded>, StoreError> {
        let rows =
            sqlx::query("SELECT at, event FROM deployment_events WHERE deployment = ? ORDER BY sequence")
                .bind(deployment.to_string())
                .fetch_all(&self.readers)
                .await
                .map_err(StoreError::during(format!(
                    "read the events of deployment {deployment}"
                )))?;
        rows.iter().map(|row| read_event(row, deployment)).collect()
    }

    pub async fn deployment(&self, id: DeploymentId) -> Result<Option<DeploymentRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM deployments WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::during(format!("read deployment {id}")))?;
        row.as_ref().map(read).transpose()
    }

    /// What was restarted, however often: a deployment that is no restart itself, unless that one is no longer known. Of one that is no
    /// restart, itself.
    pub async fn restarted(&self, deployment: DeploymentId) -> Result<DeploymentId, StoreError> {
        let row = sqlx::query(
            "WITH RECURSIVE restarted (id, step) AS (
               SELECT ?1, 0
               UNION ALL
               SELECT deployments.cloned_from, step + 1
               FROM restarted JOIN deployments ON deployments.id = restarted.id
               WHERE deployments.restarts IS NOT NULL AND deployments.cloned_from IS NOT NULL
             )
             SELECT id FROM restarted ORDER BY step DESC LIMIT 1",
        )
        .bind(deployment.to_string())
        .fetch_one(&self.readers)
        .await
        .map_err(StoreError::during(format!(
            "look what deployment {deployment} restarts"
        )))?;
        columns::id(&row, "id")
    }

    /// A page of an app's deployments, newest first, and how many there are.
    pub async fn deployments(
        &self,
        app: AppId,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<DeploymentRow>, u64), StoreError> {
        self.deployments_of_kinds(app, &[], offset, limit).await
    }

    /// The same of these kinds of causes (`MANUAL`, …) alone; of all when none is named.
    pub async fn deployments_of_kinds(
        &self,
        app: AppId,
        kinds: &[String],
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<DeploymentRow>, u64), StoreError> {
        let kinds = serde_json::to_string(kinds).map_err(StoreError::damaged("kinds of causes", app))?;
        let rows = sqlx::query(
            "SELECT * FROM deployments
             WHERE app = ?1 AND (?2 = '[]' OR cause_kind IN (SELECT value FROM json_each(?2)))
             ORDER BY number DESC LIMIT ?3 OFFSET ?4",
        )
        .bind(app.to_string())
        .bind(&kinds)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(i64::try_from(offset).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during(format!("list the deployments of app {app}")))?;
        let total: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM deployments
             WHERE app = ?1 AND (?2 = '[]' OR cause_kind IN (SELECT value FROM json_each(?2)))",
        )
        .bind(app.to_string())
        .bind(&kinds)
        .fetch_one(&self.readers)
        .await
        .map_err(StoreError::during(format!("count the deployments of app {app}")))?;
        Ok((
            rows.iter().map(read).collect::<Result<_, _>>()?,
            u64::try_from(total).unwrap_or(0),
        ))
    }

    pub async fn deployments_in_phase(
        &self,
        app: AppId,
        phase: PhaseKind,
    ) -> Result<Vec<DeploymentId>, StoreError> {
        let rows = sqlx::query("SELECT id FROM deployments WHERE app = ? AND phase = ?")
            .bind(app.to_string())
            .bind(phase_text(phase))
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!(
                "list deployments of app {app} by phase"
            )))?;
        rows.iter()
            .map(|row| {
                row.get::<&str, _>("id")
                    .parse()
                    .map_err(StoreError::damaged("id", app))
            })
            .collect()
    }

    /// What is not settled yet, oldest first.
    pub async fn unsettled_deployments(&self, app: AppId) -> Result<Vec<DeploymentRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM deployments WHERE app = ? AND settled = 0 ORDER BY number")
            .bind(app.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!(
                "list the unsettled deployments of app {app}"
            )))?;
        rows.iter().map(read).collect()
    }
}

/// What a restart does not renew becomes the new deployment's, unless it is no longer what it restarted that serves.
async fn take_over_kept(
    connection: &mut SqliteConnection,
    deployment: DeploymentId,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE instances SET deployment = ?1
         WHERE removed = 0 AND invocation IS NULL
           AND deployment = (
               SELECT previous FROM deployments JOIN apps ON apps.id = deployments.app
               WHERE deployments.id = ?1 AND restarts IS NOT NULL AND apps.active_deployment = previous
           )
           AND component NOT IN (
               SELECT value FROM json_each((SELECT restarts FROM deployments WHERE id = ?1))
           )",
    )
    .bind(deployment.to_string())
    .execute(connection)
    .await
    .map_err(StoreError::during(format!(
        "hand instances over to deployment {deployment}"
    )))?;
    Ok(())
}

/// Whether the log has this very event in this place.
async fn is_stored(
    connection: &mut SqliteConnection,
    deployment: DeploymentId,
    number: i64,
    (at, event): (&str, &str),
) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "SELECT 1 FROM deployment_events WHERE deployment = ? AND sequence = ? AND at = ? AND event = ?",
    )
    .bind(deployment.to_string())
    .bind(number)
    .bind(at)
    .bind(event)
    .fetch_optional(connection)
    .await
    .map_err(StoreError::during(format!(
        "read event {number} of deployment {deployment}"
    )))?;
    Ok(row.is_some())
}

pub(crate) async fn insert(connection: &mut SqliteConnection, new: &NewDeployment) -> Result<(), StoreError> {
    let spec = serde_json::to_string(&new.spec).map_err(StoreError::damaged("spec", new.id))?;
    let pinned =
        serde_json::to_string(&new.pinned_sources).map_err(StoreError::damaged("sources", new.id))?;
    let restarts = new.restarts.as_ref().map(serde_json::to_string).transpose();
    let restarts = restarts.map_err(StoreError::damaged("components", new.id))?;
    sqlx::query(
        "INSERT INTO deployments (id, app, number, spec, cause, cause_kind, previous, force_build, pinned_sources,
                                  phase, settled, created_at, updated_at, cloned_from, restarts, host_suffix)
         SELECT ?1, ?2, coalesce(max(number), 0) + 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10, ?10, ?11, ?12,
                coalesce((SELECT host_suffix FROM apps WHERE id = ?2), '')
         FROM deployments WHERE app = ?2",
    )
    .bind(new.id.to_string())
    .bind(new.app.to_string())
    .bind(spec)
    .bind(&new.cause)
    .bind(&new.cause_kind)
    .bind(new.previous.map(|id| id.to_string()))
    .bind(new.force_build)
    .bind(pinned)
    .bind(phase_text(PhaseKind::PendingBuild))
    .bind(new.created_at.to_string())
    .bind(new.cloned_from.map(|id| id.to_string()))
    .bind(restarts)
    .execute(connection)
    .await
    .map_err(StoreError::during(format!("store deployment {}", new.id)))?;
    Ok(())
}

pub(crate) fn phase_text(phase: PhaseKind) -> String {
    serde_json::to_value(phase)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

pub(crate) fn read_event(row: &SqliteRow, deployment: DeploymentId) -> Result<Recorded, StoreError> {
    let at = parsed(row, "at", deployment)?;
    let event: Event = from_json(row, "event", deployment)?;
    Ok(Recorded { at, event })
}

pub(crate) fn read(row: &SqliteRow) -> Result<DeploymentRow, StoreError> {
    let id: String = row.get("id");
    Ok(DeploymentRow {
        id: id.parse().map_err(StoreError::damaged("id", &id))?,
        app: parsed(row, "app", &id)?,
        number: u64::try_from(row.get::<i64, _>("number")).unwrap_or(0),
        spec: from_json(row, "spec", &id)?,
        host_suffix: row.get("host_suffix"),
        cause: row.get("cause"),
        cause_kind: row.get("cause_kind"),
        previous: parsed_if_set(row, "previous", &id)?,
        force_build: row.get("force_build"),
        pinned_sources: from_json(row, "pinned_sources", &id)?,
        cloned_from: parsed_if_set(row, "cloned_from", &id)?,
        restarts: from_json_if_set(row, "restarts", &id)?,
        activated_at: parsed_if_set(row, "activated_at", &id)?,
        phase: word(row, "phase", &id)?,
        created_at: parsed(row, "created_at", &id)?,
        updated_at: parsed(row, "updated_at", &id)?,
    })
}
