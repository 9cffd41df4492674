//! API tokens: shown once, kept as a hash.

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use mainstay_api::{CreateTokenRequest, TokenScope};
use mainstay_spec::ids::AppId;
use mainstay_store::{AuditRow, NewAuditEntry, TokenRow};
use sha2::{Digest, Sha256};

use super::{Application, Refusal, apps::Page};

const TOKEN_BYTES: usize = 32;
/// The last use of a token is noted this often at most.
const USE_NOTED_EVERY: SignedDuration = SignedDuration::from_mins(1);
const NAME_CHARS_MAX: usize = 100;
/// Ten years; whoever wants more wants no end.
const SECONDS_MAX: u64 = 10 * 366 * 24 * 3600;

/// Who asks, and what that token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    pub token: String,
    pub name: String,
    pub scope: TokenScope,
    /// The only app that it is for.
    pub app: Option<AppId>,
}

impl Application {
    /// Makes the first token; `None` when there is one already.
    pub(crate) async fn first_token(&self) -> Result<Option<String>, Refusal> {
        if self.platform.store.count_tokens().await? > 0 {
            return Ok(None);
        }
        let (_, secret) = self
            .store_token("first start", TokenScope::Admin, None, None)
            .await?;
        Ok(Some(secret))
    }

    /// A new token and its secret.
    pub(crate) async fn create_token(
        &self,
        request: &CreateTokenRequest,
    ) -> Result<(TokenRow, String), Refusal> {
        let name = request.name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
            return Err(Refusal::BadRequest(format!(
                "name must be 1 to {NAME_CHARS_MAX} characters long"
            )));
        }
        if request.scope == TokenScope::Unknown {
            return Err(Refusal::BadRequest(
                "scope must be one of read, write, admin".into(),
            ));
        }
        let app = match request.app_id.as_str() {
            "" => None,
            id => {
                let id = id
                    .parse()
                    .map_err(|_| Refusal::BadRequest(format!("app_id is {id:?}, which is no id")))?;
                Some(self.app(id).await?.app.id)
            }
        };
        if app.is_some() && request.scope == TokenScope::Admin {
            return Err(Refusal::BadRequest(
                "scope is admin, which cannot be for one app only".into(),
            ));
        }
        if request.expires_in_seconds > SECONDS_MAX {
            return Err(Refusal::BadRequest(format!(
                "expires_in_seconds is {}; {SECONDS_MAX} is the most",
                request.expires_in_seconds
            )));
        }
        let lifetime = i64::try_from(request.expires_in_seconds).unwrap_or(0);
        let expires_at = (lifetime > 0).then(|| Timestamp::now() + SignedDuration::from_secs(lifetime));
        self.store_token(name, request.scope, app, expires_at).await
    }

    pub(super) async fn store_token(
        &self,
        name: &str,
        scope: TokenScope,
        app: Option<AppId>,
        expires_at: Option<Timestamp>,
    ) -> Result<(TokenRow, String), Refusal> {
        let secret = format!("mst_{}", HEXLOWER.encode(&rand::random::<[u8; TOKEN_BYTES]>()));
        let row = TokenRow {
            id: uuid::Uuid::new_v4().to_string(),
            name: name.to_owned(),
            scope: scope.as_str().to_owned(),
            app,
            created_at: Timestamp::now(),
            expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        self.platform.store.insert_token(&row, &hash(&secret)).await?;
        Ok((row, secret))
    }

    #[cfg(test)]
    pub(crate) async fn expired_token(&self) -> String {
        let before = Timestamp::now() - SignedDuration::from_secs(1);
        let made = self
            .store_token("expired", TokenScope::Admin, None, Some(before))
            .await;
        made.expect("nothing is wrong with the store").1
    }

    pub(crate) async fn tokens(&self) -> Result<Vec<TokenRow>, Refusal> {
        Ok(self.platform.store.tokens().await?)
    }

    pub(crate) async fn revoke_token(&self, id: &str) -> Result<(), Refusal> {
        let revoked = self.platform.store.revoke_token(id, Timestamp::now()).await?;
        if revoked { Ok(()) } else { Err(Refusal::NotFound) }
    }

    /// What a token may do; `None` when it is unknown, expired or revoked.
    pub(crate) async fn authenticate(&self, secret: &str) -> Result<Option<Access>, Refusal> {
        let store = &self.platform.store;
        let Some(row) = store.token_by_hash(&hash(secret)).await? else {
            return Ok(None);
        };
        let now = Timestamp::now();
        if row.revoked_at.is_some() || row.expires_at.is_some_and(|at| at <= now) {
            return Ok(None);
        }
        let noted = row
            .last_used_at
            .is_some_and(|at| now.duration_since(at) < USE_NOTED_EVERY);
        if !noted {
            // A store that cannot be written to may still be read.
            if let Err(error) = store.note_token_use(&row.id, now).await {
                tracing::warn!(
                    token = row.id,
                    error = &error as &dyn std::error::Error,
                    "could not note the use of a token"
                );
            }
        }
        Ok(Some(Access {
            scope: row.scope.parse().unwrap_or_default(),
            token: row.id,
            name: row.name,
            app: row.app,
        }))
    }

    pub(crate) async fn note_change(&self, entry: &NewAuditEntry) -> Result<(), Refusal> {
        Ok(self.platform.store.add_audit(entry).await?)
    }

    pub(crate) async fn changes_noted(&self, page: Page) -> Result<(Vec<AuditRow>, u64), Refusal> {
        Ok(self.platform.store.audit(page.offset(), page.size).await?)
    }
}

/// The token has 256 random bits: a plain hash is as good as a slow one.
fn hash(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
}
