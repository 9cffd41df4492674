//! The users of an account.

use jiff::Timestamp;
use mainstay_api::{CreateUserRequest, UpdateUserRequest, UserRole};
use mainstay_spec::ids::{AccountId, UserId};
use mainstay_store::{Removal, UserRow};

use super::{Application, Refusal};

const TEXT_CHARS_MAX: usize = 200;

impl Application {
    pub(crate) async fn users(&self, account: AccountId) -> Result<Vec<UserRow>, Refusal> {
        Ok(self.platform.store.users(account).await?)
    }

    /// By id or address.
    pub(crate) async fn user(&self, account: AccountId, wanted: &str) -> Result<UserRow, Refusal> {
        let found = self.platform.store.user(account, wanted).await?;
        found.ok_or(Refusal::NotFound)
    }

    /// Has no token yet.
    pub(crate) async fn create_user(
        &self,
        account: AccountId,
        request: &CreateUserRequest,
    ) -> Result<UserRow, Refusal> {
        let email = checked_email(&request.email)?;
        let name = match request.name.trim() {
            "" => email,
            name => checked_name(name)?,
        };
        let row = UserRow {
            id: UserId::from_uuid(uuid::Uuid::new_v4()),
            account,
            email: email.to_owned(),
            name: name.to_owned(),
            role: checked_role(request.role.unwrap_or(UserRole::Member))?,
            created_at: Timestamp::now(),
            disabled_at: None,
        };
        if !self.platform.store.insert_user(&row).await? {
            return Err(Refusal::Conflict(format!(
                "the account has a user {email} already"
            )));
        }
        Ok(row)
    }

    pub(crate) async fn update_user(
        &self,
        account: AccountId,
        wanted: &str,
        request: &UpdateUserRequest,
    ) -> Result<UserRow, Refusal> {
        let mut row = self.user(account, wanted).await?;
        if let Some(name) = &request.name {
            checked_name(name.trim())?.clone_into(&mut row.name);
        }
        if let Some(role) = request.role {
            row.role = checked_role(role)?;
        }
        row.disabled_at = match request.disabled {
            Some(true) => row.disabled_at.or_else(|| Some(Timestamp::now())),
            Some(false) => None,
            None => row.disabled_at,
        };
        match self.platform.store.update_user(&row).await? {
            Removal::Done => Ok(row),
            Removal::Unknown => Err(Refusal::NotFound),
            Removal::InUse => Err(last_owner()),
        }
    }

    /// With all tokens, of which none may be good any more.
    pub(crate) async fn remove_user(&self, account: AccountId, wanted: &str) -> Result<UserId, Refusal> {
        let row = self.user(account, wanted).await?;
        let now = Timestamp::now();
        match self.platform.store.delete_user(account, row.id, now).await? {
            Removal::Done => Ok(row.id),
            Removal::Unknown => Err(Refusal::NotFound),
            Removal::InUse if self.has_good_token(&row, now).await? => Err(Refusal::Conflict(format!(
                "user {} has tokens that are good: revoke them first, or disable the user",
                row.email
            ))),
            Removal::InUse => Err(last_owner()),
        }
    }

    async fn has_good_token(&self, user: &UserRow, now: Timestamp) -> Result<bool, Refusal> {
        let tokens = self.platform.store.tokens(user.account).await?;
        let mut of_user = tokens.iter().filter(|token| token.user == user.id);
        Ok(of_user.any(|token| token.revoked_at.is_none() && token.expires_at.is_none_or(|at| at > now)))
    }
}

fn last_owner() -> Refusal {
    Refusal::Conflict("the operator's account needs an owner who is not disabled".into())
}

fn checked_email(text: &str) -> Result<&str, Refusal> {
    let email = text.trim();
    let is_address = email
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    let is_plain = |c: char| c.is_ascii_graphic() && c != '/' && c != '?';
    if is_address && email.len() <= TEXT_CHARS_MAX && email.chars().all(is_plain) {
        Ok(email)
    } else {
        Err(Refusal::BadRequest(format!(
            "email is {text:?}, which is no address"
        )))
    }
}

fn checked_name(name: &str) -> Result<&str, Refusal> {
    if name.is_empty() || name.chars().count() > TEXT_CHARS_MAX || name.contains(char::is_control) {
        return Err(Refusal::BadRequest(format!(
            "name must be 1 to {TEXT_CHARS_MAX} characters, none of them a control character"
        )));
    }
    Ok(name)
}

fn checked_role(role: UserRole) -> Result<String, Refusal> {
    if role == UserRole::Unknown {
        return Err(Refusal::BadRequest("role must be one of owner, member".into()));
    }
    Ok(role.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_looked_at() {
        assert_eq!(checked_email(" a@b ").unwrap(), "a@b");
        for wrong in ["", "a", "@b", "a@", "a b@c", "a/b@c", "a@\u{7}"] {
            assert!(checked_email(wrong).is_err(), "{wrong:?}");
        }
    }
}
