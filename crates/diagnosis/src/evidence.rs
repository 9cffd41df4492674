//! Evidence: typed data that proves a reason. Each piece has a label and reads as plain lines (`evidence_text.rs`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Cause,
    exit_codes::EndedBy,
    facts::{
        BuildFault, BuilderChoice, Changes, CommandFacts, DatabaseFacts, DetectionVerdict, ExecFault,
        ListeningSocket, MemoryKill, OutboundFailure, ProbeFacts, QueuePosition, QuotaFacts, ReusedBuild,
        SourceFacts, StepFacts, ToolFinding, UnknownName,
    },
};

/// One piece of evidence. Decisive pieces stand first in a reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Evidence {
    /// How the process ended, from the raw wait status.
    Exit(ExitEvidence),
    Memory(MemoryEvidence),
    /// What listens inside the instance, against what the probe asks.
    Sockets(SocketEvidence),
    /// The probe's definition and what came of each attempt.
    Probe(ProbeFacts),
    Cpu(CpuEvidence),
    /// What was executed.
    Command(CommandFacts),
    /// Why it could not be executed.
    ExecFault(ExecFault),
    /// The step of the build that failed or was running.
    Step(StepFacts),
    /// All steps, with their times.
    StepTimes {
        steps: Vec<StepTime>,
    },
    TimeLimit(TimeLimitEvidence),
    /// What could not be done.
    BuildFault(BuildFault),
    Source(SourceFacts),
    Builder(BuilderChoice),
    /// What each detector looked at and why it said no.
    Detection {
        verdicts: Vec<DetectionVerdict>,
    },
    ToolVersions {
        tools: Vec<(String, String)>,
        /// Why a version is in use, by the tool's name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reasons: Vec<(String, String)>,
    },
    /// What the tools themselves reported.
    ToolFindings {
        findings: Vec<ToolFinding>,
    },
    ReusedBuild(ReusedBuild),
    Queue(QueuePosition),
    /// Connects of the app that failed or hang.
    OutboundFailures {
        failures: Vec<OutboundFailure>,
    },
    /// Names that the app looked up and that do not exist.
    UnknownNames {
        names: Vec<UnknownName>,
    },
    /// The line of the log that made the cause finer than the facts alone.
    LogHint(LogHint),
    /// Names, never values.
    Variables {
        names: Vec<String>,
    },
    /// What differs from the last good deployment.
    Changes(Changes),
    /// A database as the platform's own probe saw it.
    Database(DatabaseFacts),
    Quota(QuotaFacts),
    /// The platform's own incident.
    Incident(IncidentEvidence),
    /// The end of the component's log.
    LogTail {
        lines: Vec<String>,
    },
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitEvidence {
    /// The number as it is shown to users: 137 for a SIGKILL, 145 for a kill after the grace period.
    pub shown_code: i32,
    /// "exited with code 3", "was killed by signal 9 (SIGKILL)".
    pub story: String,
    pub ended_by: EndedBy,
    /// The signal's name, where a signal ended it.
    pub signal: Option<String>,
    pub core_dumped: bool,
    pub uptime_ms: Option<u64>,
    pub ended_at: Timestamp,
    pub restarts: u32,
    /// How many ends in a row were the same.
    pub same_ends: u32,
}

/// Memory against its limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEvidence {
    pub limit_bytes: Option<u64>,
    pub peak_bytes: Option<u64>,
    /// The instance size in force; empty for builds.
    pub size_slug: String,
    pub kills: Vec<MemoryKill>,
    /// True when the step's shell went on after the kill and ended with another status.
    pub hidden_by_shell: bool,
    /// How it grew, oldest first; a few points of the whole life.
    #[serde(default)]
    pub growth: Vec<MemoryPoint>,
    /// The smallest size that would have held the peak.
    #[serde(default)]
    pub fitting_size: Option<String>,
}

/// Memory in use at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPoint {
    /// Since the start.
    pub after_ms: u64,
    pub bytes: u64,
}

/// Listening sockets against the probed port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketEvidence {
    pub probed_port: Option<u16>,
    pub sockets: Vec<ListeningSocket>,
    /// From start to the first listening socket.
    pub first_listen_after_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CpuEvidence {
    /// Share of the limit, 0.0 to 1.0.
    pub share: f64,
    pub limit_millis: u32,
    /// Share of the time in which the limit held it back, 0.0 to 1.0.
    #[serde(default)]
    pub throttled_share: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTime {
    pub text: String,
    pub elapsed_ms: u64,
}

/// A limit of ours that fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeLimitEvidence {
    pub limit_seconds: u64,
    pub elapsed_ms: Option<u64>,
    /// How long it had been silent.
    pub last_output_age_ms: Option<u64>,
}

/// A line of the log, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHint {
    pub cause: Cause,
    pub line: String,
    /// What it names: a variable, a module, a file, a host.
    pub subject: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentEvidence {
    /// `None` where the fault was noted without one.
    pub incident_id: Option<String>,
    pub operation: String,
    pub attempts: u32,
}
