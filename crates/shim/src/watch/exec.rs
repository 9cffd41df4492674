//! Another process in the instance, for one client.
//!
//! The OCI runtime makes it (same namespaces, cgroup and system call policy as the main process) and ends; the process is then a child
//! of the shim. Its last step is mainstay-init in `exec` mode, so that a command that cannot be executed has an errno here too.

mod console;

use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use mainstay_diagnosis::facts::Termination;
use mainstay_init::{RECORD_BYTES, Report};
use mainstay_shim::{
    protocol::{
        ExecCommand, ExecEnd, FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, FrameKind, StartRefusal,
        StartStage, frame, parse_frame_header,
    },
    spec::ShimSpec,
};
use rustix::{
    event::PollFlags,
    pipe::{PipeFlags, pipe_with},
};

use crate::{
    bundle::{self, BundleError},
    runtime::{self, ChildStreams, ExecFiles, Runtime, RuntimeError},
    system,
};

use self::console::Console;
use super::set_nonblocking;

/// Input that the process has not read yet; beyond it the client has to wait.
const INPUT_BYTES: usize = 64 * 1024;

/// Between the hang-up and the kill.
const HANG_UP_GRACE: Duration = Duration::from_secs(2);

/// Escaped for JSON, a letter takes six bytes at most, and a frame holds 64 KiB.
const CAUSE_LETTERS: usize = 8 * 1024;

