//! Runs of jobs: what gave rise to each, and how it ended.

use std::collections::HashMap;

use jiff::Timestamp;
use mainstay_diagnosis::Reason;
use mainstay_spec::ids::{AppId, DeploymentId, InvocationId};
use serde::{Deserialize, Serialize};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    Store, StoreError,
    columns::{from_json, from_json_if_set, parsed, parsed_if_set, word},
};

/// One run of a job.
#[derive(Debug, Clone)]
pub struct InvocationRow {
    pub id: InvocationId,
    pub app: AppId,
    /// Whose spec and image it runs.
    pub deployment: DeploymentId,
    pub job: String,
    pub trigger: Trigger,
    pub phase: InvocationPhase,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    /// Set once it ended, in whatever way.
    pub completed_at: Option<Timestamp>,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// What else is to be said of it: why it was skipped, or begun late.
    pub note: Option<String>,
}

/// A run that is asked for.
#[derive(Debug, Clone)]
pub struct NewInvocation {
    pub id: InvocationId,
    pub app: AppId,
    pub deployment: DeploymentId,
    pub job: String,
    pub trigger: Trigger,
    pub created_at: Timestamp,
    /// It is not to be run, only remembered.
    pub skipped: bool,
    pub note: Option<String>,
}

/// What gave rise to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trigger", rename_all = "snake_case")]
pub enum Trigger {
    /// A deployment reached the point at which the job runs.
    Deployment,
    /// Its schedule.
    Schedule {
        due_at: Timestamp,
    },
    Manual {
        by: String,
    },
}

/// Where a run stands. The words are those of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvocationPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Canceled,
    /// The run before it was still going on.
    Skipped,
}

impl InvocationPhase {
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

impl NewInvocation {
    /// What may give rise to one run only; a person may ask as often as they like.
    fn occasion(&self) -> Option<String> {
        match &self.trigger {
            Trigger::Deployment => Some(format!("deployment {}", self.deployment)),
            Trigger::Schedule { due_at } => Some(format!("schedule {due_at}")),
            Trigger::Manual { .. } => None,
        }
    }
}

impl Store {
    /// The run that the occasion gave rise to: a new one, or the one that is there already. So nothing runs twice for one occasion.
    pub async fn ensure_invocation(&self, new: &NewInvocation) -> Result<InvocationRow, StoreError> {
        let operation = || format!("store a run of job {} of app {}", new.job, new.app);
        let occasion = new.occasion();
        let due_at = match &new.trigger {
            Trigger::Schedule { due_at } => Some(due_at.to_string()),
            _ => None,
        };
        let trigger = serde_json::to_string(&new.trigger).map_err(StoreError::damaged("trigger", new.id))?;
        let (phase, completed_at) = if new.skipped {
            (InvocationPhase::Skipped, Some(new.created_at.to_string()))
        } else {
            (InvocationPhase::Pending, None)
        };
        sqlx::query(
            "INSERT OR IGNORE INTO job_invocations
             (id, app, deployment, job, trigger, occasion, due_at, phase, created_at, completed_at, note)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(new.id.to_string())
        .bind(new.app.to_string())
        .bind(new.deployment.to_string())
        .bind(&new.job)
        .bind(trigger)
        .bind(&occasion)
        .bind(due_at)
        .bind(phase_text(phase))
        .bind(new.created_at.to_string())
        .bind(completed_at)
        .bind(&new.note)
        .execute(&self.writer)
        .await
        .map_err(StoreError::during(operation()))?;
        let row = sqlx::query(
            "SELECT * FROM job_invocations WHERE id = ?1 OR (app = ?2 AND job = ?3 AND occasion = ?4)",
        )
        .bind(new.id.to_string())
        .bind(new.app.to_string())
        .bind(&new.job)
        .bind(&occasion)
        .fetch_one(&self.readers)
        .await
        .map_err(StoreError::during(operation()))?;
        read(&row)
    }

    pub async fn start_invocation(&self, id: InvocationId, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE job_invocations SET phase = ?, started_at = coalesce(started_at, ?)
             WHERE id = ? AND completed_at IS NULL",
        )
        .bind(phase_text(InvocationPhase::Running))
        .bind(at.to_string())
        .bind(id.to_string())
        .execute(&self.writer)
        .await
        .map_err(StoreError::during(format!("start job invocation {id}")))?;
        Ok(())
    }

    /// Notes the end; the first one counts.
    pub async fn end_invocation(
        &self,
        id: InvocationId,
        phase: InvocationPhase,
        at: Timestamp,
        reason: Option<&Reason>,
    ) -> Result<(), StoreError> {
        let reason = reason.map(serde_json::to_string).transpose();
        sqlx::query(
            "UPDATE job_invocations SET phase = ?, completed_at = ?, reason = ? WHERE id = ? AND completed_at IS NULL",
        )
        .bind(phase_text(phase))
        .bind(at.to_string())
        .bind(reason.map_err(StoreError::damaged("reason", id))?)
        .bind(id.to_string())
        .execute(&self.writer)
        .await
        .map_err(StoreError::during(format!("end job invocation {id}")))?;
        Ok(())
    }

