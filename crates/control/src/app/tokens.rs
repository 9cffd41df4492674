//! API tokens: shown once, kept as a hash.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use mainstay_api::{CreateTokenRequest, TokenScope, UserRole};
use mainstay_spec::ids::{AccountId, AppId, UserId};
use mainstay_store::{AuditRow, NewAuditEntry, TokenRow, UserRow};
use sha2::{Digest, Sha256};

use super::{Application, Refusal, apps::Page};

const TOKEN_BYTES: usize = 32;
/// The last use of a token is noted this often at most.
const USE_NOTED_EVERY: SignedDuration = SignedDuration::from_mins(1);
/// Of an account that are good at the same time.
const TOKENS_MAX: u64 = 1000;
const NAME_CHARS_MAX: usize = 100;
/// Ten years; whoever wants more wants no end.
const SECONDS_MAX: u64 = 10 * 366 * 24 * 3600;

/// Who asks, and what that token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    pub account: AccountId,
    pub user: UserId,
    /// The user's.
    pub email: String,
    pub token: String,
    pub name: String,
    /// What the token may do, as far as its user may.
    pub scope: TokenScope,
    /// The only app that it is for.
    pub app: Option<AppId>,
}

impl Access {
    /// Whether everything on the machine is its business: accounts, limits, and what is of no account.
    pub(crate) fn is_operator(&self) -> bool {
        self.account == AccountId::FIRST && self.scope == TokenScope::Admin && self.app.is_none()
    }
}

impl Application {
    /// Makes the first token; `None` when there is one already.
    pub(crate) async fn first_token(&self) -> Result<Option<String>, Refusal> {
        if self.platform.store.count_tokens().await? > 0 {
            return Ok(None);
        }
        let (_, secret) = self
            .store_token(UserId::FIRST, "first start", TokenScope::Admin, None, None)
            .await?;
        Ok(Some(secret))
    }

    /// A new token of a user of the account, and its secret.
    pub(crate) async fn create_token(
        &self,
        account: AccountId,
        user: &UserRow,
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
                Some(self.app_of(account, id).await?.app.id)
            }
        };
        let role: UserRole = user.role.parse().unwrap_or_default();
        if at_most(request.scope, role) != request.scope {
            return Err(Refusal::BadRequest(format!(
                "scope is {}; {} is a {role} of the account, whose tokens may write at most",
                request.scope, user.email
            )));
        }
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
        self.store_token(user.id, name, request.scope, app, expires_at)
            .await
    }

    pub(super) async fn store_token(
        &self,
        user: UserId,
        name: &str,
        scope: TokenScope,
        app: Option<AppId>,
        expires_at: Option<Timestamp>,
    ) -> Result<(TokenRow, String), Refusal> {
        let secret = format!("mst_{}", HEXLOWER.encode(&rand::random::<[u8; TOKEN_BYTES]>()));
        let row = TokenRow {
            id: uuid::Uuid::new_v4().to_string(),
            user,
            name: name.to_owned(),
            scope: scope.as_str().to_owned(),
            app,
            created_at: Timestamp::now(),
            expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        let store = &self.platform.store;
        if !store.insert_token(&row, &hash(&secret), TOKENS_MAX).await? {
            return Err(Refusal::Conflict(format!(
                "the account has {TOKENS_MAX} tokens that are good, which is the most: revoke some first"
            )));
        }
        Ok((row, secret))
    }

    #[cfg(test)]
    pub(crate) async fn expired_token(&self) -> String {
        let before = Timestamp::now() - SignedDuration::from_secs(1);
        let made = self
            .store_token(UserId::FIRST, "expired", TokenScope::Admin, None, Some(before))
            .await;
        made.expect("nothing is wrong with the store").1
    }

    /// With the addresses of their users.
    pub(crate) async fn tokens(&self, account: AccountId) -> Result<Vec<(TokenRow, String)>, Refusal> {
        let users: HashMap<UserId, String> = self
            .users(account)
            .await?
            .into_iter()
            .map(|user| (user.id, user.email))
            .collect();
        let tokens = self.platform.store.tokens(account).await?.into_iter();
        let with_user = |token: TokenRow| {
            let email = users.get(&token.user).cloned().unwrap_or_default();
            (token, email)
        };
        Ok(tokens.map(with_user).collect())
    }

    pub(crate) async fn revoke_token(&self, account: AccountId, id: &str) -> Result<(), Refusal> {
        let store = &self.platform.store;
        let revoked = store.revoke_token(account, id, Timestamp::now()).await?;
        if revoked { Ok(()) } else { Err(Refusal::NotFound) }
    }

    /// What a token may do; `None` when it is unknown, expired or revoked, or its user is disabled.
    pub(crate) async fn authenticate(&self, secret: &str) -> Result<Option<Access>, Refusal> {
        let store = &self.platform.store;
        let Some((row, user)) = store.token_by_hash(&hash(secret)).await? else {
            return Ok(None);
        };
        let now = Timestamp::now();
        if user.disabled_at.is_some()
            || row.revoked_at.is_some()
            || row.expires_at.is_some_and(|at| at <= now)
        {
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
            account: user.account,
            user: user.id,
            email: user.email,
            scope: at_most(
                row.scope.parse().unwrap_or_default(),
                user.role.parse().unwrap_or_default(),
            ),
            token: row.id,
            name: row.name,
            app: row.app,
        }))
    }

    pub(crate) async fn note_change(&self, entry: &NewAuditEntry) -> Result<(), Refusal> {
        Ok(self.platform.store.add_audit(entry).await?)
    }

    pub(crate) async fn changes_noted(
        &self,
        account: AccountId,
        page: Page,
    ) -> Result<(Vec<AuditRow>, u64), Refusal> {
        let store = &self.platform.store;
        Ok(store.audit(account, page.offset(), page.size).await?)
    }
}

/// A token may do no more than its user, whatever its scope was when it was made.
fn at_most(scope: TokenScope, role: UserRole) -> TokenScope {
    match (role, scope) {
        (UserRole::Member, TokenScope::Admin) => TokenScope::Write,
        (UserRole::Owner | UserRole::Member, scope) => scope,
        (UserRole::Unknown, _) => TokenScope::Unknown,
    }
}

/// The token has 256 random bits: a plain hash is as good as a slow one.
fn hash(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
}
