//! How much of their sizes the instances of apps use, and how often they were restarted: each look for a day, then means for two weeks.
//!
//! A series is a place (`web-0`), whichever instance is in it. Rows are small, and each look at the whole machine is one transaction.

use jiff::{SignedDuration, Timestamp};
use mainstay_spec::ids::{AppId, DeploymentId, InstanceId};
use serde::Serialize;
use sqlx::{Row, sqlite::SqliteRow};

use crate::{Store, StoreError, columns::parsed};

/// Each look is kept this long.
const LOOKS_KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Seconds that become one mean then.
const MEAN_OF: i64 = 15 * 60;

/// A place of what serves, or a job that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceRow {
    pub app: AppId,
    pub deployment: DeploymentId,
    pub component: String,
    pub ordinal: u32,
    /// The newest one there.
    pub instance: InstanceId,
    pub created_at: Timestamp,
    /// How many started there before it; 0 for a job.
    pub restarts: u32,
    /// It has not ended, as far as is known.
    pub runs: bool,
}

/// One look at a place. Uses are in hundredths of a percent of the size, and missing where they could not be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewSample {
    pub app: AppId,
    pub component: String,
    pub ordinal: u32,
    pub cpu: Option<u32>,
    pub memory: Option<u32>,
    pub restarts: u32,
}

/// What there is of a place for one step of time: means of the uses, and the most restarts.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRow {
    pub component: String,
    pub ordinal: u32,
    /// Of the last look of the step.
    pub at: Timestamp,
    /// In percent, as is the memory.
    pub cpu: Option<f64>,
    pub memory: Option<f64>,
    pub restarts: u32,
}

/// What was measured of a component within a time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mean {
    pub percent: f64,
    /// In how many of the minutes it was measured.
    pub minutes: u32,
}

