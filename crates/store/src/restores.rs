//! Restores of databases from backups, and the one moment at which a database has other data.

use jiff::Timestamp;
use mainstay_spec::ids::{BackupId, DatabaseId, RestoreId};
use serde::{Deserialize, Serialize};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    BackupFailure, Store, StoreError,
    backups::{text, word},
};

/// Of one database: the newest are remembered.
const KEPT: i64 = 50;

/// One restore of a database, or one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRow {
    pub id: RestoreId,
    pub database: DatabaseId,
    /// It may be gone by now.
    pub backup: BackupId,
    pub state: RestoreState,
    /// Why it is [`RestoreState::Failed`].
    pub failure: Option<BackupFailure>,
    /// The same in words, or what else is to be said.
    pub message: String,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// Where a restore stands. Up to [`Self::Switching`] the database has the data from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreState {
    /// Others are before it.
    Pending,
    /// The backup is read into a new volume, and counted there.
    Restoring,
    /// The new volume is the database's; its server starts on it.
    Switching,
    Done,
    Failed,
}

impl RestoreState {
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// A volume's file, and what the server on it calls its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFile {
    pub file: String,
    pub system_identifier: Option<String>,
}

impl Store {
    /// A new one; the oldest are forgotten.
    pub async fn insert_restore(&self, row: &RestoreRow) -> Result<(), StoreError> {
        let failed = || StoreError::during(format!("store restore {}", row.id));
        sqlx::query("INSERT INTO restores (id, database, backup, state, created_at) VALUES (?, ?, ?, ?, ?)")
            .bind(row.id.to_string())
            .bind(row.database.to_string())
            .bind(row.backup.to_string())
            .bind(text(row.state))
            .bind(row.created_at.to_string())
            .execute(&self.writer)
            .await
            .map_err(failed())?;
        sqlx::query(
            "DELETE FROM restores WHERE id IN
             (SELECT id FROM restores WHERE database = ? ORDER BY created_at DESC, id LIMIT -1 OFFSET ?)",
        )
        .bind(row.database.to_string())
        .bind(KEPT)
        .execute(&self.writer)
        .await
        .map_err(failed())?;
        Ok(())
    }