/// What an ended process left in its pipes is delivered, but not what others write there without end.
const REST_READS_MAX: usize = 32;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    #[error("cannot {operation} for an exec")]
    Io {
        operation: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the process of an exec could not be written")]
    Bundle(#[source] BundleError),
    #[error("the OCI runtime could not be asked for an exec")]
    Runtime(#[source] RuntimeError),
}

/// Which descriptor of an exec is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExecPart {
    Stdin,
    Stdout,
    Stderr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The runtime is making the process.
    Making {
        runtime: i32,
    },
    Running {
        process: i32,
    },
    Over,
}

#[derive(Debug)]
pub(super) struct Exec {
    phase: Phase,
    files: ExecFiles,
    directory: PathBuf,
    report: OwnedFd,
    /// Both of a terminal are one descriptor; then only `stdout` is set, and input goes there.
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    console: Option<Console>,
    input: Vec<u8>,
    input_ends: bool,
    /// When the process is killed, after the client hung up.
    kill_at: Option<Instant>,
    /// Children of the shim that ended before the runtime's end was heard of. One may be the process: a runtime of several threads hands it
    /// to the shim before its own end can be waited for.
    ended_early: Vec<(i32, i32)>,
}

impl Exec {
    pub(super) fn begin(
        command: &ExecCommand,
        spec: &ShimSpec,
        runtime: &Runtime,
        directory: PathBuf,
    ) -> Result<Self, ExecError> {
        let failed = |operation| move |source| ExecError::Io { operation, source };
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .map_err(failed("make a directory"))?;
        let console = match command.terminal {
            Some(size) => Some(Console::listen(&directory, size).map_err(failed("listen for a terminal"))?),
            None => None,
        };
        let files = ExecFiles {
            process: directory.join("process.json"),
            pid: directory.join("pid"),
            console_socket: console.as_ref().map(|console| console.path().to_owned()),
        };
        bundle::write_exec_process(&files.process, spec, command).map_err(ExecError::Bundle)?;
        let mut exec = Self {
            phase: Phase::Over,
            files,
            directory,
            report: pipe().map_err(failed("make a pipe"))?.0,
            stdin: None,
            stdout: None,
            stderr: None,
            console,
            input: Vec::new(),
            input_ends: false,
            kill_at: None,
            ended_early: Vec::new(),
        };
        let streams = exec.make_streams().map_err(failed("make a pipe"))?;
        let child = runtime.exec(&exec.files, streams).map_err(ExecError::Runtime)?;
        exec.phase = Phase::Making {
            runtime: i32::try_from(child.id()).expect("process ids are positive 32-bit numbers"),
        };
        Ok(exec)
    }

    fn make_streams(&mut self) -> io::Result<ChildStreams> {
        let (report, child_report) = pipe()?;
        set_nonblocking(&report)?;
        self.report = report;
        if self.console.is_some() {
            return Ok(ChildStreams {
                stdin: Stdio::null(),
                stdout: Stdio::null(),
                stderr: Stdio::null(),
                report: child_report,
            });
        }
        let (child_stdin, stdin) = pipe()?;
        let (stdout, child_stdout) = pipe()?;
        let (stderr, child_stderr) = pipe()?;
        for descriptor in [&stdin, &stdout, &stderr] {
            set_nonblocking(descriptor)?;
        }
        self.stdin = Some(stdin);
        self.stdout = Some(stdout);
        self.stderr = Some(stderr);
        Ok(ChildStreams {
            stdin: child_stdin.into(),
            stdout: child_stdout.into(),
            stderr: child_stderr.into(),
            report: child_report,
        })
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    pub(super) fn takes_input(&self) -> bool {
        self.input.len() < INPUT_BYTES
    }

    pub(super) fn next_moment(&self) -> Option<Instant> {
        self.kill_at
    }

    pub(super) fn interest(&self, client_reads: bool) -> Vec<(ExecPart, BorrowedFd<'_>, PollFlags)> {
        let mut interest = Vec::new();
        // Before the process runs there is nothing to read, and a pipe without a writer would be ready all the time.
        if !matches!(self.phase, Phase::Running { .. }) {
            return interest;
        }
        if !self.input.is_empty()
            && let Some(descriptor) = self.input_descriptor()
        {
            interest.push((ExecPart::Stdin, descriptor, PollFlags::OUT));
        }
        if client_reads {
            let outputs = [(ExecPart::Stdout, &self.stdout), (ExecPart::Stderr, &self.stderr)];
            for (part, descriptor) in outputs {
                if let Some(descriptor) = descriptor {
                    interest.push((part, descriptor.as_fd(), PollFlags::IN));
                }
            }
        }
        interest
    }

    fn input_descriptor(&self) -> Option<BorrowedFd<'_>> {
        let descriptor = if self.console.is_some() {
            &self.stdout
        } else {
            &self.stdin
        };
        descriptor.as_ref().map(AsFd::as_fd)
    }

    /// Acts on the client's frames; false when they are none.
    pub(super) fn take_frames(&mut self, inbox: &mut Vec<u8>) -> bool {
        while let Some(header) = inbox.first_chunk::<FRAME_HEADER_BYTES>() {
            let Some((kind, length)) = parse_frame_header(*header) else {
                return false;
            };
            let end = FRAME_HEADER_BYTES + length;
            if inbox.len() < end {
                break;
            }
            let payload: Vec<u8> = inbox.drain(..end).skip(FRAME_HEADER_BYTES).collect();
            match (kind, payload.as_slice()) {
                (FrameKind::Stdin, data) => self.input.extend_from_slice(data),
                (FrameKind::CloseStdin, _) => self.input_ends = true,
                (FrameKind::Resize, [c0, c1, r0, r1]) => {
                    self.resize(u16::from_le_bytes([*c0, *c1]), u16::from_le_bytes([*r0, *r1]));
                }
                _ => return false,
            }
        }
        self.pass_input();
        true
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        if let Some(console) = &mut self.console {
            console.resize(self.stdout.as_ref(), (columns, rows));
        }
    }

    pub(super) fn serve(&mut self, part: ExecPart, outbox: &mut Vec<u8>) {
        match part {
            ExecPart::Stdin => self.pass_input(),
            ExecPart::Stdout => {
                read_output(&mut self.stdout, FrameKind::Stdout, outbox);
            }
            ExecPart::Stderr => {
                read_output(&mut self.stderr, FrameKind::Stderr, outbox);
            }
        }
    }

    fn pass_input(&mut self) {
        if !matches!(self.phase, Phase::Running { .. }) {
            return;
        }
        if !self.input.is_empty() {
            let Some(descriptor) = self.input_descriptor() else {
                self.input.clear();
                return;
            };
            match rustix::io::write(descriptor, &self.input) {
                Ok(count) => drop(self.input.drain(..count)),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                // Nobody reads it any more.
                Err(_) => {
                    self.input.clear();
                    self.stdin = None;
                }
            }
        }
        if self.input.is_empty() && self.input_ends {
            self.input_ends = false;
            self.end_input();
        }
    }

    /// A pipe is closed; a terminal gets its end-of-file character (Ctrl-D).
    fn end_input(&mut self) {
        self.stdin = None;
        if self.console.is_some() {
            self.input.push(4);
            self.pass_input();
        }
    }

    /// The runtime's process has ended: the exec's own runs now, or could not be made.
    pub(super) fn runtime_ended(&mut self, pid: i32, status: i32, runtime: &Runtime, outbox: &mut Vec<u8>) {
        if self.phase != (Phase::Making { runtime: pid }) {
            return;
        }
        let made = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
        let Some(process) = runtime::read_pid(&self.files.pid).filter(|_| made) else {
            return self.fail(
                "the OCI runtime could not make the process",
                &runtime.last_message(),
                outbox,
            );
        };
        self.phase = Phase::Running { process };
        if let Some(console) = &mut self.console {
            match console.receive() {
                Ok(terminal) => self.stdout = Some(terminal),
                Err(error) => {
                    kill(process);
                    return self.fail(
                        "no terminal came from the OCI runtime",
                        &error.to_string(),
                        outbox,
                    );
                }
            }
        }
        self.pass_input();
        let ended_early = std::mem::take(&mut self.ended_early);
        if let Some((_, status)) = ended_early.into_iter().find(|(pid, _)| *pid == process) {
            self.process_ended(process, status, outbox);
        }
    }

    /// The cause may be as long as a runtime likes; a frame is not.
    fn fail(&mut self, operation: &str, cause: &str, outbox: &mut Vec<u8>) {
        let cause: String = cause.chars().take(CAUSE_LETTERS).collect();
        let message = format!("{operation}: {cause}");
        self.finish(&ExecEnd::Failed { message }, outbox);
    }

    pub(super) fn process_ended(&mut self, pid: i32, status: i32, outbox: &mut Vec<u8>) {
        match self.phase {
            Phase::Making { .. } => return self.ended_early.push((pid, status)),
            Phase::Running { process } if process == pid => {}
            _ => return,
        }
        self.deliver_rest(outbox);
        let end = match self.refusal() {
            Some(refusal) => ExecEnd::Refused(refusal),
            None => ExecEnd::Terminated {
                termination: Termination::from_wait_status(status),
            },
        };
        self.finish(&end, outbox);
    }

    /// The instance has ended, and every process in it.
    pub(super) fn instance_ended(&mut self, outbox: &mut Vec<u8>) {
        if self.is_over() {
            return;
        }
        self.deliver_rest(outbox);
        let termination = Termination::Signaled {
            signal: libc::SIGKILL,
            core_dumped: false,
        };
        self.finish(&ExecEnd::Terminated { termination }, outbox);
    }

    /// The client is gone: the process hears it, and is killed if it does not end by that.
    pub(super) fn hang_up(&mut self, now: Instant) {
        if self.kill_at.is_some() {
            return;
        }
        self.kill_at = Some(now + HANG_UP_GRACE);
        if let Phase::Running { process } = self.phase {
            // Its group first, for a shell's children; the process itself if it has not yet become a leader.
            let _ = system::kill(-process, libc::SIGHUP);
            let _ = system::kill(process, libc::SIGHUP);
        }
        (self.stdin, self.stdout, self.stderr) = (None, None, None);
    }

    pub(super) fn act_on_time(&mut self, now: Instant) {
        if self.kill_at.is_none_or(|moment| now < moment) {
            return;
        }
        match self.phase {
            Phase::Running { process } => {
                kill(process);
                self.kill_at = Some(now + HANG_UP_GRACE);
            }
            // It is killed as soon as it exists.
            Phase::Making { .. } => self.kill_at = Some(now + HANG_UP_GRACE),
            Phase::Over => self.kill_at = None,
        }
    }

    fn refusal(&self) -> Option<StartRefusal> {
        let mut record = [0; RECORD_BYTES];
        let Ok(RECORD_BYTES) = rustix::io::read(&self.report, &mut record) else {
            return None;
        };
        let (stage, errno) = match Report::from_bytes(record)? {
            Report::WorkingDirectoryFailed { errno } => (StartStage::WorkingDirectory, errno),
            Report::ExecFailed { errno } => (StartStage::Exec, errno),
            Report::ForkFailed { errno } => (StartStage::Fork, errno),
            Report::Started { .. } | Report::Exited { .. } => return None,
        };
        Some(StartRefusal { stage, errno })
    }

    fn deliver_rest(&mut self, outbox: &mut Vec<u8>) {
        for (descriptor, kind) in [
            (&mut self.stdout, FrameKind::Stdout),
            (&mut self.stderr, FrameKind::Stderr),
        ] {
            for _ in 0..REST_READS_MAX {
                if !read_output(descriptor, kind, outbox) {
                    break;
                }
            }
        }
    }

    fn finish(&mut self, end: &ExecEnd, outbox: &mut Vec<u8>) {
        let payload = serde_json::to_vec(end).expect("the end of an exec has no failing parts");
        outbox.extend(frame(FrameKind::Ended, &payload));
        self.phase = Phase::Over;
        (self.stdin, self.stdout, self.stderr) = (None, None, None);
        // The run directory goes with the instance, but an instance may see many execs.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Its group first, for a shell's children; itself if it has not yet become a leader.
fn kill(process: i32) {
    let _ = system::kill(-process, libc::SIGKILL);
    let _ = system::kill(process, libc::SIGKILL);
}

/// Reads once; whether there may be more. A terminal whose processes are gone gives an error where a pipe gives its end.
fn read_output(descriptor: &mut Option<OwnedFd>, kind: FrameKind, outbox: &mut Vec<u8>) -> bool {
    let Some(open) = descriptor else {
        return false;
    };
    let mut buffer = vec![0; FRAME_PAYLOAD_BYTES_MAX];
    match rustix::io::read(open, &mut buffer) {
        Ok(count) if count > 0 => {
            outbox.extend(frame(kind, &buffer[..count]));
            true
        }
        Err(rustix::io::Errno::INTR) => true,
        Err(rustix::io::Errno::AGAIN) => false,
        Ok(_) | Err(_) => {
            *descriptor = None;
            false
        }
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNTIME: i32 = 1_000_001;
    const PROCESS: i32 = 1_000_002;
    const OTHER: i32 = 1_000_003;

    fn being_made(directory: &std::path::Path) -> Exec {
        fs::write(directory.join("pid"), PROCESS.to_string()).unwrap();
        Exec {
            phase: Phase::Making { runtime: RUNTIME },
            files: ExecFiles {
                process: directory.join("process.json"),
                pid: directory.join("pid"),
                console_socket: None,
            },
            directory: directory.to_owned(),
            report: pipe().unwrap().0,
            stdin: None,
            stdout: None,
            stderr: None,
            console: None,
            input: Vec::new(),
            input_ends: false,
            kill_at: None,
            ended_early: Vec::new(),
        }
    }

    #[test]
    fn the_end_of_a_process_counts_whenever_it_is_heard() {
        let exit_with_3 = 3 << 8;
        for early in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let mut exec = being_made(directory.path());
            let mut outbox = Vec::new();
            exec.process_ended(OTHER, 0, &mut outbox);
            if early {
                exec.process_ended(PROCESS, exit_with_3, &mut outbox);
            }
            exec.runtime_ended(RUNTIME, 0, &Runtime::of_nothing(), &mut outbox);
            if !early {
                assert!(!exec.is_over());
                exec.process_ended(PROCESS, exit_with_3, &mut outbox);
            }
            assert!(exec.is_over(), "early: {early}");
            let told = String::from_utf8_lossy(&outbox[FRAME_HEADER_BYTES..]).into_owned();
            assert!(told.contains("\"code\":3"), "{told}");
        }
    }
}
