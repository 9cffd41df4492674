//! Accounts: who may be told of which, and what the operator does with them.

use jiff::Timestamp;
use mainstay_api::AccountLimitRequest;
use mainstay_spec::{ids::AccountId, usage::Resource};
use mainstay_store::{AccountRow, Removal, UserRow};

use super::{Application, Refusal, tokens::Access};
use crate::rollout::at_once;

/// As long as a label of a host name.
const NAME_CHARS_MAX: usize = 63;

impl Application {
    /// The account that a call is about: the token's own, unless it names another one, which only the operator can. To others no other account
    /// is there.
    pub(crate) async fn account_meant(
        &self,
        access: &Access,
        named: Option<&str>,
    ) -> Result<AccountId, Refusal> {
        let Some(named) = named.filter(|named| !named.is_empty()) else {
            return Ok(access.account);
        };
        let meant = self.account(named).await?.id;
        if meant == access.account || access.is_operator() {
            Ok(meant)
        } else {
            Err(Refusal::NotFound)
        }
    }

    /// By id or name.
    pub(crate) async fn account(&self, wanted: &str) -> Result<AccountRow, Refusal> {
        let found = self.platform.store.account(wanted).await?;
        found.ok_or(Refusal::NotFound)
    }

    /// Whose token it is, and of which account.
    pub(crate) async fn who(&self, access: &Access) -> Result<(AccountRow, UserRow), Refusal> {
        let account = self.account(&access.account.to_string()).await?;
        let user = self.user(access.account, &access.user.to_string()).await?;
        Ok((account, user))
    }

    /// From now on the account's specs may name the upload.
    pub(crate) async fn note_upload(&self, account: AccountId, upload: &str) -> Result<(), Refusal> {
        let now = Timestamp::now();
        Ok(self.platform.store.note_upload(account, upload, now).await?)
    }

    /// All of them, the oldest first.
    pub(crate) async fn accounts(&self) -> Result<Vec<AccountRow>, Refusal> {
        Ok(self.platform.store.accounts().await?)
    }

    /// Nobody is in it yet.
    pub(crate) async fn create_account(&self, name: &str) -> Result<AccountRow, Refusal> {
        let name = checked(name)?;
        let id = AccountId::from_uuid(uuid::Uuid::new_v4());
        if !self
            .platform
            .store
            .insert_account(id, name, Timestamp::now())
            .await?
        {
            return Err(is_taken(name));
        }
        self.account(&id.to_string()).await
    }

    /// Its apps keep their hosts.
    pub(crate) async fn rename_account(&self, wanted: &str, name: &str) -> Result<AccountRow, Refusal> {
        let name = checked(name)?;
        let id = self.account(wanted).await?.id;
        if !self.platform.store.rename_account(id, name).await? {
            return Err(is_taken(name));
        }
        self.account(&id.to_string()).await
    }

    /// With its users and their tokens; one that has apps or registered clusters stays.
    pub(crate) async fn remove_account(&self, wanted: &str) -> Result<AccountId, Refusal> {
        let row = self.account(wanted).await?;
        if row.id == AccountId::FIRST {
            return Err(Refusal::Conflict(
                "the operator's account cannot be removed".into(),
            ));
        }
        match self.platform.store.delete_account(row.id).await? {
            Removal::Done => Ok(row.id),
            Removal::Unknown => Err(Refusal::NotFound),
            Removal::InUse => Err(Refusal::Conflict(format!(
                "account `{}` has apps, some of which may still be being deleted, or registered database clusters: they have to go first",
                row.name
            ))),
        }
    }

    /// Changes what an account may take; all of it or, where one cannot be, nothing.
    pub(crate) async fn set_account_limits(
        &self,
        wanted: &str,
        limits: &[AccountLimitRequest],
    ) -> Result<AccountId, Refusal> {
        let account = self.account(wanted).await?.id;
        let known = limits.iter().map(|limit| {
            let noun = limit.resource.replace(['_', '-'], " ");
            let resource = Resource::by_noun(&noun).ok_or_else(|| unknown(&limit.resource))?;
            Ok((resource, limit.limit))
        });
        let known = known.collect::<Result<Vec<_>, Refusal>>()?;
        let store = &self.platform.store;
        store.set_account_limits(account, &known).await?;
        // Builds that wait hear of it; logs give way with the next collection.
        let builds = store.limit_of(account, Resource::ActiveBuilds).await?;
        self.platform
            .build_queue
            .limit_account(account, builds.map(at_once));
        self.platform.nudge.nudge();
        Ok(account)
    }
}

fn checked(name: &str) -> Result<&str, Refusal> {
    let name = name.trim();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = name.len() <= NAME_CHARS_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(is_plain);
    if is_name {
        Ok(name)
    } else {
        Err(Refusal::BadRequest(format!(
            "name must be 1 to {NAME_CHARS_MAX} lower-case letters, digits and `-`, and begin with a letter"
        )))
    }
}

fn is_taken(name: &str) -> Refusal {
    Refusal::Conflict(format!("an account named `{name}` exists already"))
}

fn unknown(resource: &str) -> Refusal {
    let known = Resource::ALL.map(|resource| format!("`{}`", resource.noun()));
    Refusal::BadRequest(format!(
        "resource is {resource:?}; there are {}",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_accounts_are_plain_words() {
        for name in ["acme", "a", "team-7", &"x".repeat(63)] {
            assert_eq!(checked(name).unwrap(), name);
        }
        for name in ["", "Acme", "7up", "-a", "a b", "a.b", "ä", &"x".repeat(64)] {
            assert!(checked(name).is_err(), "{name:?}");
        }
    }
}
