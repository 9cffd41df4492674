//! Who changed what, from where.

use jiff::Timestamp;
use mainstay_spec::ids::{AccountId, AppId};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    Store, StoreError,
    columns::{parsed, parsed_if_set},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuditEntry {
    pub at: Timestamp,
    /// Whose token it was; the first one's where it was nobody's.
    pub account: AccountId,
    /// The user's id.
    pub user: String,
    /// The user's address.
    pub user_name: String,
    /// The token's id.
    pub token: String,
    pub token_name: String,
    /// Method and path: "POST /v2/apps".
    pub action: String,
    pub app: Option<AppId>,
    /// What the answer was.
    pub status: u16,
    /// The address that asked.
    pub origin: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    pub id: u64,
    pub entry: NewAuditEntry,
}

impl Store {
    pub async fn add_audit(&self, entry: &NewAuditEntry) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO audit (at, account, user, user_name, token, token_name, action, app, status, origin)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(entry.at.to_string())
        .bind(entry.account.to_string())
        .bind(&entry.user)
        .bind(&entry.user_name)
        .bind(&entry.token)
        .bind(&entry.token_name)
        .bind(&entry.action)
        .bind(entry.app.map(|id| id.to_string()))
        .bind(i64::from(entry.status))
        .bind(&entry.origin)
        .execute(&self.writer)
        .await
        .map_err(StoreError::during("add to the audit log"))?;
        Ok(())
    }

    /// Forgets what is older than a time, and of the rest of each account all but the newest `rows_max`: no account can drive out what others did.
    /// Says how many rows that were.
    pub async fn forget_audit(&self, before: Timestamp, rows_max: u64) -> Result<u64, StoreError> {
        let failed = || StoreError::during("forget old entries of the audit log");
        // Ids count up in the order of time, so that the newest row of those that are too old tells them all.
        let done = sqlx::query(
            "DELETE FROM audit WHERE id <= coalesce((SELECT max(id) FROM audit WHERE at < ?), 0)",
        )
        .bind(before.to_string())
        .execute(&self.writer)
        .await
        .map_err(failed())?;
        let mut forgotten = done.rows_affected();
        let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let over: Vec<String> =
            sqlx::query_scalar("SELECT account FROM audit GROUP BY account HAVING count(*) > ?")
                .bind(rows_max)
                .fetch_all(&self.readers)
                .await
                .map_err(failed())?;
        for account in over {
            let done = sqlx::query(
                "DELETE FROM audit WHERE account = ?1 AND id <= coalesce(
                    (SELECT id FROM audit WHERE account = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2), 0)",
            )
            .bind(account)
            .bind(rows_max)
            .execute(&self.writer)
            .await
            .map_err(failed())?;
            forgotten += done.rows_affected();
        }
        Ok(forgotten)
    }

    /// A page of an account's, newest first, and how many there are.
    pub async fn audit(
        &self,
        account: AccountId,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<AuditRow>, u64), StoreError> {
        let rows = sqlx::query("SELECT * FROM audit WHERE account = ? ORDER BY id DESC LIMIT ? OFFSET ?")
            .bind(account.to_string())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(i64::try_from(offset).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await
            .map_err(StoreError::during("read the audit log"))?;
        let total: i64 = sqlx::query_scalar("SELECT count(*) FROM audit WHERE account = ?")
            .bind(account.to_string())
            .fetch_one(&self.readers)
            .await
            .map_err(StoreError::during("count the audit log"))?;
        Ok((
            rows.iter().map(read).collect::<Result<_, _>>()?,
            u64::try_from(total).unwrap_or(0),
        ))
    }
}

fn read(row: &SqliteRow) -> Result<AuditRow, StoreError> {
    let id: i64 = row.get("id");
    Ok(AuditRow {
        id: u64::try_from(id).unwrap_or(0),
        entry: NewAuditEntry {
            at: parsed(row, "at", id)?,
            account: parsed(row, "account", id)?,
            user: row.get("user"),
            user_name: row.get("user_name"),
            token: row.get("token"),
            token_name: row.get("token_name"),
            action: row.get("action"),
            app: parsed_if_set(row, "app", id)?,
            status: u16::try_from(row.get::<i64, _>("status")).unwrap_or(0),
            origin: row.get("origin"),
        },
    })
}
