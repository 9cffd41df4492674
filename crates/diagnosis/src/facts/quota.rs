//! Facts about a limit of the account or the node that would be passed.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaFacts {
    /// "memory", "apps", "instances of one component".
    pub resource: String,
    pub scope: QuotaScope,
    pub unit: QuotaUnit,
    pub limit: u64,
    pub used: u64,
    pub asked: u64,
    /// The biggest users, biggest first: ("shop/web", 1073741824).
    pub biggest: Vec<(String, u64)>,
    /// True while the platform still waits for capacity.
    pub waiting: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaScope {
    Account,
    Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaUnit {
    Count,
    Bytes,
    /// 1000 is one core.
    CpuMillis,
}

impl QuotaUnit {
    /// As it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::CpuMillis => "cpu_millis",
        }
    }
}
