//! Facts about a database that the platform knows: what its own probe with the component's credentials met.

use serde::{Deserialize, Serialize};

/// One database as seen for one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// The database component's name in the spec.
    pub name: String,
    /// "PostgreSQL", "MySQL", "Valkey".
    pub engine: String,
    /// Host and port without credentials: "db.internal:5432".
    pub address: String,
    pub attempts: u32,
    /// True once the deployment's deadline passed; until then the platform goes on trying.
    pub deadline_passed: bool,
    pub outcome: DatabaseOutcome,
}

/// A database that an instance was told to use, probed with the instance's own credentials after it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedDatabase {
    /// The platform runs it, or it was registered; else it is no more than an address in a variable.
    pub is_known: bool,
    pub facts: DatabaseFacts,
    /// Where a session could be had, and the server said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_right: Option<SchemaRight>,
}

/// What a role may do in the schema that its statements mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaRight {
    pub schema: String,
    pub role: String,
    pub may_create: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum DatabaseOutcome {
    /// A session could be had.
    Available,
    NotAvailable {
        problem: DatabaseProblem,
        /// The server's own code: "28P01", "1045".
        server_code: Option<String>,
        /// The server's or the system's words; secrets masked.
        message: String,
    },
    NotFound {
        /// What was asked for: "${db.DATABASE_URL}", "cluster_name: main".
        reference: String,
        /// Where it stands in the spec: `services[web].envs[DATABASE_URL]`.
        place: String,
        existing: Vec<String>,
    },
    LimitExceeded {
        limit: DatabaseLimit,
        /// 0 where the server did not say.
        maximum: u64,
        used: u64,
        asked: Option<u64>,
        /// Who uses it: ("web", 40).
        users: Vec<(String, u64)>,
    },
}

/// Why no session could be had; each is met in one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseProblem {
    HostNotFound,
    Refused,
    TimedOut,
    Unreachable,
    CertificateUntrusted,
    /// The server takes no connection without TLS, and none was asked for.
    TlsRequired,
    LoginRefused,
    /// Who logs in is accepted, and may not use this database.
    NotPermitted,
    Starting,
    ReadOnly,
    /// The server takes writes, but not of this role, which is set up so.
    ReadOnlyRole,
    StorageFull,
    /// The server that the platform runs ended, or could not be started.
    Ended,
    /// The volume of a server that the platform runs is not the one that holds its data.
    VolumeLost,
    Other,
}

impl DatabaseProblem {
    /// The layer that failed: "name lookup", "TCP", "TLS", "login", "query"; of a server of the platform's also "process" and "volume".
    pub fn layer(self) -> &'static str {
        match self {
            Self::HostNotFound => "name lookup",
            Self::Refused | Self::TimedOut | Self::Unreachable => "TCP",
            Self::CertificateUntrusted | Self::TlsRequired => "TLS",
            Self::LoginRefused | Self::NotPermitted | Self::Starting => "login",
            Self::ReadOnly | Self::ReadOnlyRole | Self::StorageFull | Self::Other => "query",
            Self::Ended => "process",
            Self::VolumeLost => "volume",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseLimit {
    /// How many databases the account may have.
    Databases,
    Connections,
    StorageBytes,
    Users,
}