    pub async fn invocation(&self, id: InvocationId) -> Result<Option<InvocationRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM job_invocations WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::during(format!("read job invocation {id}")))?;
        row.as_ref().map(read).transpose()
    }

    /// A page of an app's runs, newest first, and how many there are; of all jobs when none is named.
    pub async fn invocations(
        &self,
        app: AppId,
        jobs: &[String],
        deployment: Option<DeploymentId>,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<InvocationRow>, u64), StoreError> {
        const WANTED: &str = "FROM job_invocations WHERE app = ?1
             AND (?2 = '[]' OR job IN (SELECT value FROM json_each(?2))) AND (?3 IS NULL OR deployment = ?3)";
        let operation = || format!("list the job invocations of app {app}");
        let names = serde_json::to_string(jobs).map_err(StoreError::damaged("job names", app))?;
        let deployment = deployment.map(|id| id.to_string());
        let rows = format!("SELECT * {WANTED} ORDER BY created_at DESC, id LIMIT ?4 OFFSET ?5");
        let rows = sqlx::query(sqlx::AssertSqlSafe(rows))
            .bind(app.to_string())
            .bind(&names)
            .bind(&deployment)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(i64::try_from(offset).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(operation()))?;
        let count = format!("SELECT count(*) {WANTED}");
        let total: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
            .bind(app.to_string())
            .bind(&names)
            .bind(&deployment)
            .fetch_one(&self.readers)
            .await
            .map_err(StoreError::during(operation()))?;
        let rows = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok((rows, u64::try_from(total).unwrap_or(0)))
    }

    /// Runs that have not ended, oldest first.
    pub async fn open_invocations(&self, app: AppId) -> Result<Vec<InvocationRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM job_invocations WHERE app = ? AND completed_at IS NULL ORDER BY created_at, id",
        )
        .bind(app.to_string())
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during(format!(
            "list the open job invocations of app {app}"
        )))?;
        rows.iter().map(read).collect()
    }

    /// Job → the last time of its schedule that was acted upon.
    pub async fn last_due(&self, app: AppId) -> Result<HashMap<String, Timestamp>, StoreError> {
        let rows = sqlx::query(
            "SELECT job, max(due_at) AS due_at FROM job_invocations WHERE app = ? AND due_at IS NOT NULL GROUP BY job",
        )
        .bind(app.to_string())
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during(format!("read the schedules of app {app}")))?;
        rows.iter()
            .map(|row| {
                let due_at = row.get::<&str, _>("due_at").parse();
                Ok((row.get("job"), due_at.map_err(StoreError::damaged("time", app))?))
            })
            .collect()
    }

    /// The job's run that was asked for last.
    pub async fn last_invocation(&self, app: AppId, job: &str) -> Result<Option<InvocationRow>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM job_invocations WHERE app = ? AND job = ? AND phase <> ? ORDER BY created_at DESC, id LIMIT 1",
        )
        .bind(app.to_string())
        .bind(job)
        .bind(phase_text(InvocationPhase::Skipped))
        .fetch_optional(&self.readers)
        .await
        .map_err(StoreError::during(format!("read the last run of job {job} of app {app}")))?;
        row.as_ref().map(read).transpose()
    }

    /// Forgets runs of the job that ended, all but the newest `keep` and the last one of its schedule, which says from when on it is due
    /// again; says which.
    pub async fn forget_invocations(
        &self,
        app: AppId,
        job: &str,
        keep: u32,
    ) -> Result<Vec<InvocationRow>, StoreError> {
        let rows = sqlx::query(
            "DELETE FROM job_invocations WHERE completed_at IS NOT NULL AND id IN (
                 SELECT id FROM job_invocations WHERE app = ?1 AND job = ?2
                 ORDER BY created_at DESC, id LIMIT -1 OFFSET ?3
             ) AND id NOT IN (
                 SELECT id FROM job_invocations WHERE app = ?1 AND job = ?2 AND due_at IS NOT NULL
                 ORDER BY due_at DESC LIMIT 1
             ) RETURNING *",
        )
        .bind(app.to_string())
        .bind(job)
        .bind(keep)
        .fetch_all(&self.writer)
        .await
        .map_err(StoreError::during(format!(
            "forget runs of job {job} of app {app}"
        )))?;
        rows.iter().map(read).collect()
    }
}

fn phase_text(phase: InvocationPhase) -> String {
    serde_json::to_value(phase)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn read(row: &SqliteRow) -> Result<InvocationRow, StoreError> {
    let id: String = row.get("id");
    Ok(InvocationRow {
        id: id.parse().map_err(StoreError::damaged("id", &id))?,
        app: parsed(row, "app", &id)?,
        deployment: parsed(row, "deployment", &id)?,
        job: row.get("job"),
        trigger: from_json(row, "trigger", &id)?,
        phase: word(row, "phase", &id)?,
        created_at: parsed(row, "created_at", &id)?,
        started_at: parsed_if_set(row, "started_at", &id)?,
        completed_at: parsed_if_set(row, "completed_at", &id)?,
        reason: from_json_if_set(row, "reason", &id)?,
        note: row.get("note"),
    })
}
