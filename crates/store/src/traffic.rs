//! What visitors of apps were sent, by day.

use std::collections::BTreeMap;

use jiff::{ToSpan, civil::Date};
use mainstay_spec::ids::{AccountId, AppId};
use sqlx::Row;

use crate::{Store, StoreError};

/// Older days are forgotten.
const KEPT_DAYS: i32 = 90;

impl Store {
    /// Adds bytes by app to what is known of the day (in UTC), and forgets days that are long gone. Apps that are gone are left out.
    pub async fn add_traffic(&self, day: Date, bytes: &BTreeMap<String, u64>) -> Result<(), StoreError> {
        let failed = || StoreError::during(format!("add the traffic of {day}"));
        let mut transaction = self.writer.begin().await.map_err(failed())?;
        for (app, bytes) in bytes {
            sqlx::query(
                "INSERT INTO app_traffic (day, app, bytes) SELECT ?1, id, ?3 FROM apps WHERE id = ?2
                 ON CONFLICT (day, app) DO UPDATE SET bytes = bytes + excluded.bytes",
            )
            .bind(day.to_string())
            .bind(app)
            .bind(i64::try_from(*bytes).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        }
        sqlx::query("DELETE FROM app_traffic WHERE day < ?")
            .bind(day.saturating_sub(KEPT_DAYS.days()).to_string())
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        transaction.commit().await.map_err(failed())
    }

    /// Bytes of those of the apps that the account has and that sent something on the day, by their ids.
    pub async fn traffic(
        &self,
        account: AccountId,
        apps: &[AppId],
        day: Date,
    ) -> Result<BTreeMap<AppId, u64>, StoreError> {
        let mut found = BTreeMap::new();
        for app in apps {
            let row = sqlx::query(
                "SELECT bytes FROM app_traffic JOIN apps ON apps.id = app_traffic.app
                 WHERE app_traffic.day = ? AND app_traffic.app = ? AND apps.account = ? AND apps.deleting = 0",
            )
            .bind(day.to_string())
            .bind(app.to_string())
            .bind(account.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::during(format!("read the traffic of {day}")))?;
            if let Some(row) = row {
                found.insert(*app, u64::try_from(row.get::<i64, _>("bytes")).unwrap_or(0));
            }
        }
        Ok(found)
    }
}
