//! API tokens: shown once, kept as a hash.

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Application, Refusal};

const TOKEN_BYTES: usize = 32;

impl Application {
    /// Makes the first token; `None` when there is one already.
    pub(crate) async fn first_token(&self) -> Result<Option<String>, Refusal> {
        if self.platform.store.count_tokens().await? > 0 {
            return Ok(None);
        }
        let token = format!("mst_{}", HEXLOWER.encode(&rand::random::<[u8; TOKEN_BYTES]>()));
        let id = uuid::Uuid::new_v4().to_string();
        self.platform
            .store
            .insert_token(&id, "first start", &hash(&token), Timestamp::now())
            .await?;
        Ok(Some(token))
    }

    pub(crate) async fn is_valid_token(&self, token: &str) -> Result<bool, Refusal> {
        Ok(self.platform.store.has_token(&hash(token)).await?)
    }
}

/// The token has 256 random bits: a plain hash is as good as a slow one.
fn hash(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
}
