//! Specs of older servers, whose secrets were stored as they came: rewritten once, and then nothing of them is left in the file.

use mainstay_spec::{AppSpec, ids::AppId};
use sqlx::{Connection, SqliteConnection};

use crate::{Store, StoreError, columns::from_json};

impl Store {
    /// Lets `seal` change every stored spec of every app: the app's own first, then those of its deployments, newest first. What it changes
    /// is stored, and the pages that held the old text are written over.
    ///
    /// # Errors
    /// A spec that cannot be read; then what came before it is stored, and asking again is safe.
    pub async fn reseal(&self, mut seal: impl FnMut(AppId, &mut AppSpec) + Send) -> Result<(), StoreError> {
        let failed = || StoreError::during("seal the secrets of stored specs");
        let apps: Vec<String> = sqlx::query_scalar("SELECT id FROM apps ORDER BY id")
            .fetch_all(&self.readers)
            .await
            .map_err(failed())?;
        let mut connection = self.writer.acquire().await.map_err(failed())?;
        for id in apps {
            let app: AppId = id.parse().map_err(StoreError::damaged("id", &id))?;
            let mut transaction = connection.begin().await.map_err(failed())?;
            rewrite(&mut transaction, ("apps", "id = ?"), app, &mut seal).await?;
            rewrite(
                &mut transaction,
                ("deployments", "app = ? ORDER BY number DESC"),
                app,
                &mut seal,
            )
            .await?;
            transaction.commit().await.map_err(failed())?;
        }
        for statement in ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] {
            sqlx::query(statement)
                .execute(&mut *connection)
                .await
                .map_err(failed())?;
        }
        Ok(())
    }
}

/// `of` is a table, and which of its rows.
async fn rewrite(
    connection: &mut SqliteConnection,
    (table, rows): (&str, &str),
    app: AppId,
    seal: &mut (impl FnMut(AppId, &mut AppSpec) + Send),
) -> Result<(), StoreError> {
    let failed = || StoreError::during(format!("seal the secrets of app {app}"));
    let ids = format!("SELECT id FROM {table} WHERE {rows}");
    let ids: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(ids))
        .bind(app.to_string())
        .fetch_all(&mut *connection)
        .await
        .map_err(failed())?;
    for id in ids {
        // One at a time: an app may have hundreds of large ones.
        let query = format!("SELECT spec FROM {table} WHERE id = ?");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(&id)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed())?;
        let before: AppSpec = from_json(&row, "spec", &id)?;
        let mut after = before.clone();
        seal(app, &mut after);
        if after == before {
            continue;
        }
        let json = serde_json::to_string(&after).map_err(StoreError::damaged("spec", &id))?;
        let update = format!("UPDATE {table} SET spec = ? WHERE id = ?");
        sqlx::query(sqlx::AssertSqlSafe(update))
            .bind(json)
            .bind(&id)
            .execute(&mut *connection)
            .await
            .map_err(failed())?;
    }
    Ok(())
}