    pub async fn restore(&self, id: RestoreId) -> Result<Option<RestoreRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM restores WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::during(format!("read restore {id}")))?;
        row.as_ref().map(read).transpose()
    }

    /// Those of one database, the newest first.
    pub async fn restores_of_database(&self, database: DatabaseId) -> Result<Vec<RestoreRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM restores WHERE database = ? ORDER BY created_at DESC, id")
            .bind(database.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during(format!(
                "list the restores of database {database}"
            )))?;
        rows.iter().map(read).collect()
    }

    /// It goes on.
    pub async fn set_restore_state(&self, id: RestoreId, state: RestoreState) -> Result<(), StoreError> {
        sqlx::query("UPDATE restores SET state = ? WHERE id = ?")
            .bind(text(state))
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("update restore {id}")))?;
        Ok(())
    }

    /// How it ended: done without a failure.
    pub async fn end_restore(
        &self,
        id: RestoreId,
        failure: Option<BackupFailure>,
        message: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let state = if failure.is_some() {
            RestoreState::Failed
        } else {
            RestoreState::Done
        };
        sqlx::query("UPDATE restores SET state = ?, failure = ?, message = ?, finished_at = ? WHERE id = ?")
            .bind(text(state))
            .bind(failure.map(text))
            .bind(message)
            .bind(at.to_string())
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("end restore {id}")))?;
        Ok(())
    }

    /// From this moment on the database has the new volume's data. The one that it had is remembered until somebody lets go of it.
    pub async fn switch_volume(
        &self,
        database: DatabaseId,
        new: &VolumeFile,
        restore: RestoreId,
    ) -> Result<(), StoreError> {
        let failed = || StoreError::during(format!("switch the volume of database {database}"));
        let mut transaction = self.writer.begin().await.map_err(failed())?;
        // What is on the right are the values from before.
        sqlx::query(
            "UPDATE databases SET replaced_volume = volume_file, replaced_identifier = system_identifier,
             volume_file = ?, system_identifier = ?, volume_made = 1 WHERE id = ?",
        )
        .bind(&new.file)
        .bind(&new.system_identifier)
        .bind(database.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
        sqlx::query("UPDATE restores SET state = ? WHERE id = ?")
            .bind(text(RestoreState::Switching))
            .bind(restore.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        transaction.commit().await.map_err(failed())
    }

    /// Back to the volume from before; the restore failed. False where that is not remembered any more: nothing is changed then.
    pub async fn switch_volume_back(
        &self,
        database: DatabaseId,
        restore: RestoreId,
        (failure, message): (BackupFailure, &str),
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let failed = || StoreError::during(format!("switch back the volume of database {database}"));
        let mut transaction = self.writer.begin().await.map_err(failed())?;
        let done = sqlx::query(
            "UPDATE databases SET volume_file = replaced_volume, system_identifier = replaced_identifier,
             replaced_volume = NULL, replaced_identifier = NULL WHERE id = ? AND replaced_volume IS NOT NULL",
        )
        .bind(database.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("UPDATE restores SET state = ?, failure = ?, message = ?, finished_at = ? WHERE id = ?")
            .bind(text(RestoreState::Failed))
            .bind(text(failure))
            .bind(message)
            .bind(at.to_string())
            .bind(restore.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        transaction.commit().await.map_err(failed())?;
        Ok(true)
    }

    /// The volume from before is gone.
    pub async fn forget_replaced_volume(&self, database: DatabaseId) -> Result<(), StoreError> {
        sqlx::query("UPDATE databases SET replaced_volume = NULL, replaced_identifier = NULL WHERE id = ?")
            .bind(database.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!(
                "forget the old volume of database {database}"
            )))?;
        Ok(())
    }
}

fn read(row: &SqliteRow) -> Result<RestoreRow, StoreError> {
    let id: String = row.get("id");
    Ok(RestoreRow {
        id: id.parse().map_err(StoreError::damaged("id", &id))?,
        database: row
            .get::<&str, _>("database")
            .parse()
            .map_err(StoreError::damaged("database id", &id))?,
        backup: row
            .get::<&str, _>("backup")
            .parse()
            .map_err(StoreError::damaged("backup id", &id))?,
        state: word(row.get("state")).map_err(StoreError::damaged("state", &id))?,
        failure: row
            .get::<Option<&str>, _>("failure")
            .map(word)
            .transpose()
            .map_err(StoreError::damaged("failure", &id))?,
        message: row.get("message"),
        created_at: row
            .get::<&str, _>("created_at")
            .parse()
            .map_err(StoreError::damaged("time", &id))?,
        finished_at: row
            .get::<Option<&str>, _>("finished_at")
            .map(str::parse)
            .transpose()
            .map_err(StoreError::damaged("time", &id))?,
    })
}

#[cfg(test)]
mod tests {
    use mainstay_spec::ids::AppId;

    use super::*;
    use crate::DatabaseRow;

    async fn store_with_database(directory: &std::path::Path) -> (Store, DatabaseRow) {
        let store = Store::open(&directory.join("test.db")).await.unwrap();
        let app = AppId::from_uuid(uuid::Uuid::from_u128(1));
        sqlx::query(
            "INSERT INTO apps (id, account, name, host_suffix, spec, created_at, updated_at)
             VALUES (?, '00000000-0000-0000-0000-000000000000', 'shop', '', '{}', ?, ?)",
        )
        .bind(app.to_string())
        .bind(Timestamp::UNIX_EPOCH.to_string())
        .bind(Timestamp::UNIX_EPOCH.to_string())
        .execute(&store.writer)
        .await
        .unwrap();
        let row = DatabaseRow {
            id: DatabaseId::from_uuid(uuid::Uuid::from_u128(2)),
            app,
            name: "db".into(),
            engine: "PG".into(),
            version: "15".into(),
            database_name: "db".into(),
            user: "db".into(),
            password: String::new(),
            admin_password: String::new(),
            image: None,
            volume_file: "volume.img".into(),
            replaced_volume: None,
            volume_bytes: 1,
            volume_made: false,
            system_identifier: None,
            instance: None,
            created_at: Timestamp::UNIX_EPOCH,
        };
        let row = store.ensure_database(&row).await.unwrap();
        (store, row)
    }

    fn restore(database: DatabaseId, number: u128) -> RestoreRow {
        RestoreRow {
            id: RestoreId::from_uuid(uuid::Uuid::from_u128(number)),
            database,
            backup: BackupId::from_uuid(uuid::Uuid::from_u128(9)),
            state: RestoreState::Pending,
            failure: None,
            message: String::new(),
            created_at: Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
            finished_at: None,
        }
    }

    #[tokio::test]
    async fn a_database_has_the_old_or_the_new_volume_and_can_go_back_until_the_old_one_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let (store, row) = store_with_database(directory.path()).await;
        store.set_database_made(row.id, "100").await.unwrap();
        let restore = restore(row.id, 1);
        store.insert_restore(&restore).await.unwrap();
        let new = VolumeFile {
            file: "volume-new.img".into(),
            system_identifier: Some("200".into()),
        };
        let now = async || {
            let row = store.database(row.id).await.unwrap().unwrap();
            (
                row.volume_file,
                row.replaced_volume,
                row.system_identifier.unwrap(),
            )
        };
        let state = async || store.restore(restore.id).await.unwrap().unwrap().state;
        store.switch_volume(row.id, &new, restore.id).await.unwrap();
        let old = Some("volume.img".to_owned());
        assert_eq!(now().await, ("volume-new.img".into(), old, "200".into()));
        assert_eq!(state().await, RestoreState::Switching);
        let why = (BackupFailure::Restore, "it does not start");
        let back = async || {
            let at = Timestamp::UNIX_EPOCH;
            store
                .switch_volume_back(row.id, restore.id, why, at)
                .await
                .unwrap()
        };
        assert!(back().await);
        assert_eq!(now().await, ("volume.img".into(), None, "100".into()));
        assert_eq!(state().await, RestoreState::Failed);
        store.switch_volume(row.id, &new, restore.id).await.unwrap();
        store.forget_replaced_volume(row.id).await.unwrap();
        assert!(!back().await, "there is nothing to go back to");
        assert_eq!(now().await, ("volume-new.img".into(), None, "200".into()));
    }

    #[tokio::test]
    async fn the_newest_restores_are_remembered_and_go_with_the_database() {
        let directory = tempfile::tempdir().unwrap();
        let (store, row) = store_with_database(directory.path()).await;
        for number in 1..=60 {
            store.insert_restore(&restore(row.id, number)).await.unwrap();
        }
        let listed = store.restores_of_database(row.id).await.unwrap();
        assert_eq!(listed.len(), usize::try_from(KEPT).unwrap());
        assert_eq!(listed[0].id, restore(row.id, 60).id);
        store.delete_database(row.id).await.unwrap();
        assert_eq!(store.restores_of_database(row.id).await.unwrap(), []);
    }
}
