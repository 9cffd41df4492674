//! The users of accounts.

use jiff::Timestamp;
use mainstay_spec::ids::{AccountId, UserId};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Removal, Store, StoreError,
    columns::{parsed, parsed_if_set},
};

/// Somebody of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    pub id: UserId,
    pub account: AccountId,
    /// No two of an account have the same.
    pub email: String,
    pub name: String,
    /// The API's word.
    pub role: String,
    pub created_at: Timestamp,
    /// Since then no token of this user is good for anything.
    pub disabled_at: Option<Timestamp>,
}

/// The role of those who may do everything within their account.
const OWNER: &str = "owner";

impl Store {
    /// False where the account has one of that address already; nothing is changed then.
    pub async fn insert_user(&self, row: &UserRow) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO users (id, account, email, name, role, created_at) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (account, email) DO NOTHING",
        )
        .bind(row.id.to_string())
        .bind(row.account.to_string())
        .bind(&row.email)
        .bind(&row.name)
        .bind(&row.role)
        .bind(row.created_at.to_string())
        .execute(&self.writer)
        .await
        .map_err(StoreError::during("store a user"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Those of an account, the oldest first.
    pub async fn users(&self, account: AccountId) -> Result<Vec<UserRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM users WHERE account = ? ORDER BY created_at, id")
            .bind(account.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during("list the users of an account"))?;
        rows.iter().map(read).collect()
    }

    /// One of an account, by id or address.
    pub async fn user(&self, account: AccountId, wanted: &str) -> Result<Option<UserRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM users WHERE account = ?1 AND (id = ?2 OR email = ?2)")
            .bind(account.to_string())
            .bind(wanted)
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::during("read a user"))?;
        row.as_ref().map(read).transpose()
    }

    /// Its name, role, and since when it is disabled. [`Removal::InUse`], and nothing changed, where the first account would be left without an
    /// owner: nobody could undo that.
    pub async fn update_user(&self, row: &UserRow) -> Result<Removal, StoreError> {
        let failed = || StoreError::during(format!("update user {}", row.id));
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed())?;
        let done =
            sqlx::query("UPDATE users SET name = ?, role = ?, disabled_at = ? WHERE id = ? AND account = ?")
                .bind(&row.name)
                .bind(&row.role)
                .bind(row.disabled_at.map(|at| at.to_string()))
                .bind(row.id.to_string())
                .bind(row.account.to_string())
                .execute(&mut *transaction)
                .await
                .map_err(failed())?;
        if done.rows_affected() == 0 {
            return Ok(Removal::Unknown);
        }
        if !has_owner(&mut transaction).await? {
            return Ok(Removal::InUse);
        }
        transaction.commit().await.map_err(failed())?;
        Ok(Removal::Done)
    }

    /// With its tokens, none of which may be good any more. [`Removal::InUse`] where one is, and for the last owner of the first account.
    pub async fn delete_user(
        &self,
        account: AccountId,
        id: UserId,
        now: Timestamp,
    ) -> Result<Removal, StoreError> {
        let failed = || StoreError::during(format!("delete user {id}"));
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed())?;
        let good: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM tokens WHERE user = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
        )
        .bind(id.to_string())
        .bind(now.to_string())
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed())?;
        let done = sqlx::query("DELETE FROM users WHERE id = ? AND account = ?")
            .bind(id.to_string())
            .bind(account.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        if done.rows_affected() == 0 {
            return Ok(Removal::Unknown);
        }
        if good > 0 || !has_owner(&mut transaction).await? {
            return Ok(Removal::InUse);
        }
        transaction.commit().await.map_err(failed())?;
        Ok(Removal::Done)
    }
}

/// Whether the first account has an owner who can do something.
async fn has_owner(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let owners: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM users WHERE account = ? AND role = ? AND disabled_at IS NULL",
    )
    .bind(AccountId::FIRST.to_string())
    .bind(OWNER)
    .fetch_one(connection)
    .await
    .map_err(StoreError::during("count the owners of the first account"))?;
    Ok(owners > 0)
}

pub(crate) fn read(row: &SqliteRow) -> Result<UserRow, StoreError> {
    let id: String = row.get("id");
    Ok(UserRow {
        account: parsed(row, "account", &id)?,
        email: row.get("email"),
        name: row.get("name"),
        role: row.get("role"),
        created_at: parsed(row, "created_at", &id)?,
        disabled_at: parsed_if_set(row, "disabled_at", &id)?,
        id: id.parse().map_err(StoreError::damaged("id", &id))?,
    })
}