impl Store {
    /// What a look is at: the places of all that serves, and the jobs that run.
    pub async fn measured_places(&self) -> Result<Vec<PlaceRow>, StoreError> {
        // Of columns beside one `max`, SQLite takes the row that has it.
        let rows = sqlx::query(
            "SELECT i.app, i.deployment, i.component, i.ordinal, i.id, i.created_at, max(i.restarts) AS restarts,
                    i.removed = 0 AND i.exit IS NULL AS runs
             FROM apps AS a JOIN instances AS i ON i.deployment = a.active_deployment
             WHERE a.deleting = 0 AND i.invocation IS NULL GROUP BY i.deployment, i.component, i.ordinal
             UNION ALL
             SELECT i.app, i.deployment, i.component, i.ordinal, i.id, i.created_at, 0 AS restarts, 1 AS runs
             FROM instances AS i WHERE i.removed = 0 AND i.exit IS NULL AND i.invocation IS NOT NULL",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("list the places of what serves"))?;
        rows.iter().map(read_place).collect()
    }

    /// Stores a look at everything. Apps that are gone are left out.
    pub async fn add_samples(&self, at: Timestamp, samples: &[NewSample]) -> Result<(), StoreError> {
        let failed = || StoreError::during(format!("store what was measured at {at}"));
        let list = serde_json::to_string(samples).map_err(StoreError::damaged("samples", at))?;
        let mut transaction = self.writer.begin().await.map_err(failed())?;
        sqlx::query(
            "INSERT INTO sample_series (app, component, ordinal)
             SELECT a.id, j.value ->> 'component', j.value ->> 'ordinal'
             FROM json_each(?) AS j JOIN apps AS a ON a.id = j.value ->> 'app' WHERE true
             ON CONFLICT DO NOTHING",
        )
        .bind(&list)
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
        sqlx::query(
            "INSERT OR REPLACE INTO samples (series, at, cpu, memory, restarts)
             SELECT s.id, ?1, j.value ->> 'cpu', j.value ->> 'memory', j.value ->> 'restarts'
             FROM json_each(?2) AS j CROSS JOIN sample_series AS s
               ON s.app = j.value ->> 'app' AND s.component = j.value ->> 'component' AND s.ordinal = j.value ->> 'ordinal'",
        )
        .bind(at.as_second())
        .bind(&list)
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
        transaction.commit().await.map_err(failed())
    }

    /// Makes means of what is older than a day, and forgets what is from before `since`.
    pub async fn thin_samples(&self, now: Timestamp, since: Timestamp) -> Result<(), StoreError> {
        let failed = || StoreError::during("thin out what was measured");
        // Only whole ones: none is made twice.
        let before = now.saturating_sub(LOOKS_KEPT).map_or(0, Timestamp::as_second) / MEAN_OF * MEAN_OF;
        let mut transaction = self.writer.begin().await.map_err(failed())?;
        sqlx::query(
            "INSERT OR REPLACE INTO sample_means (series, at, cpu, memory, restarts)
             SELECT series, max(at), CAST(round(avg(cpu)) AS INTEGER), CAST(round(avg(memory)) AS INTEGER), max(restarts)
             FROM samples WHERE series IN (SELECT id FROM sample_series) AND at < ?1 GROUP BY series, at / ?2",
        )
        .bind(before)
        .bind(MEAN_OF)
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
        sqlx::query("DELETE FROM samples WHERE series IN (SELECT id FROM sample_series) AND at < ?")
            .bind(before)
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        sqlx::query("DELETE FROM sample_means WHERE series IN (SELECT id FROM sample_series) AND at < ?")
            .bind(since.as_second())
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        sqlx::query(
            "DELETE FROM sample_series WHERE NOT EXISTS (SELECT 1 FROM samples WHERE series = sample_series.id)
               AND NOT EXISTS (SELECT 1 FROM sample_means WHERE series = sample_series.id)",
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
        transaction.commit().await.map_err(failed())
    }

    /// What was measured of an app from one time to another, both of them included, a row for each place and step of so many seconds; by
    /// place, then by time.
    pub async fn samples(
        &self,
        app: AppId,
        component: Option<&str>,
        (from, to): (Timestamp, Timestamp),
        step_seconds: i64,
    ) -> Result<Vec<SampleRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT component, ordinal, max(at) AS newest, avg(cpu) AS mean_cpu, avg(memory) AS mean_memory,
                    max(restarts) AS most_restarts
             FROM (
                 SELECT s.component, s.ordinal, m.at, m.cpu, m.memory, m.restarts
                 FROM sample_series AS s JOIN samples AS m ON m.series = s.id
                 WHERE s.app = ?1 AND (?2 IS NULL OR s.component = ?2) AND m.at BETWEEN ?3 AND ?4
                 UNION ALL
                 SELECT s.component, s.ordinal, m.at, m.cpu, m.memory, m.restarts
                 FROM sample_series AS s JOIN sample_means AS m ON m.series = s.id
                 WHERE s.app = ?1 AND (?2 IS NULL OR s.component = ?2) AND m.at BETWEEN ?3 AND ?4
             ) GROUP BY component, ordinal, at / ?5 ORDER BY component, ordinal, newest",
        )
        .bind(app.to_string())
        .bind(component)
        .bind(from.as_second())
        .bind(to.as_second())
        .bind(step_seconds)
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during(format!("read what was measured of app {app}")))?;
        rows.iter().map(read_sample).collect()
    }

    /// The means of CPU and memory over all instances of a component, after one time and until another. No longer ago than a day.
    pub async fn mean_use(
        &self,
        app: AppId,
        component: &str,
        (after, until): (Timestamp, Timestamp),
    ) -> Result<(Mean, Mean), StoreError> {
        let row = sqlx::query(
            "SELECT avg(m.cpu) AS cpu, count(DISTINCT iif(m.cpu IS NULL, NULL, m.at / 60)) AS cpu_minutes,
                    avg(m.memory) AS memory, count(DISTINCT iif(m.memory IS NULL, NULL, m.at / 60)) AS memory_minutes
             FROM sample_series AS s JOIN samples AS m ON m.series = s.id
             WHERE s.app = ? AND s.component = ? AND m.at > ? AND m.at <= ?",
        )
        .bind(app.to_string())
        .bind(component)
        .bind(after.as_second())
        .bind(until.as_second())
        .fetch_one(&self.readers)
        .await
        .map_err(StoreError::during(format!(
            "read what {component} of app {app} uses"
        )))?;
        let mean = |value: &str, minutes: &str| Mean {
            percent: percent(row.get(value)).unwrap_or_default(),
            minutes: row.get(minutes),
        };
        Ok((mean("cpu", "cpu_minutes"), mean("memory", "memory_minutes")))
    }
}

/// Of hundredths.
fn percent(hundredths: Option<f64>) -> Option<f64> {
    hundredths.map(|value| value / 100.0)
}

fn read_place(row: &SqliteRow) -> Result<PlaceRow, StoreError> {
    let id: &str = row.get("id");
    Ok(PlaceRow {
        app: parsed(row, "app", id)?,
        deployment: parsed(row, "deployment", id)?,
        component: row.get("component"),
        ordinal: row.get("ordinal"),
        instance: id.parse().map_err(StoreError::damaged("id", id))?,
        created_at: parsed(row, "created_at", id)?,
        restarts: row.get("restarts"),
        runs: row.get("runs"),
    })
}

fn read_sample(row: &SqliteRow) -> Result<SampleRow, StoreError> {
    let at: i64 = row.get("newest");
    Ok(SampleRow {
        component: row.get("component"),
        ordinal: row.get("ordinal"),
        at: Timestamp::from_second(at).map_err(StoreError::damaged("time", at))?,
        cpu: percent(row.get("mean_cpu")),
        memory: percent(row.get("mean_memory")),
        restarts: row.get("most_restarts"),
    })
}
