//! Backups of the databases that the platform runs: how each went, and what is in it. The newest is always first.

use jiff::Timestamp;
use mainstay_spec::ids::{BackupId, DatabaseId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{Store, StoreError};

/// One backup, or one try to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRow {
    pub id: BackupId,
    pub database: DatabaseId,
    pub cause: BackupCause,
    pub state: BackupState,
    /// Why it is [`BackupState::Failed`].
    pub failure: Option<BackupFailure>,
    /// The same in words; empty unless it failed.
    pub message: String,
    /// Of its file, once that is whole.
    pub bytes: Option<u64>,
    /// Of its file, in hexadecimal digits.
    pub sha256: Option<String>,
    /// What was in the tables at the moment that it is of.
    pub tables: Vec<TableRows>,
    pub created_at: Timestamp,
    /// When it was found good, or failed.
    pub finished_at: Option<Timestamp>,
}

/// What gave rise to a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupCause {
    Manual,
    Schedule,
}

/// Where a backup stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupState {
    /// Others are before it.
    Pending,
    Running,
    /// Its file is whole, and being restored to be counted.
    Verifying,
    /// It was restored, and had what the database had.
    Good,
    Failed,
}

/// Why a backup is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupFailure {
    /// The database's server could not be asked.
    NotReady,
    /// The machine has no room for making or trying it.
    NoRoom,
    /// A disk became full in the middle.
    DiskFull,
    /// The database's content could not be taken.
    Dump,
    /// What was taken could not be restored.
    Restore,
    /// Restored, it has other numbers of rows.
    CountsDiffer,
    /// The file is not what was written.
    Checksum,
    /// The file is gone.
    FileMissing,
    TimeLimit,
    /// The server ended in the middle.
    Interrupted,
    /// A fault of the platform's own.
    Platform,
}

/// A table and how many rows it has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableRows {
    pub schema: String,
    pub name: String,
    pub rows: u64,
}

impl BackupState {
    pub fn is_over(self) -> bool {
        matches!(self, Self::Good | Self::Failed)
    }
}

impl Store {
    /// A new one.
    pub async fn insert_backup(&self, row: &BackupRow) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO backups (id, database, cause, state, created_at) VALUES (?, ?, ?, ?, ?)")
            .bind(row.id.to_string())
            .bind(row.database.to_string())
            .bind(text(row.cause))
            .bind(text(row.state))
            .bind(row.created_at.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("store backup {}", row.id)))?;
        Ok(())
    }

    pub async fn backup(&self, id: BackupId) -> Result<Option<BackupRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM backups WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::during(format!("read backup {id}")))?;
        row.as_ref().map(read).transpose()
    }

    /// Those of one database, the newest first.
    pub async fn backups_of_database(&self, database: DatabaseId) -> Result<Vec<BackupRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM backups WHERE database = ? ORDER BY created_at DESC, id")
            .bind(database.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!(
                "list the backups of database {database}"
            )))?;
        rows.iter().map(read).collect()
    }

    /// It goes on.
    pub async fn set_backup_state(&self, id: BackupId, state: BackupState) -> Result<(), StoreError> {
        sqlx::query("UPDATE backups SET state = ? WHERE id = ?")
            .bind(text(state))
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("update backup {id}")))?;
        Ok(())
    }

    /// Its file is whole and on disk; whether it is any good is seen next.
    pub async fn set_backup_written(
        &self,
        id: BackupId,
        bytes: u64,
        sha256: &str,
        tables: &[TableRows],
    ) -> Result<(), StoreError> {
        let tables = serde_json::to_string(tables).map_err(StoreError::damaged("tables", id))?;
        sqlx::query("UPDATE backups SET state = ?, bytes = ?, sha256 = ?, tables = ? WHERE id = ?")
            .bind(text(BackupState::Verifying))
            .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
            .bind(sha256)
            .bind(tables)
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("update backup {id}")))?;
        Ok(())
    }

    /// How it ended: good without a failure.
    pub async fn end_backup(
        &self,
        id: BackupId,
        failure: Option<(BackupFailure, &str)>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let state = if failure.is_some() {
            BackupState::Failed
        } else {
            BackupState::Good
        };
        sqlx::query("UPDATE backups SET state = ?, failure = ?, message = ?, finished_at = ? WHERE id = ?")
            .bind(text(state))
            .bind(failure.map(|(failure, _)| text(failure)))
            .bind(failure.map(|(_, message)| message).unwrap_or_default())
            .bind(at.to_string())
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("end backup {id}")))?;
        Ok(())
    }

    pub async fn delete_backup(&self, id: BackupId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM backups WHERE id = ?")
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("delete backup {id}")))?;
        Ok(())
    }
}

/// A closed set of words, as they are stored.
pub(crate) fn text(word: impl Serialize) -> String {
    match serde_json::to_value(word) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

pub(crate) fn word<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(text.into())
}

fn read(row: &SqliteRow) -> Result<BackupRow, StoreError> {
    let id: String = row.get("id");
    let time = |column: &str| row.get::<Option<&str>, _>(column).map(str::parse).transpose();
    Ok(BackupRow {
        id: id.parse().map_err(StoreError::damaged("id", &id))?,
        database: row
            .get::<&str, _>("database")
            .parse()
            .map_err(StoreError::damaged("database id", &id))?,
        cause: word(row.get("cause")).map_err(StoreError::damaged("cause", &id))?,
        state: word(row.get("state")).map_err(StoreError::damaged("state", &id))?,
        failure: row
            .get::<Option<&str>, _>("failure")
            .map(word)
            .transpose()
            .map_err(StoreError::damaged("failure", &id))?,
        message: row.get("message"),
        bytes: row
            .get::<Option<i64>, _>("bytes")
            .map(|bytes| u64::try_from(bytes).unwrap_or(0)),
        sha256: row.get("sha256"),
        tables: serde_json::from_str(row.get("tables")).map_err(StoreError::damaged("tables", &id))?,
        created_at: time("created_at")
            .map_err(StoreError::damaged("time", &id))?
            .unwrap_or_default(),
        finished_at: time("finished_at").map_err(StoreError::damaged("time", &id))?,
    })
}
