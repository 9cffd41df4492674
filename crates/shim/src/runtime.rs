//! The OCI runtime as a child process: its command lines, and its error messages.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use mainstay_shim::spec::ShimSpec;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde::Deserialize;

use crate::{gate, system};

/// Where runc's first process waits to be started, in the directory of the container's state.
const GATE: &str = "exec.fifo";

/// No call of the runtime that the shim waits for may take longer.
const DEADLINE: Duration = Duration::from_mins(1);

/// A runtime, and where it keeps what it knows about this instance.
#[derive(Debug, Clone)]
pub(crate) struct Runtime {
    program: PathBuf,
    state_dir: PathBuf,
    log: PathBuf,
    container_id: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RuntimeError {
    #[error("cannot run {}", program.display())]
    Spawn {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{operation} ended with {status}: {message}")]
    Failed {
        operation: &'static str,
        status: ExitStatus,
        message: String,
    },
    #[error("{operation} took longer than {DEADLINE:?} and was killed")]
    TimedOut { operation: &'static str },
    #[error("{operation} left no process id in {}", file.display())]
    NoPid { operation: &'static str, file: PathBuf },
}

/// The three ends that a new main or exec process gets.
pub(crate) struct ChildStreams {
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
    pub(crate) report: OwnedFd,
}

impl Runtime {
    pub(crate) fn new(spec: &ShimSpec, run_dir: &Path) -> Self {
        Self {
            program: spec.runtime.clone(),
            state_dir: run_dir.join("runtime"),
            log: run_dir.join("runtime.log"),
            container_id: spec.container_id.clone(),
        }
    }

    /// One that is never asked for anything.
    #[cfg(test)]
    pub(crate) fn of_nothing() -> Self {
        Self {
            program: PathBuf::new(),
            state_dir: PathBuf::new(),
            log: PathBuf::new(),
            container_id: String::new(),
        }
    }

    /// Creates the container up to, but without, executing its process; the process id of its PID 1.
    pub(crate) fn create(&self, bundle: &Path, streams: ChildStreams) -> Result<i32, RuntimeError> {
        let pid_file = bundle.join("pid");
        let mut command = self.command();
        command
            .args(["create", "--preserve-fds", "1", "--bundle"])
            .arg(bundle)
            .arg("--pid-file")
            .arg(&pid_file)
            .arg(&self.container_id)
            .stdin(streams.stdin)
            .stdout(streams.stdout)
            .stderr(streams.stderr);
        system::pass_as_report_pipe(&mut command, streams.report);
        self.run("create", command)?;
        read_pid(&pid_file).ok_or(RuntimeError::NoPid {
            operation: "create",
            file: pid_file,
        })
    }

    /// Lets the created container execute its process.
    ///
    /// runc's own `start` does no more than to read a byte from the fifo at which the container's first process waits, and to remove it; a
    /// process of its own for that costs a fifth of a start. A runtime that does not wait there is asked in the usual way.
    pub(crate) fn start(&self) -> Result<(), RuntimeError> {
        if let Ok(true) = gate::open(&self.state_dir.join(&self.container_id).join(GATE)) {
            return Ok(());
        }
        let mut command = self.command();
        command.args(["start", &self.container_id]).stdin(Stdio::null());
        self.run("start", command)
    }

    /// Removes what the runtime keeps; what it does not know is removed already.
    pub(crate) fn delete(&self) -> Result<(), RuntimeError> {
        if !self.state_dir.exists() {
            return Ok(());
        }
        let mut command = self.command();
        command
            .args(["delete", "--force", &self.container_id])
            .stdin(Stdio::null());
        self.run("delete", command)
    }

    /// Begins another process in the container. The returned child ends when that process runs or could not be made.
    pub(crate) fn exec(&self, request: &ExecFiles, streams: ChildStreams) -> Result<Child, RuntimeError> {
        let mut command = self.command();
        command
            .args(["exec", "--detach", "--preserve-fds", "1", "--process"])
            .arg(&request.process)
            .arg("--pid-file")
            .arg(&request.pid)
            .stdin(streams.stdin)
            .stdout(streams.stdout)
            .stderr(streams.stderr);
        if let Some(socket) = &request.console_socket {
            command.arg("--console-socket").arg(socket);
        }
        command.arg(&self.container_id);
        system::pass_as_report_pipe(&mut command, streams.report);
        self.spawn(command)
    }

    /// What the runtime last complained about.
    pub(crate) fn last_message(&self) -> String {
        last_message(&fs::read_to_string(&self.log).unwrap_or_default())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--root")
            .arg(&self.state_dir)
            .arg("--log")
            .arg(&self.log)
            .args(["--log-format", "json"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn spawn(&self, mut command: Command) -> Result<Child, RuntimeError> {
        command.spawn().map_err(|source| RuntimeError::Spawn {
            program: self.program.clone(),
            source,
        })
    }

    fn run(&self, operation: &'static str, command: Command) -> Result<(), RuntimeError> {
        let mut child = self.spawn(command)?;
        let status = wait(&mut child, DEADLINE).ok_or(RuntimeError::TimedOut { operation })?;
        if status.success() {
            return Ok(());
        }
        Err(RuntimeError::Failed {
            operation,
            status,
            message: self.last_message(),
        })
    }
}

/// Files of one exec, in a directory of its own.
#[derive(Debug)]
pub(crate) struct ExecFiles {
    pub(crate) process: PathBuf,
    pub(crate) pid: PathBuf,
    pub(crate) console_socket: Option<PathBuf>,
}

pub(crate) fn read_pid(file: &Path) -> Option<i32> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Waits for a child; kills it when the time is up.
pub(crate) fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let began = Instant::now();
    let pid = Pid::from_child(child);
    while let Some(left) = deadline.checked_sub(began.elapsed()) {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else {
            break;
        };
        let timeout = Timespec::try_from(left).unwrap_or_default();
        // An interrupted or timed out poll leads to another look at the child.
        let _ = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&timeout));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// The runtime's log has a JSON object per line; the last error is the reason.
fn last_message(log: &str) -> String {
    #[derive(Deserialize)]
    struct Line {
        #[serde(default)]
        level: String,
        msg: String,
    }
    let lines: Vec<Line> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    lines
        .iter()
        .rev()
        .find(|line| line.level == "error" || line.level == "fatal")
        .or(lines.last())
        .map_or_else(|| "it gave no reason".to_owned(), |line| line.msg.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_the_log_is_the_message() {
        let log = concat!(
            r#"{"level":"warning","msg":"first"}"#,
            "\nno json\n",
            r#"{"level":"error","msg":"mount refused"}"#,
            "\n",
            r#"{"level":"debug","msg":"bye"}"#,
        );
        assert_eq!(last_message(log), "mount refused");
        assert_eq!(last_message(""), "it gave no reason");
    }

    #[test]
    fn a_child_that_takes_too_long_is_killed() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(wait(&mut child, Duration::from_millis(20)), None);
    }
}
