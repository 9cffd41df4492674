//! Addition: API tokens, and the log of changes.

use jiff::Timestamp;

use crate::wire::{wire_list, wire_object, wire_words};

wire_words! {
    /// What a token may do. A word that is not known allows nothing.
    pub enum TokenScope {
        Unknown = "unknown",
        /// May ask.
        Read = "read",
        /// May change apps.
        Write = "write",
        /// May also make and revoke tokens and users of the account.
        Admin = "admin",
    }
}

wire_object! {
    pub struct Token {
        pub id: String,
        pub name: String,
        pub scope: TokenScope,
        /// Whose it is.
        pub user_id: String,
        pub user_email: String,
        /// The only app that it is for; empty: all.
        pub app_id: String,
        pub created_at: Option<Timestamp>,
        pub expires_at: Option<Timestamp>,
        /// To the minute.
        pub last_used_at: Option<Timestamp>,
        pub revoked_at: Option<Timestamp>,
        /// The secret; in the answer that made it, and never again.
        pub token: String,
    }
}

wire_object! {
    pub struct CreateTokenRequest {
        pub name: String,
        /// Whose it is to be, by id or address; empty: that of the token that asks.
        pub user: String,
        pub scope: TokenScope,
        /// Only for this app.
        pub app_id: String,
        /// 0: it does not expire.
        pub expires_in_seconds: u64,
    }
}

wire_object! {
    pub struct TokenResponse {
        pub token: Token,
    }
}

wire_object! {
    pub struct TokensResponse {
        pub tokens: Vec<Token>,
    }
}

wire_object! {
    /// One call that could have changed something.
    pub struct AuditEntry {
        pub id: u64,
        pub at: Option<Timestamp>,
        /// Whose token it was.
        pub account_id: String,
        pub user_id: String,
        pub user_email: String,
        pub token_id: String,
        pub token_name: String,
        /// Method and path.
        pub action: String,
        pub app_id: String,
        /// Of the answer.
        pub status: u16,
        /// The address that asked.
        pub origin: String,
    }
}

wire_list! {
    /// Newest first.
    pub struct AuditResponse {
        pub audit: Vec<AuditEntry>,
    }
}
