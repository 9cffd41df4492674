//! Where the alerts of apps go, what happened that they are about, and what is still to be sent.
//!
//! Triggers of the schema note what happened in the transaction that made it so, for apps whose alerts go anywhere.

use std::collections::HashMap;

use jiff::Timestamp;
use mainstay_spec::ids::{AppId, DeploymentId, InvocationId};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    Store, StoreError,
    columns::{parsed, parsed_if_set},
};

/// Of one alert. Both texts are the caller's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertDestinations {
    pub destinations: String,
    /// How the last sending went.
    pub outcome: Option<String>,
}

/// Something that an alert may be about.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    pub id: i64,
    pub app: AppId,
    pub deployment: DeploymentId,
    /// Empty where it is about the whole app.
    pub component: String,
    /// Of a job that failed.
    pub invocation: Option<InvocationId>,
    /// In the words of a spec: `DEPLOYMENT_FAILED`.
    pub rule: String,
    pub at: Timestamp,
    /// Of an alert about what is measured.
    pub measured: Option<Measured>,
}

/// What made an alert hold, or hold no longer.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    pub alert: String,
    pub value: f64,
    pub holds: bool,
}

/// One message to one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: i64,
    pub app: AppId,
    pub alert: String,
    /// The caller's own text, as is the message.
    pub target: String,
    pub message: String,
    /// How often it was tried in vain.
    pub attempts: u32,
    pub created_at: Timestamp,
}

