//! Whose an uploaded folder is. Folders are named by their content, and one may be several accounts'.

use std::collections::HashSet;

use jiff::Timestamp;
use mainstay_spec::ids::AccountId;

use crate::{Store, StoreError};

impl Store {
    /// From now on the account may name it in specs.
    pub async fn note_upload(
        &self,
        account: AccountId,
        upload: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT OR REPLACE INTO uploads (account, upload, at) VALUES (?, ?, ?)")
            .bind(account.to_string())
            .bind(upload)
            .bind(now.to_string())
            .execute(&self.writer)
            .await
            .map_err(StoreError::during("note whose an upload is"))?;
        Ok(())
    }

    /// What is noted as nobody's was there before there were accounts, and is the first one's.
    pub async fn has_upload(&self, account: AccountId, upload: &str) -> Result<bool, StoreError> {
        let found: i64 = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM uploads WHERE account = ?1 AND upload = ?2)
                 OR (?1 = ?3 AND NOT EXISTS (SELECT 1 FROM uploads WHERE upload = ?2))",
        )
        .bind(account.to_string())
        .bind(upload)
        .bind(AccountId::FIRST.to_string())
        .fetch_one(&self.readers)
        .await
        .map_err(StoreError::during("look whose an upload is"))?;
        Ok(found != 0)
    }

    /// Forgets whose those were that came before a time, but for those that specs name.
    pub async fn forget_uploads(&self, before: Timestamp, named: &HashSet<String>) -> Result<(), StoreError> {
        // Housekeeping comes often, and mostly for nothing.
        let is_old = sqlx::query("SELECT 1 FROM uploads WHERE at < ? LIMIT 1")
            .bind(before.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::during("look for old uploads"))?;
        if is_old.is_none() {
            return Ok(());
        }
        let named =
            serde_json::to_string(named).map_err(StoreError::damaged("list of uploads", "the specs"))?;
        sqlx::query("DELETE FROM uploads WHERE at < ? AND upload NOT IN (SELECT value FROM json_each(?))")
            .bind(before.to_string())
            .bind(named)
            .execute(&self.writer)
            .await
            .map_err(StoreError::during("forget old uploads"))?;
        Ok(())
    }
}
