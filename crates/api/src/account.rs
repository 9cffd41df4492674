//! The account and its uploads, as far as clients ask for them.

use crate::wire::wire_object;

wire_object! {
    /// A user with the team, which is the account; limits that mean nothing here are zero.
    pub struct Account {
        pub uuid: String,
        pub email: String,
        pub name: String,
        pub email_verified: bool,
        /// `active`.
        pub status: String,
        pub team: Option<Team>,
    }
}

wire_object! {
    pub struct Team {
        pub uuid: String,
        pub name: String,
    }
}

/// With the limits, zero as they are: clients read them whatever they hold.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct AccountLimits {
    #[serde(flatten)]
    pub account: Account,
    pub status_message: String,
    pub droplet_limit: u64,
    pub floating_ip_limit: u64,
    pub reserved_ip_limit: u64,
    pub volume_limit: u64,
}

wire_object! {
    pub struct AccountResponse {
        pub account: AccountLimits,
    }
}

wire_object! {
    /// Addition: a folder that was sent.
    pub struct Upload {
        /// The digest of its content.
        pub id: String,
        /// What a spec calls it, as `git.repo_clone_url`.
        pub source: String,
    }
}

wire_object! {
    pub struct UploadResponse {
        pub upload: Upload,
    }
}

wire_object! {
    /// Of what was deleted.
    pub struct IdResponse {
        pub id: String,
    }
}

wire_object! {
    /// Nothing to tell.
    pub struct EmptyResponse {}
}
