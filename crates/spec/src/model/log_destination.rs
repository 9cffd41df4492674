//! Where run-time logs are forwarded to.

use super::Sensitive;
use crate::decode::object;

object! {
    /// Exactly one kind of destination.
    "a log destination": pub struct LogDestination {
        pub name: String,
        pub papertrail: Option<Papertrail>,
        pub datadog: Option<Datadog>,
        pub logtail: Option<Logtail>,
        pub open_search: Option<OpenSearch>,
        pub endpoint: Option<String>,
        pub tls_insecure: bool,
        pub headers: Vec<LogHeader>,
    }
}

object! {
    "a papertrail destination": pub struct Papertrail {
        pub endpoint: String,
    }
}

object! {
    "a datadog destination": pub struct Datadog {
        pub endpoint: Option<String>,
        pub api_key: Sensitive,
    }
}

object! {
    "a logtail destination": pub struct Logtail {
        pub token: Sensitive,
    }
}

object! {
    "an open_search destination": pub struct OpenSearch {
        pub endpoint: Option<String>,
        pub cluster_name: Option<String>,
        pub basic_auth: Option<BasicAuth>,
        pub index_name: Option<String>,
    }
}

object! {
    "a basic_auth": pub struct BasicAuth {
        pub user: String,
        pub password: Sensitive,
    }
}

object! {
    "a header": pub struct LogHeader {
        pub key: String,
        pub value: Sensitive,
    }
}
