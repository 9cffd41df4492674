//! Facts about one process: how it ended, what memory it used, why it could not be executed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{OutboundFailure, UnknownName};

/// How a process ended, from the raw wait status: `exit 137` and a SIGKILL stay different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Termination {
    Exited { code: i32 },
    Signaled { signal: i32, core_dumped: bool },
}

impl Termination {
    /// Decodes a status as `waitpid(2)` gives it.
    pub fn from_wait_status(status: i32) -> Self {
        let signal = status & 0x7f;
        if signal == 0 {
            Self::Exited {
                code: (status >> 8) & 0xff,
            }
        } else {
            Self::Signaled {
                signal,
                core_dumped: status & 0x80 != 0,
            }
        }
    }

    /// The number a shell would show: the exit code, or 128 + signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Exited { code } => code,
            Self::Signaled { signal, .. } => 128 + signal,
        }
    }

    pub fn is_success(self) -> bool {
        self == Self::Exited { code: 0 }
    }
}

/// Memory of one cgroup (an instance, a build step or a whole Dockerfile build), read from the kernel before its removal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryRecord {
    pub limit_bytes: Option<u64>,
    pub peak_bytes: Option<u64>,
    /// How often the kernel killed a process of this cgroup for memory.
    pub kills: Vec<MemoryKill>,
}

/// One memory kill, as counted by the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryKill {
    /// When the counter was seen to move.
    pub at: Timestamp,
    /// Whether the killed process was the main one; `None` when that could not be seen.
    pub main_process: Option<bool>,
    /// The victim's name, where it could be seen.
    pub process: Option<String>,
}

/// Who asked for a stop, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRecord {
    pub reason: StopReason,
    pub asked_at: Timestamp,
    pub grace_period_seconds: u32,
    /// Set when the grace period passed and the platform had to kill: exit code 145 of the reference.
    pub killed_at: Option<Timestamp>,
}

/// Why the platform asked an instance to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// A newer deployment replaced it.
    Replaced,
    /// Its deployment failed, was canceled or superseded.
    DeploymentEnded,
    /// Readiness or liveness probes failed to the threshold.
    ProbesFailed,
    /// A time limit of ours passed (build, job).
    TimeLimit,
    /// A user asked: restart, delete.
    Requested,
    /// The platform is shutting down.
    Shutdown,
    /// Nobody asked: the machine went down with it, and is up again. How it ended was seen by nobody.
    MachineRestarted,
}

/// What remains of an instance after its end; written by the shim, outlives everything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// `None`: the status was lost (the shim itself was killed).
    pub termination: Option<Termination>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Timestamp,
    pub stop: Option<StopRecord>,
    pub memory: MemoryRecord,
    pub cpu_usage_micros: Option<u64>,
    pub cpu_throttled_micros: Option<u64>,
    /// The most processes that existed at once, and how often the limit refused another.
    pub pids_limit_hits: Option<u64>,
    /// Set when the main process could not be executed at all; `termination` is then 126 or 127.
    pub exec_fault: Option<ExecFault>,
    #[serde(default)]
    pub course: Course,
}

/// What was seen of an instance while it lived; known after its end, too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Over its whole life, oldest first; denser at the end.
    pub memory: Vec<MemorySample>,
    /// Connects of the app that were refused or not answered, each destination once, the latest last.
    pub outbound_failures: Vec<OutboundFailure>,
    /// Names that the app looked up and that do not exist, each once, the latest last.
    #[serde(default)]
    pub unknown_names: Vec<UnknownName>,
    /// A reading of a few seconds ago: what came since is "lately".
    pub cpu_before: Option<CpuReading>,
}

/// Memory that cannot be given back, at one time: caches of files are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySample {
    pub at: Timestamp,
    pub bytes: u64,
}

/// What the kernel had counted by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuReading {
    pub at: Timestamp,
    pub usage_micros: u64,
    pub throttled_micros: u64,
}

/// Why a command cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecFault {
    /// What could not be executed; a program's name alone where a shell was to execute it.
    pub argv: Vec<String>,
    pub kind: ExecFaultKind,
    /// The path that was found, where one was.
    pub resolved_path: Option<String>,
    /// The kernel's errno, where the kernel was asked.
    pub errno: Option<i32>,
    /// The PATH that was searched.
    pub search_path: Option<String>,
    /// Similarly named executables of the image, best first; at most 5.
    pub close_matches: Vec<String>,
    /// True when this was found before anything was started.
    pub preflight: bool,
}

/// What exactly is wrong with a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum ExecFaultKind {
    /// Neither a run command, a Procfile, a buildpack's default nor an image command.
    NoRunCommand {
        looked_for: Vec<String>,
    },
    NotFound,
    NotExecutable {
        mode: Option<u32>,
    },
    IsDirectory,
    /// The `#!` line or the ELF header names a program that is not in the image.
    InterpreterMissing {
        interpreter: String,
    },
    /// The `#!` line ends in a carriage return.
    CarriageReturnInInterpreter {
        first_line: String,
    },
    WrongArchitecture {
        machine: String,
        node: String,
    },
    /// Neither a known binary format nor a script with `#!`.
    UnknownFormat {
        first_bytes: String,
    },
    WorkingDirectoryMissing {
        path: String,
    },
    UserUnknown {
        user: String,
    },
    Other {
        message: String,
    },
}
