//! Accounts, and what they may take otherwise than others.

use jiff::Timestamp;
use mainstay_spec::{ids::AccountId, usage::Resource};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{Limits, Store, StoreError, columns::parsed};

/// Those who see the same apps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    pub id: AccountId,
    /// No two have the same.
    pub name: String,
    pub created_at: Timestamp,
    /// Those that are being deleted do not count.
    pub apps: u64,
}

/// Whether something of the store was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    Done,
    Unknown,
    /// It is needed by something that is there.
    InUse,
}

impl Store {
    /// False where one of that name is there already; nothing is changed then.
    pub async fn insert_account(
        &self,
        id: AccountId,
        name: &str,
        created_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO accounts (id, name, created_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
        )
        .bind(id.to_string())
        .bind(name)
        .bind(created_at.to_string())
        .execute(&self.writer)
        .await
        .map_err(StoreError::during("store an account"))?;
        Ok(done.rows_affected() > 0)
    }

    /// All of them, the oldest first.
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT accounts.*, listed FROM accounts JOIN app_count ON app_count.account = accounts.id ORDER BY created_at, id",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("list the accounts"))?;
        rows.iter().map(read).collect()
    }

    /// By id or name.
    pub async fn account(&self, wanted: &str) -> Result<Option<AccountRow>, StoreError> {
        let row = sqlx::query(
            "SELECT accounts.*, listed FROM accounts JOIN app_count ON app_count.account = accounts.id
             WHERE accounts.id = ?1 OR accounts.name = ?1 ORDER BY accounts.id = ?1 DESC LIMIT 1",
        )
        .bind(wanted)
        .fetch_optional(&self.readers)
        .await
        .map_err(StoreError::during("read an account"))?;
        row.as_ref().map(read).transpose()
    }

    /// False where another one has the name.
    pub async fn rename_account(&self, id: AccountId, name: &str) -> Result<bool, StoreError> {
        let renamed = sqlx::query("UPDATE accounts SET name = ? WHERE id = ?")
            .bind(name)
            .bind(id.to_string())
            .execute(&self.writer)
            .await;
        match renamed {
            Ok(_) => Ok(true),
            Err(sqlx::Error::Database(refusal)) if refusal.is_unique_violation() => Ok(false),
            Err(other) => Err(StoreError::during(format!("rename account {id}"))(other)),
        }
    }

    /// With its users and their tokens. One that has apps or clusters stays, as the first one does.
    pub async fn delete_account(&self, id: AccountId) -> Result<Removal, StoreError> {
        if id == AccountId::FIRST {
            return Ok(Removal::InUse);
        }
        let deleted = sqlx::query("DELETE FROM accounts WHERE id = ?")
            .bind(id.to_string())
            .execute(&self.writer)
            .await;
        match deleted {
            Ok(done) if done.rows_affected() == 0 => Ok(Removal::Unknown),
            Ok(_) => Ok(Removal::Done),
            Err(sqlx::Error::Database(refusal)) if refusal.is_foreign_key_violation() => Ok(Removal::InUse),
            Err(other) => Err(StoreError::during(format!("delete account {id}"))(other)),
        }
    }

    /// Instead of what everybody may take; `None`: that again. All of them or none.
    pub async fn set_account_limits(
        &self,
        account: AccountId,
        limits: &[(Resource, Option<u64>)],
    ) -> Result<(), StoreError> {
        let failed = || StoreError::during(format!("set the limits of account {account}"));
        let mut transaction = self.writer.begin().await.map_err(failed())?;
        for (resource, amount) in limits {
            set_limit(&mut transaction, account, *resource, *amount)
                .await
                .map_err(failed())?;
        }
        transaction.commit().await.map_err(failed())
    }
}

async fn set_limit(
    connection: &mut SqliteConnection,
    account: AccountId,
    resource: Resource,
    amount: Option<u64>,
) -> Result<(), sqlx::Error> {
    let statement = match amount {
        Some(amount) => {
            sqlx::query("INSERT OR REPLACE INTO account_limits (account, resource, amount) VALUES (?, ?, ?)")
                .bind(account.to_string())
                .bind(resource.noun())
                .bind(i64::try_from(amount).unwrap_or(i64::MAX))
        }
        None => sqlx::query("DELETE FROM account_limits WHERE account = ? AND resource = ?")
            .bind(account.to_string())
            .bind(resource.noun()),
    };
    statement.execute(connection).await?;
    Ok(())
}

/// What the account may take otherwise than others.
pub(crate) async fn limits_of(
    connection: &mut SqliteConnection,
    account: AccountId,
) -> Result<Limits, StoreError> {
    let rows = sqlx::query("SELECT resource, amount FROM account_limits WHERE account = ?")
        .bind(account.to_string())
        .fetch_all(connection)
        .await
        .map_err(StoreError::during(format!(
            "read the limits of account {account}"
        )))?;
    let limit = |row: &SqliteRow| {
        let resource = Resource::by_noun(row.get("resource"))?;
        Some((resource, u64::try_from(row.get::<i64, _>("amount")).unwrap_or(0)))
    };
    Ok(rows.iter().filter_map(limit).collect())
}

fn read(row: &SqliteRow) -> Result<AccountRow, StoreError> {
    let id: String = row.get("id");
    Ok(AccountRow {
        name: row.get("name"),
        created_at: parsed(row, "created_at", &id)?,
        apps: u64::try_from(row.get::<i64, _>("listed")).unwrap_or(0),
        id: id.parse().map_err(StoreError::damaged("id", &id))?,
    })
}
