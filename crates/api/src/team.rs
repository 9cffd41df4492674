//! Addition: accounts and their users.

use jiff::Timestamp;

use crate::wire::{wire_object, wire_words};

wire_words! {
    /// What somebody may be in an account. A word that is not known allows nothing.
    pub enum UserRole {
        Unknown = "unknown",
        /// May do everything within the account: tokens of any scope.
        Owner = "owner",
        /// May not administer: tokens of scope `read` and `write`.
        Member = "member",
    }
}

wire_object! {
    /// Those who see the same apps.
    pub struct AccountSummary {
        pub id: String,
        /// No two have the same.
        pub name: String,
        pub created_at: Option<Timestamp>,
        /// How many it has.
        pub apps: u64,
    }
}

wire_object! {
    pub struct AccountRequest {
        /// 1 to 63 lower-case letters, digits and `-`, the first a letter.
        pub name: String,
    }
}

wire_object! {
    pub struct AccountSummaryResponse {
        pub account: AccountSummary,
    }
}

wire_object! {
    /// The oldest first.
    pub struct AccountsResponse {
        pub accounts: Vec<AccountSummary>,
    }
}

wire_object! {
    pub struct AccountLimitRequest {
        /// As the list of limits calls it: `apps`, `memory`, `static sites`.
        pub resource: String,
        /// In the unit of the list of limits. Left out: what everybody may take.
        pub limit: Option<u64>,
    }
}

wire_object! {
    /// Limits that are not named stay as they are.
    pub struct AccountLimitsRequest {
        pub limits: Vec<AccountLimitRequest>,
    }
}

wire_object! {
    /// Somebody of an account: a person, or a program that stands for one.
    pub struct AccountUser {
        pub id: String,
        pub account_id: String,
        /// No two of an account have the same.
        pub email: String,
        pub name: String,
        pub role: UserRole,
        pub created_at: Option<Timestamp>,
        /// Since then no token of this user is good for anything.
        pub disabled_at: Option<Timestamp>,
    }
}

wire_object! {
    pub struct CreateUserRequest {
        pub email: String,
        /// The address, if not given.
        pub name: String,
        /// `member`, if not given.
        pub role: Option<UserRole>,
    }
}

wire_object! {
    /// What is left out stays as it is.
    pub struct UpdateUserRequest {
        pub name: Option<String>,
        pub role: Option<UserRole>,
        /// `true`: no token of the user is good for anything, until `false` is set.
        pub disabled: Option<bool>,
    }
}

wire_object! {
    pub struct UserResponse {
        pub user: AccountUser,
    }
}

wire_object! {
    /// The oldest first.
    pub struct UsersResponse {
        pub users: Vec<AccountUser>,
    }
}
