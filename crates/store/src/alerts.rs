//! Where the alerts of apps go.

use std::collections::HashMap;

use mainstay_spec::ids::AppId;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::Row;

use crate::{Store, StoreError};

impl Store {
    /// Sets where an alert goes. `D` is the API's own type; the store only keeps it.
    pub async fn put_alert_destinations<D: Serialize>(
        &self,
        app: AppId,
        alert: &str,
        destinations: &D,
    ) -> Result<(), StoreError> {
        let text =
            serde_json::to_string(destinations).map_err(StoreError::damaged("alert destinations", app))?;
        sqlx::query("INSERT OR REPLACE INTO alert_destinations (app, alert, destinations) VALUES (?, ?, ?)")
            .bind(app.to_string())
            .bind(alert)
            .bind(text)
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!(
                "store where an alert of app {app} goes"
            )))?;
        Ok(())
    }

    /// Alert → where it goes, of all of an app's alerts that go anywhere.
    pub async fn alert_destinations<D: DeserializeOwned>(
        &self,
        app: AppId,
    ) -> Result<HashMap<String, D>, StoreError> {
        let rows = sqlx::query("SELECT alert, destinations FROM alert_destinations WHERE app = ?")
            .bind(app.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!(
                "read where the alerts of app {app} go"
            )))?;
        rows.iter()
            .map(|row| {
                let destinations = serde_json::from_str(row.get("destinations"));
                let destinations = destinations.map_err(StoreError::damaged("alert destinations", app))?;
                Ok((row.get("alert"), destinations))
            })
            .collect()
    }
}
