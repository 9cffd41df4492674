//! API tokens, by hash only, and the platform's own settings.

use jiff::{SignedDuration, Timestamp};
use mainstay_spec::ids::{AccountId, AppId, UserId};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    Store, StoreError, UserRow,
    columns::{parsed, parsed_if_set},
    users,
};

/// A token, but for its secret: of that only a hash is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    pub id: String,
    pub user: UserId,
    pub name: String,
    /// The API's word for what it may do.
    pub scope: String,
    /// The only app that it is for.
    pub app: Option<AppId>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// Tokens that ended are listed so long.
const ENDED_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

impl Store {
    /// False when the account of its user has `good_max` tokens already that are good. Tokens that ended long ago are forgotten.
    pub async fn insert_token(&self, row: &TokenRow, hash: &str, good_max: u64) -> Result<bool, StoreError> {
        let failed = || StoreError::during("store an API token");
        let mut transaction = self.writer.begin().await.map_err(failed())?;
        let now = row.created_at;
        sqlx::query("DELETE FROM tokens WHERE revoked_at < ?1 OR expires_at < ?1")
            .bind((now - ENDED_KEPT).to_string())
            .execute(&mut *transaction)
            .await
            .map_err(failed())?;
        let good: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM tokens
             WHERE user IN (SELECT id FROM users WHERE account = (SELECT account FROM users WHERE id = ?))
               AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
        )
        .bind(row.user.to_string())
        .bind(now.to_string())
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed())?;
        if u64::try_from(good).unwrap_or(0) >= good_max {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO tokens (id, user, name, hash, created_at, scope, app, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&row.id)
        .bind(row.user.to_string())
        .bind(&row.name)
        .bind(hash)
        .bind(row.created_at.to_string())
        .bind(&row.scope)
        .bind(row.app.map(|id| id.to_string()))
        .bind(row.expires_at.map(|at| at.to_string()))
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
        transaction.commit().await.map_err(failed())?;
        Ok(true)
    }

    /// The token of this hash and its user, whatever became of them.
    pub async fn token_by_hash(&self, hash: &str) -> Result<Option<(TokenRow, UserRow)>, StoreError> {
        let failed = || StoreError::during("look up an API token");
        let row = sqlx::query("SELECT * FROM tokens WHERE hash = ?")
            .bind(hash)
            .fetch_optional(&self.readers)
            .await
            .map_err(failed())?;
        let Some(token) = row.as_ref().map(read).transpose()? else {
            return Ok(None);
        };
        let row = sqlx::query("SELECT * FROM users WHERE id = ?")
            .bind(token.user.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed())?;
        let user = row.as_ref().map(users::read).transpose()?;
        Ok(user.map(|user| (token, user)))
    }

    /// All tokens of an account's users, oldest first, revoked and expired ones included.
    pub async fn tokens(&self, account: AccountId) -> Result<Vec<TokenRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM tokens WHERE user IN (SELECT id FROM users WHERE account = ?) ORDER BY created_at, id",
        )
        .bind(account.to_string())
        .fetch_all(&self.readers)
        .await
        .map_err(StoreError::during("list the API tokens"))?;
        rows.iter().map(read).collect()
    }

    /// False when the account has no such token. Revoking again changes nothing.
    pub async fn revoke_token(
        &self,
        account: AccountId,
        id: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?)
             WHERE id = ? AND user IN (SELECT id FROM users WHERE account = ?)",
        )
        .bind(now.to_string())
        .bind(id)
        .bind(account.to_string())
        .execute(&self.writer)
        .await
        .map_err(StoreError::during("revoke an API token"))?;
        Ok(done.rows_affected() > 0)
    }

    pub async fn note_token_use(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE tokens SET last_used_at = ? WHERE id = ?")
            .bind(now.to_string())
            .bind(id)
            .execute(&self.writer)
            .await
            .map_err(StoreError::during("note the use of an API token"))?;
        Ok(())
    }

    pub async fn count_tokens(&self) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT count(*) AS n FROM tokens")
            .fetch_one(&self.readers)
            .await
            .map_err(StoreError::during("count the API tokens"))?;
        Ok(u64::try_from(row.get::<i64, _>("n")).unwrap_or(0))
    }

    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT value FROM meta WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::during(format!("read the setting {key}")))?;
        Ok(row.map(|row| row.get("value")))
    }

    pub async fn put_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)")
            .bind(key)
            .bind(value)
            .execute(&self.writer)
            .await
            .map_err(StoreError::during(format!("store the setting {key}")))?;
        Ok(())
    }
}

fn read(row: &SqliteRow) -> Result<TokenRow, StoreError> {
    let id: String = row.get("id");
    Ok(TokenRow {
        user: parsed(row, "user", &id)?,
        name: row.get("name"),
        scope: row.get("scope"),
        app: parsed_if_set(row, "app", &id)?,
        created_at: parsed(row, "created_at", &id)?,
        expires_at: parsed_if_set(row, "expires_at", &id)?,
        last_used_at: parsed_if_set(row, "last_used_at", &id)?,
        revoked_at: parsed_if_set(row, "revoked_at", &id)?,
        id,
    })
}
