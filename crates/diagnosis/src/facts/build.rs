//! Facts about one component's build.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    left_out::LeftOut,
    process::{MemoryRecord, Termination},
};
use crate::{Cause, Evidence};

/// Everything observed about one build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildFacts {
    pub source: Option<SourceFacts>,
    pub builder: Option<BuilderChoice>,
    /// What each detector looked at and why it said no; in the order in which they were asked.
    pub detection: Vec<DetectionVerdict>,
    /// Tool versions in use: ("node", "20.11.1").
    pub tools: Vec<(String, String)>,
    /// Why a version is in use: ("node", "engines.node in package.json asks for 18.x"), ("base image", "node:16, Dockerfile line 1").
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub version_reasons: Vec<(String, String)>,
    pub steps: Vec<StepFacts>,
    pub memory: MemoryRecord,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub time_limit_seconds: u64,
    /// Findings from a tool's own error identifiers; they refine the cause, never the code.
    pub findings: Vec<ToolFinding>,
    /// Names of the variables present in the build.
    pub variables: Vec<String>,
    /// Variables that the spec sets for the run alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run_time_variables: Vec<RunTimeVariable>,
    pub outcome: BuildOutcome,
}

/// A variable of the spec that a build does not see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTimeVariable {
    pub name: String,
    /// As the spec says it: "RUN_TIME".
    pub scope: String,
    /// The database that its value comes from. There is none during a build, whatever the scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

/// Where the source came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// Clone URL without credentials, "upload", or an image reference.
    pub origin: String,
    pub branch: Option<String>,
    pub commit: Option<String>,
    pub source_dir: String,
}

/// Which builder was chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuilderChoice {
    /// "dockerfile", "node-js", "python", "go", "html", "procfile", "image".
    pub builder: String,
    /// "package.json was found in /", "dockerfile_path is set".
    pub reason: String,
    /// What speaks for another one, one sentence each: a spec file in the source that says otherwise than the spec in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// Where it looked for a command that starts the app, when it found none: "server.js".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub start_looked_for: Vec<String>,
    /// Programs that it made, when none of them is the one to start, and the directories of their sources: ("bin/api", "cmd/api").
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<(String, String)>,
    /// Development dependencies that are not in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
}

