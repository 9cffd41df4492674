//! Facts about an instance: its start, its sockets, its probes, its end.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use mainstay_spec::JobKind;
use serde::{Deserialize, Serialize};

use super::build::BuilderChoice;
use super::database::UsedDatabase;
use super::process::{ExecFault, ExitRecord, MemoryRecord, MemorySample};

/// Everything observed about one component's instances in one deployment, decisive instance first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceFacts {
    pub command: CommandFacts,
    pub size: SizeFacts,
    /// A pre-flight or start refusal; nothing ran.
    pub refused: Option<ExecFault>,
    /// Ends of the instance, oldest first; restarts of the platform included.
    pub exits: Vec<ExitRecord>,
    pub restarts: u32,
    /// Whether it was ever ready: it answered a probe, or (without a probe) its deployment became active.
    pub was_ready: bool,
    pub started_at: Option<Timestamp>,
    /// When it first had a listening socket.
    pub first_listen_at: Option<Timestamp>,
    /// `None`: not looked at, or not to be seen any more. An empty list: looked, and nothing listens.
    pub sockets: Option<Vec<ListeningSocket>>,
    pub outbound_failures: Vec<OutboundFailure>,
    /// Names that it looked up and that do not exist.
    #[serde(default)]
    pub unknown_names: Vec<UnknownName>,
    pub memory: MemoryRecord,
    /// Memory over its life, oldest first.
    #[serde(default)]
    pub memory_course: Vec<MemorySample>,
    /// Share of its CPU limit that was used lately, 0.0 to 1.0.
    pub cpu_share: Option<f64>,
    /// Share of the time in which the CPU limit held it back lately, 0.0 to 1.0.
    #[serde(default)]
    pub cpu_throttled_share: Option<f64>,
    pub probe: Option<ProbeFacts>,
    /// Names (never values) of the variables in the process.
    pub variables: Vec<String>,
    /// Set for jobs: ending is normal, ending non-zero is not.
    #[serde(default)]
    pub job: Option<JobFacts>,
    /// How its image was built, and why that way.
    #[serde(default)]
    pub builder: Option<BuilderChoice>,
    /// What became of probes of its databases.
    #[serde(default)]
    pub databases: Vec<UsedDatabase>,
}

/// What is special about a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFacts {
    pub kind: JobKind,
    pub time_limit_seconds: u64,
    /// Components that were not started because of it.
    pub blocks: Vec<String>,
}

/// What was executed, and where it came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandFacts {
    pub argv: Vec<String>,
    pub source: Option<CommandSource>,
    pub working_dir: Option<String>,
    pub user: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandSource {
    RunCommand,
    Procfile,
    Buildpack,
    Image,
}

/// The instance size in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeFacts {
    pub slug: String,
    pub memory_bytes: u64,
    pub cpu_millis: u32,
}

/// A socket in LISTEN state in the instance's network namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListeningSocket {
    pub address: IpAddr,
    pub port: u16,
    pub pid: Option<i32>,
    pub program: Option<String>,
}

impl ListeningSocket {
    /// Reachable from inside the instance only.
    pub fn is_loopback(&self) -> bool {
        match self.address {
            IpAddr::V4(v4) => v4.is_loopback(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback()),
        }
    }
}

/// An outbound connect that was refused or is still unanswered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundFailure {
    pub address: IpAddr,
    pub port: u16,
    pub result: OutboundResult,
    pub at: Timestamp,
}

/// A host name of which a name server said that it does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownName {
    pub name: String,
    pub at: Timestamp,
}

impl UnknownName {
    /// Close enough to have to do with what happened then.
    pub fn is_shortly_before(&self, moment: Timestamp) -> bool {
        explains(self.at, moment)
    }
}

/// A connect or a look-up explains an end, or a port that is not opened, when it failed at most this long before.
const FAILURE_EXPLAINS_FOR: SignedDuration = SignedDuration::from_secs(30);

/// Clocks of two readings may differ a little.
fn explains(failed_at: Timestamp, moment: Timestamp) -> bool {
    moment.duration_since(failed_at).abs() <= FAILURE_EXPLAINS_FOR
}

impl OutboundFailure {
    /// Close enough to have to do with what happened then.
    pub fn is_shortly_before(&self, moment: Timestamp) -> bool {
        explains(self.at, moment)
    }
}

/// What came of an outbound connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboundResult {
    Refused,
    /// Unanswered when it was looked at, or given up.
    TimedOut,
    Unreachable,
}

impl OutboundResult {
    /// "refused", "timed out", "unreachable".
    pub fn words(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::TimedOut => "timed out",
            Self::Unreachable => "unreachable",
        }
    }
}

/// A health check and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeFacts {
    pub definition: ProbeDefinition,
    /// The attempts, oldest first; the first 5 and the last 20 are kept.
    pub transcript: Vec<ProbeAttempt>,
    pub attempts: u32,
    /// True once `failure_threshold` was reached (the deployment ends); false while it is still waiting.
    pub threshold_reached: bool,
    /// True when the probe went through the router.
    pub through_router: bool,
    pub liveness: bool,
    /// Other paths that answered 2xx in the one-time scan after a 404.
    pub answering_paths: Vec<String>,
}

/// The probe as the spec and the defaults give it (`app-platform.md` d.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeDefinition {
    /// `None`: a plain TCP connect.
    pub http_path: Option<String>,
    pub port: u16,
    pub initial_delay_seconds: u32,
    pub period_seconds: u32,
    pub timeout_seconds: u32,
    pub success_threshold: u32,
    pub failure_threshold: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAttempt {
    pub at: Timestamp,
    pub target: String,
    pub elapsed_ms: u64,
    pub outcome: ProbeOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum ProbeOutcome {
    /// A TCP connect that was accepted.
    Connected,
    Response {
        status: u16,
        /// As they came, without values that are secrets: cookies, credentials.
        headers: Vec<(String, String)>,
        /// The first KiB of the body, lossy UTF-8.
        body_start: String,
    },
    Refused,
    TimedOut,
    Unreachable,
    /// Connected, then the answer was no HTTP or the connection closed.
    Broken {
        message: String,
    },
}

impl ProbeOutcome {
    /// 2xx and 3xx are healthy; so is a TCP connect.
    pub fn is_healthy(&self) -> bool {
        match self {
            Self::Connected => true,
            Self::Response { status, .. } => (200..400).contains(status),
            _ => false,
        }
    }
}
