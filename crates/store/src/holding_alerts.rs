//! Alerts about what is measured: which hold, so that each is told of once when it begins to, and once when it no longer does.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mainstay_spec::ids::{AppId, DeploymentId};
use sqlx::Row;

use crate::{Measured, Store, StoreError};

/// An alert begins to hold, or no longer does.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertTurn {
    pub app: AppId,
    /// The one that serves.
    pub deployment: DeploymentId,
    pub component: String,
    /// In the words of a spec: `CPU_UTILIZATION`.
    pub rule: String,
    pub at: Timestamp,
    pub measured: Measured,
}

impl Store {
    /// Apps with alerts about what is measured that go anywhere, or that hold.
    pub async fn apps_with_measured_alerts(&self) -> Result<Vec<AppId>, StoreError> {
        let rows = sqlx::query(
            "SELECT d.app FROM alert_destinations AS d JOIN apps AS a ON a.id = d.app
             WHERE a.deleting = 0 AND (instr(a.spec, 'CPU_UTILIZATION') > 0 OR instr(a.spec, 'MEM_UTILIZATION') > 0
               OR instr(a.spec, 'RESTART_COUNT') > 0)
             UNION SELECT app FROM holding_alerts",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("list the apps with alerts about what is measured"))?;
        rows.iter()
            .map(|row| {
                let id: &str = row.get("app");
                id.parse().map_err(StoreError::damaged("app id", id))
            })
            .collect()
    }

    /// Those of the app's alerts that hold.
    pub async fn holding_alerts(&self, app: AppId) -> Result<BTreeSet<String>, StoreError> {
        let alerts = sqlx::query_scalar("SELECT alert FROM holding_alerts WHERE app = ?")
            .bind(app.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!("read which alerts of app {app} hold")))?;
        Ok(alerts.into_iter().collect())
    }

    /// Notes the turn, and that it is to be told. One that was noted before is no news.
    pub async fn turn_alert(&self, turn: &AlertTurn) -> Result<(), StoreError> {
        let failed = || StoreError::during(format!("store whether an alert of app {} holds", turn.app));
        let (app, at) = (turn.app.to_string(), turn.at.to_string());
        let mut transaction = self.writer.begin().await.map_err(failed())?;
        let turned = if turn.measured.holds {
            sqlx::query("INSERT OR IGNORE INTO holding_alerts (app, alert, since) VALUES (?, ?, ?)")
                .bind(&app)
                .bind(&turn.measured.alert)
                .bind(&at)
                .execute(&mut *transaction)
                .await
        } else {
            sqlx::query("DELETE FROM holding_alerts WHERE app = ? AND alert = ?")
                .bind(&app)
                .bind(&turn.measured.alert)
                .execute(&mut *transaction)
                .await
        };
        if turned.map_err(failed())?.rows_affected() > 0 {
            sqlx::query(
                "INSERT INTO alert_occurrences (app, deployment, component, rule, at, alert, measured, holds)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&app)
            .bind(turn.deployment.to_string())
            .bind(&turn.component)
            .bind(&turn.rule)
            .bind(&at)
            .bind(&turn.measured.alert)
            .bind(turn.measured.value)
            .bind(turn.measured.holds)
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        }
        transaction.commit().await.map_err(failed())
    }

    /// Nobody watches whether it holds any more, and nobody is told that it ended.
    pub async fn forget_holding_alert(&self, app: AppId, alert: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM holding_alerts WHERE app = ? AND alert = ?")
            .bind(app.to_string())
            .bind(alert)
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("forget an alert of app {app}")))?;
        Ok(())
    }
}