impl BuilderChoice {
    /// A choice of which no more is known yet.
    pub fn new(builder: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            builder: builder.into(),
            reason: reason.into(),
            doubts: Vec::new(),
            start_looked_for: Vec::new(),
            programs: Vec::new(),
            left_out: None,
        }
    }

    pub(crate) fn into_evidence(self) -> Evidence {
        Evidence::Builder(Self {
            left_out: self.left_out.map(LeftOut::without_packages),
            ..self
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectionVerdict {
    pub builder: String,
    pub accepted: bool,
    /// "no package.json in api/".
    pub reason: String,
}

/// One step of a build, a user's process or ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepFacts {
    /// The text as the user wrote it, or the command as run: "npm ci", "RUN make".
    pub text: String,
    pub origin: StepOrigin,
    /// Line of the Dockerfile, from 1.
    pub line: Option<u32>,
    pub started_at: Timestamp,
    pub elapsed_ms: u64,
    /// `None` while running, or when a limit of ours ended it.
    pub termination: Option<Termination>,
    pub memory: MemoryRecord,
    /// When the step last printed something.
    pub last_output_at: Option<Timestamp>,
    /// Inodes or bytes ran out under it: the step saw "no space left on device".
    pub disk_full: bool,
    /// How often the limit of processes refused another one.
    #[serde(default)]
    pub pids_limit_hits: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOrigin {
    Buildpack,
    BuildCommand,
    DockerfileRun,
    Platform,
}

/// A fact from a tool's own structured output: npm's `EUSAGE`, tsc's `TS2307`, pip's resolution error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolFinding {
    pub tool: String,
    /// The tool's identifier: "ERESOLVE", "TS2307".
    pub identifier: String,
    /// The cause it stands for; `None`: worth showing, but it decides nothing.
    pub cause: Option<Cause>,
    /// The line that carried it.
    pub line: String,
    /// File, package or variable it names.
    pub subject: Option<String>,
    /// What the source says about the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clue: Option<Clue>,
}

/// What the source or the steps before say about something that a step did not find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "clue", rename_all = "snake_case")]
pub enum Clue {
    /// A rule of an ignore file keeps it out: ".gitignore line 3: *.lock".
    IgnoredBy { path: String, rule: String },
    /// The source has a file that differs in letter case alone.
    SpeltAs { actual: String },
    /// A file of this name is in another place of the build's source.
    LiesAt { path: String },
    /// It is in the repository, but not below source_dir, the root of the build's source.
    OutsideOfSource { path: String, source_dir: String },
    /// It is in the source, and no instruction brought it to where the step looked.
    NotCopied { path: String },
    /// The source has the lock files of other tools.
    OtherLockFiles { files: Vec<String> },
    /// `manifest` declares it for development, and such dependencies are left out.
    LeftOut { manifest: String, reason: String },
    /// A program or header that compiling it needs.
    Needs { what: String },
    /// A file of the source reads it.
    ReadBy { file: String, line: usize },
}

/// How the build ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum BuildOutcome {
    Succeeded,
    Reused(ReusedBuild),
    /// The last of `steps` ended non-zero.
    StepFailed,
    /// Our timer fired; the last of `steps` was running.
    TimedOut,
    /// Could not be carried out for another reason than a user's command.
    Failed(BuildFault),
    Canceled,
    Waiting(QueuePosition),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReusedBuild {
    pub commit: Option<String>,
    pub deployment_id: String,
    pub built_at: Timestamp,
    /// What the key is made of: ("source", "tree 3f2a…"), ("stack", "debian-12 2026-11-22").
    pub key_parts: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePosition {
    /// Whose limit it waits for.
    #[serde(default)]
    pub scope: QueueScope,
    /// Builds at a time.
    pub limit: u32,
    /// Of the same.
    pub running: u32,
    /// From 1.
    pub position: u32,
    pub since: Timestamp,
}

impl QueuePosition {
    /// "2 of 2 builds are running".
    pub fn busy(&self) -> String {
        let Self { running, limit, .. } = self;
        let whose = match self.scope {
            QueueScope::Machine => "",
            QueueScope::Account => " of its account",
            QueueScope::App => " of its app",
        };
        let verb = if *running == 1 { "is" } else { "are" };
        format!("{running} of {limit} builds{whose} {verb} running")
    }
}

/// Whose builds are limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueScope {
    #[default]
    Machine,
    Account,
    App,
}

/// Why a build could not be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum BuildFault {
    /// Clone, fetch or upload failed. `network` decides whether it is retried.
    SourceNotFetchable {
        origin: String,
        message: String,
        network: bool,
        attempts: u32,
    },
    BranchMissing {
        origin: String,
        branch: String,
        existing: Vec<String>,
    },
    SourceDirMissing {
        source_dir: String,
        existing: Vec<String>,
    },
    SourceRefused {
        path: String,
        rule: String,
    },
    /// `url` holds no credentials; it is empty where it may be nothing but those.
    CloneUrlRefused {
        url: String,
        rule: String,
    },
    NothingDetected {
        source_dir: String,
        files: Vec<String>,
        manifests_elsewhere: Vec<String>,
    },
    DockerfileMissing {
        path: String,
        existing: Vec<String>,
    },
    DockerfileInvalid {
        path: String,
        line: Option<u32>,
        message: String,
    },
    /// An instruction that is no process: `COPY` of a missing file, unknown stage.
    DockerfileInstruction {
        path: String,
        line: Option<u32>,
        instruction: String,
        message: String,
        missing: Option<String>,
        ignored_by: Option<String>,
        /// Where the missing file is instead, or why it is not there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clue: Option<Clue>,
    },
    BaseImageNotPullable {
        reference: String,
        host: String,
        status: Option<u16>,
        message: String,
        attempts: u32,
    },
    /// The image has no manifest for this node's architecture.
    ImageArchitecture {
        reference: String,
        available: Vec<String>,
        node: String,
    },
    ToolchainUnavailable {
        tool: String,
        wanted: String,
        declared_in: Option<String>,
        available: Vec<String>,
    },
    OutputDirMissing {
        output_dir: String,
        written: Vec<(String, u64)>,
    },
    DiskBudget {
        limit_bytes: u64,
        used_bytes: u64,
    },
    ExportFailed {
        message: String,
    },
    /// Something this version cannot build, by name.
    Unsupported {
        what: String,
        reason: String,
    },
    /// A fault of the platform itself while building; becomes `InternalError`, never `BuildJobFailed`.
    Platform {
        /// What was being done, in words a user understands: "preparing the workspace".
        operation: String,
        /// For the platform's log, never shown to a user.
        error_chain: Vec<String>,
    },
}
