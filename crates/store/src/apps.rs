//! Apps.

use jiff::Timestamp;
use mainstay_spec::{
    AppSpec,
    ids::{AccountId, AppId, DeploymentId},
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    NewDeployment, Store, StoreError,
    columns::{from_json, parsed, parsed_if_set},
    deployments, hosts, limits,
};

#[derive(Debug, Clone)]
pub struct AppRow {
    pub id: AppId,
    pub account: AccountId,
    /// No two of an account have the same.
    pub name: String,
    /// What stands between its name and the domain in its default host.
    pub host_suffix: String,
    /// As last submitted.
    pub spec: AppSpec,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The deployment that serves.
    pub active_deployment: Option<DeploymentId>,
    /// The rollback that nothing may follow until it is committed or reverted.
    pub pinned_deployment: Option<DeploymentId>,
    /// Its parts are being taken down.
    pub deleting: bool,
}

impl Store {
    /// Stores an app with its first deployment, both or neither: an app that nobody deploys would be a riddle.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] when the account has an app of that name; [`StoreError::HostTaken`], [`StoreError::LimitPassed`].
    pub async fn create_app(&self, account: AccountId, first: &NewDeployment) -> Result<(), StoreError> {
        let failed = || StoreError::during(format!("store app {}", first.app));
        // It reads before it writes: begun as a reader it could be refused in the middle.
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed())?;
        let (app, name) = (first.app, &first.spec.name);
        let suffix = hosts::suffix(&mut transaction, account, app, name, &self.domain).await?;
        insert_app(&mut transaction, account, &suffix, first).await?;
        hosts::claim(&mut transaction, app, &first.spec, &self.domain).await?;
        limits::take(&mut transaction, app, &first.spec, Some(&self.limits)).await?;
        deployments::insert(&mut transaction, first).await?;
        transaction.commit().await.map_err(failed())
    }

    pub async fn app(&self, id: AppId) -> Result<Option<AppRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM apps WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::during(format!("read app {id}")))?;
        row.as_ref().map(read).transpose()
    }

    /// Whether the account has the app, and it is not being deleted.
    pub async fn has_app(&self, account: AccountId, id: AppId) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM apps WHERE id = ? AND account = ? AND deleting = 0")
            .bind(id.to_string())
            .bind(account.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::during(format!("look whose app {id} is")))?;
        Ok(row.is_some())
    }

    pub async fn app_by_name(&self, account: AccountId, name: &str) -> Result<Option<AppRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM apps WHERE account = ? AND name = ?")
            .bind(account.to_string())
            .bind(name)
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::during("read an app by name"))?;
        row.as_ref().map(read).transpose()
    }

    /// Every app of every account, those that are being deleted included.
    pub async fn all_apps(&self) -> Result<Vec<AppRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM apps ORDER BY created_at, id")
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during("list all apps"))?;
        rows.iter().map(read).collect()
    }

    /// A page of an account's apps, oldest first, and how many it has.
    pub async fn apps(
        &self,
        account: AccountId,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<AppRow>, u64), StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM apps WHERE account = ? AND deleting = 0 ORDER BY created_at, id LIMIT ? OFFSET ?",
        )
        .bind(account.to_string())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(i64::try_from(offset).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("list the apps"))?;
        let total: Option<i64> = sqlx::query_scalar("SELECT listed FROM app_count WHERE account = ?")
            .bind(account.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::during("count the apps"))?;
        Ok((
            rows.iter().map(read).collect::<Result<_, _>>()?,
            u64::try_from(total.unwrap_or(0)).unwrap_or(0),
        ))
    }

    /// From now on the app is not listed, and its name is free.
    pub async fn mark_app_deleting(&self, id: AppId) -> Result<(), StoreError> {
        sqlx::query("UPDATE apps SET deleting = 1, name = id WHERE id = ?")
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("mark app {id} for deletion")))?;
        Ok(())
    }

    /// Deletes the app with its deployments, builds, instances and reasons.
    pub async fn delete_app(&self, id: AppId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM apps WHERE id = ?")
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("delete app {id}")))?;
        Ok(())
    }
}

async fn insert_app(
    connection: &mut SqliteConnection,
    account: AccountId,
    suffix: &str,
    first: &NewDeployment,
) -> Result<(), StoreError> {
    let (id, spec) = (first.app, &first.spec);
    let json = serde_json::to_string(spec).map_err(StoreError::damaged("spec", id))?;
    let inserted = sqlx::query(
        "INSERT INTO apps (id, account, name, host_suffix, spec, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
    )
    .bind(id.to_string())
    .bind(account.to_string())
    .bind(&spec.name)
    .bind(suffix)
    .bind(json)
    .bind(first.created_at.to_string())
    .execute(connection)
    .await;
    match inserted {
        Ok(_) => Ok(()),
        Err(error) => Err(name_taken(spec, error, format!("store app {id}"))),
    }
}

pub(crate) async fn update_spec(
    connection: &mut SqliteConnection,
    id: AppId,
    spec: &AppSpec,
    now: Timestamp,
) -> Result<(), StoreError> {
    let json = serde_json::to_string(spec).map_err(StoreError::damaged("spec", id))?;
    let updated =
        sqlx::query("UPDATE apps SET name = ?, spec = ?, updated_at = ? WHERE id = ? AND deleting = 0")
            .bind(&spec.name)
            .bind(json)
            .bind(now.to_string())
            .bind(id.to_string())
            .execute(connection)
            .await;
    match updated {
        Ok(done) if done.rows_affected() == 0 => Err(StoreError::NoApp { app: id }),
        Ok(_) => Ok(()),
        Err(error) => Err(name_taken(spec, error, format!("update app {id}"))),
    }
}

fn name_taken(spec: &AppSpec, error: sqlx::Error, operation: String) -> StoreError {
    match error {
        sqlx::Error::Database(refusal) if refusal.is_unique_violation() => StoreError::NameTaken {
            name: spec.name.clone(),
        },
        other => StoreError::during(operation)(other),
    }
}

fn read(row: &SqliteRow) -> Result<AppRow, StoreError> {
    let id: String = row.get("id");
    Ok(AppRow {
        id: id.parse().map_err(StoreError::damaged("id", &id))?,
        account: parsed(row, "account", &id)?,
        name: row.get("name"),
        host_suffix: row.get("host_suffix"),
        spec: from_json(row, "spec", &id)?,
        created_at: parsed(row, "created_at", &id)?,
        updated_at: parsed(row, "updated_at", &id)?,
        active_deployment: parsed_if_set(row, "active_deployment", &id)?,
        pinned_deployment: parsed_if_set(row, "pinned_deployment", &id)?,
        deleting: row.get("deleting"),
    })
}
