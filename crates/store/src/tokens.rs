//! API tokens, by hash only, and the platform's own settings.

use jiff::Timestamp;
use sqlx::Row;

use crate::{Store, StoreError};

impl Store {
    pub async fn insert_token(
        &self,
        id: &str,
        name: &str,
        hash: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO tokens (id, name, hash, created_at) VALUES (?, ?, ?, ?)")
            .bind(id)
            .bind(name)
            .bind(hash)
            .bind(now.to_string())
            .execute(&self.pool)
            .await
            .map_err(StoreError::during("store an API token"))?;
        Ok(())
    }

    /// Whether a token of this hash exists.
    pub async fn has_token(&self, hash: &str) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM tokens WHERE hash = ?")
            .bind(hash)
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreError::during("look up an API token"))?;
        Ok(row.is_some())
    }

    pub async fn count_tokens(&self) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT count(*) AS n FROM tokens")
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::during("count the API tokens"))?;
        Ok(u64::try_from(row.get::<i64, _>("n")).unwrap_or(0))
    }

    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT value FROM meta WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreError::during(format!("read the setting {key}")))?;
        Ok(row.map(|row| row.get("value")))
    }

    pub async fn put_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)")
            .bind(key)
            .bind(value)
            .execute(&self.pool)
            .await
            .map_err(StoreError::during(format!("store the setting {key}")))?;
        Ok(())
    }
}
