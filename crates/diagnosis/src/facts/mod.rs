//! What the shim, the builder, the prober and the control plane observed. Typed, immutable, never guessed:
//! a field that was not observed is `None` or empty.

mod build;
mod database;
mod instance;
mod left_out;
mod process;
mod quota;

pub use build::*;
pub use database::*;
pub use instance::*;
pub use left_out::*;
pub use process::*;
pub use quota::*;

use jiff::Timestamp;
use mainstay_spec::kind::ComponentKind;
use serde::{Deserialize, Serialize};

/// Everything known about one failed (or reused, or waiting) leaf of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    pub component: String,
    pub kind: ComponentKind,
    pub observed_at: Timestamp,
    pub subject: Subject,
    /// The last lines of the component's log, oldest first, secrets masked; at most 50.
    pub log_tail: Vec<String>,
    pub changes: Changes,
}

/// What differs from the last good deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The id of the deployment that it is compared with; `None` when there is no good one yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// One plain sentence for each difference; secrets by name only. Empty with `since`: spec, sources and tools are the same.
    pub sentences: Vec<String>,
}

/// What the facts are about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "subject", rename_all = "snake_case")]
pub enum Subject {
    Build(BuildFacts),
    /// The start of a service, worker or job was refused or failed, or a running one ended or never became healthy.
    Instance(InstanceFacts),
    /// A database that the platform knows could not be used, or does not exist.
    Database(DatabaseFacts),
    /// A limit of the account or the node would be passed.
    Quota(QuotaFacts),
    Internal(InternalFacts),
}

/// A fault of the platform itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InternalFacts {
    pub incident_id: String,
    /// What was being done, in words a user understands: "starting the instance".
    pub operation: String,
    /// The error chain; for the platform's log, never shown to a user.
    pub error_chain: Vec<String>,
    pub attempts: u32,
}
