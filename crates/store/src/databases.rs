//! Databases that the platform runs for apps: what they are, where their data is, and who may log in.

use std::fmt;

use jiff::Timestamp;
use mainstay_spec::ids::{AppId, DatabaseId, InstanceId};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    Store, StoreError,
    columns::{parsed, parsed_if_set},
};

/// A database component of an app. The volume carries the database's id.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseRow {
    pub id: DatabaseId,
    pub app: AppId,
    /// The component's name.
    pub name: String,
    /// As a spec writes it: "PG".
    pub engine: String,
    /// The engine's major version: "15".
    pub version: String,
    /// The name inside the server.
    pub database_name: String,
    /// The app's role.
    pub user: String,
    pub password: String,
    /// Of the role that the platform logs in as.
    pub admin_password: String,
    /// The image that its server runs from, once there is one.
    pub image: Option<String>,
    /// Of its volume, in the database's directory.
    pub volume_file: String,
    /// The file of the volume that it had before a restore, until the server was ready on the new one.
    pub replaced_volume: Option<String>,
    /// The size of its volume's file system.
    pub volume_bytes: u64,
    /// From then on a volume that is missing or empty is a loss, not a beginning.
    pub volume_made: bool,
    /// What the server calls its own data, once it was seen.
    pub system_identifier: Option<String>,
    /// The instance that runs its server, or did last. Stored before it is started.
    pub instance: Option<InstanceId>,
    pub created_at: Timestamp,
}

impl fmt::Debug for DatabaseRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseRow")
            .field("id", &self.id)
            .field("app", &self.app)
            .field("name", &self.name)
            .field("engine", &self.engine)
            .field("version", &self.version)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Stores the database unless the app has one of that name; what is stored then.
    pub async fn ensure_database(&self, row: &DatabaseRow) -> Result<DatabaseRow, StoreError> {
        sqlx::query(
            "INSERT INTO databases (id, app, name, engine, version, database_name, user, password, admin_password, volume_bytes, created_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (app, name) DO NOTHING",
        )
        .bind(row.id.to_string())
        .bind(row.app.to_string())
        .bind(&row.name)
        .bind(&row.engine)
        .bind(&row.version)
        .bind(&row.database_name)
        .bind(&row.user)
        .bind(&row.password)
        .bind(&row.admin_password)
        .bind(i64::try_from(row.volume_bytes).unwrap_or(i64::MAX))
        .bind(row.created_at.to_string())
        .execute(&self.writer)
        .await
        .map_err(StoreError::during(format!("store database {}", row.name)))?;
        let stored = sqlx::query("SELECT * FROM databases WHERE app = ? AND name = ?")
            .bind(row.app.to_string())
            .bind(&row.name)
            .fetch_one(&self.readers)
            .await
            .map_err(StoreError::during(format!("read database {}", row.name)))?;
        read(&stored)
    }

    pub async fn database(&self, id: DatabaseId) -> Result<Option<DatabaseRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM databases WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::during(format!("read database {id}")))?;
        row.as_ref().map(read).transpose()
    }

    /// Those of one app, by name.
    pub async fn databases_of_app(&self, app: AppId) -> Result<Vec<DatabaseRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM databases WHERE app = ? ORDER BY name")
            .bind(app.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!("list the databases of app {app}")))?;
        rows.iter().map(read).collect()
    }

    /// Those of all apps.
    pub async fn databases(&self) -> Result<Vec<DatabaseRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM databases ORDER BY created_at, id")
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during("list the databases"))?;
        rows.iter().map(read).collect()
    }

    pub async fn set_database_image(&self, id: DatabaseId, image: &str) -> Result<(), StoreError> {
        self.set_database(id, "UPDATE databases SET image = ? WHERE id = ?", image)
            .await
    }

    /// Of the instance that is about to be started.
    pub async fn set_database_instance(
        &self,
        id: DatabaseId,
        instance: InstanceId,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE databases SET instance = ? WHERE id = ?";
        self.set_database(id, sql, &instance.to_string()).await
    }

    /// The server's data was made and is on disk.
    pub async fn set_database_made(&self, id: DatabaseId, system_identifier: &str) -> Result<(), StoreError> {
        let sql = "UPDATE databases SET volume_made = 1, system_identifier = ? WHERE id = ?";
        self.set_database(id, sql, system_identifier).await
    }

    async fn set_database(&self, id: DatabaseId, sql: &'static str, value: &str) -> Result<(), StoreError> {
        sqlx::query(sql)
            .bind(value)
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("update database {id}")))?;
        Ok(())
    }

    /// Its server and its volume are gone.
    pub async fn delete_database(&self, id: DatabaseId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM databases WHERE id = ?")
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("delete database {id}")))?;
        Ok(())
    }
}

fn read(row: &SqliteRow) -> Result<DatabaseRow, StoreError> {
    let id: String = row.get("id");
    Ok(DatabaseRow {
        id: id.parse().map_err(StoreError::damaged("id", &id))?,
        app: parsed(row, "app", &id)?,
        name: row.get("name"),
        engine: row.get("engine"),
        version: row.get("version"),
        database_name: row.get("database_name"),
        user: row.get("user"),
        password: row.get("password"),
        admin_password: row.get("admin_password"),
        image: row.get("image"),
        volume_file: row.get("volume_file"),
        replaced_volume: row.get("replaced_volume"),
        volume_bytes: u64::try_from(row.get::<i64, _>("volume_bytes")).unwrap_or(0),
        volume_made: row.get("volume_made"),
        system_identifier: row.get("system_identifier"),
        instance: parsed_if_set(row, "instance", &id)?,
        created_at: parsed(row, "created_at", &id)?,
    })
}