impl Store {
    /// Sets where an alert goes; how an earlier sending went is forgotten.
    pub async fn put_alert_destinations(
        &self,
        app: AppId,
        alert: &str,
        destinations: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT OR REPLACE INTO alert_destinations (app, alert, destinations) VALUES (?, ?, ?)")
            .bind(app.to_string())
            .bind(alert)
            .bind(destinations)
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!(
                "store where an alert of app {app} goes"
            )))?;
        Ok(())
    }

    /// Alert → where it goes, of all of an app's alerts that go anywhere.
    pub async fn alert_destinations(
        &self,
        app: AppId,
    ) -> Result<HashMap<String, AlertDestinations>, StoreError> {
        let rows = sqlx::query("SELECT alert, destinations, outcome FROM alert_destinations WHERE app = ?")
            .bind(app.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!(
                "read where the alerts of app {app} go"
            )))?;
        let read = |row: &SqliteRow| {
            let destinations = AlertDestinations {
                destinations: row.get("destinations"),
                outcome: row.get("outcome"),
            };
            (row.get("alert"), destinations)
        };
        Ok(rows.iter().map(read).collect())
    }

    /// App, alert and destinations of those that are stored as plain JSON.
    pub async fn plain_alert_destinations(&self) -> Result<Vec<(AppId, String, String)>, StoreError> {
        let rows = sqlx::query(
            "SELECT app, alert, destinations FROM alert_destinations WHERE destinations LIKE '{%'",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("read where alerts go"))?;
        let read = |row: &SqliteRow| {
            let app: String = row.get("app");
            let id = app.parse().map_err(StoreError::damaged("app id", &app))?;
            Ok((id, row.get("alert"), row.get("destinations")))
        };
        rows.iter().map(read).collect()
    }

    /// What happened and was not made into messages yet, oldest first.
    pub async fn alert_occurrences(&self, limit: u32) -> Result<Vec<Occurrence>, StoreError> {
        let rows = sqlx::query("SELECT * FROM alert_occurrences ORDER BY id LIMIT ?")
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during("read what alerts are about"))?;
        rows.iter().map(read_occurrence).collect()
    }

    /// Makes messages of what happened, which is forgotten: (alert, target, message) each. Of an app never more than `most` wait; those that
    /// would be too many are left out, and counted.
    pub async fn put_alert_deliveries(
        &self,
        of: &Occurrence,
        messages: &[(String, String, String)],
        most: u32,
    ) -> Result<u64, StoreError> {
        let failed = || StoreError::during(format!("store messages of app {}", of.app));
        let app = of.app.to_string();
        let mut transaction = self.writer.begin().await.map_err(failed())?;
        let mut left_out = 0;
        for (alert, target, message) in messages {
            let inserted = sqlx::query(
                "INSERT INTO alert_deliveries (app, alert, target, message, created_at, due_at_ms)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6
                 WHERE (SELECT count(*) FROM alert_deliveries WHERE app = ?1) < ?7",
            )
            .bind(&app)
            .bind(alert)
            .bind(target)
            .bind(message)
            .bind(of.at.to_string())
            .bind(of.at.as_millisecond())
            .bind(most)
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
            left_out += 1 - inserted.rows_affected();
        }
        sqlx::query("DELETE FROM alert_occurrences WHERE id = ?")
            .bind(of.id)
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        transaction.commit().await.map_err(failed())?;
        Ok(left_out)
    }

    /// Messages whose time has come, the longest due first.
    pub async fn due_alert_deliveries(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM alert_deliveries WHERE due_at_ms <= ? ORDER BY due_at_ms, id LIMIT ?")
                .bind(now.as_millisecond())
                .bind(limit)
                .fetch_all(&self.readers)
                .await
                .map_err(StoreError::during("read messages that are due"))?;
        rows.iter().map(read_delivery).collect()
    }

    /// It was tried in vain once more. `outcome` tells of it where the alert still goes there.
    pub async fn postpone_alert_delivery(
        &self,
        delivery: &Delivery,
        due_at: Timestamp,
        outcome: &str,
    ) -> Result<(), StoreError> {
        let change =
            sqlx::query("UPDATE alert_deliveries SET attempts = attempts + 1, due_at_ms = ? WHERE id = ?")
                .bind(due_at.as_millisecond())
                .bind(delivery.id);
        self.change_delivery(delivery, change, outcome).await
    }

    /// It was sent, or given up.
    pub async fn end_alert_delivery(&self, delivery: &Delivery, outcome: &str) -> Result<(), StoreError> {
        let change = sqlx::query("DELETE FROM alert_deliveries WHERE id = ?").bind(delivery.id);
        self.change_delivery(delivery, change, outcome).await
    }

    async fn change_delivery(
        &self,
        delivery: &Delivery,
        change: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
        outcome: &str,
    ) -> Result<(), StoreError> {
        let failed = || StoreError::during(format!("store how a message of app {} went", delivery.app));
        let mut transaction = self.writer.begin().await.map_err(failed())?;
        change.execute(&mut *transaction).await.map_err(failed())?;
        sqlx::query("UPDATE alert_destinations SET outcome = ? WHERE app = ? AND alert = ?")
            .bind(outcome)
            .bind(delivery.app.to_string())
            .bind(&delivery.alert)
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        transaction.commit().await.map_err(failed())
    }
}

fn read_occurrence(row: &SqliteRow) -> Result<Occurrence, StoreError> {
    let id: i64 = row.get("id");
    Ok(Occurrence {
        id,
        app: parsed(row, "app", id)?,
        deployment: parsed(row, "deployment", id)?,
        component: row.get("component"),
        invocation: parsed_if_set(row, "invocation", id)?,
        rule: row.get("rule"),
        at: parsed(row, "at", id)?,
        measured: row.get::<Option<String>, _>("alert").map(|alert| Measured {
            alert,
            value: row.get("measured"),
            holds: row.get("holds"),
        }),
    })
}

fn read_delivery(row: &SqliteRow) -> Result<Delivery, StoreError> {
    let id: i64 = row.get("id");
    Ok(Delivery {
        id,
        app: parsed(row, "app", id)?,
        alert: row.get("alert"),
        target: row.get("target"),
        message: row.get("message"),
        attempts: u32::try_from(row.get::<i64, _>("attempts")).unwrap_or(u32::MAX),
        created_at: parsed(row, "created_at", id)?,
    })
}
