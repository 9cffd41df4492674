//! Host names of the app's own.

use crate::decode::{choice, object};

object! {
    "a domain": pub struct Domain {
        pub domain: String,
        pub r#type: Option<DomainType>,
        pub wildcard: bool,
        pub zone: Option<String>,
        pub minimum_tls_version: Option<String>,
        pub certificate: Option<String>,
    }
}

choice! {
    pub enum DomainType {
        Unspecified = "UNSPECIFIED",
        Default = "DEFAULT",
        Primary = "PRIMARY",
        Alias = "ALIAS",
    }
}

impl Domain {
    /// As requests name it: lower case, without the final dot.
    pub fn host(&self) -> String {
        self.domain.trim_end_matches('.').to_ascii_lowercase()
    }

    pub fn is_primary(&self) -> bool {
        self.r#type == Some(DomainType::Primary)
    }
}
