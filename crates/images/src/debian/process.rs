//! Tools that install packages, each in a mount and process namespace of its own: whatever it mounted or started is gone with it, and it
//! is gone when we are, however we end.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, BufRead, BufReader, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::sync::mpsc;

use super::DebianError;

const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const TAIL_LINES: usize = 40;
/// Longer lines are cut: apt prints them for terminals.
const LINE_BYTES: u64 = 4096;
/// How long a killed tool may take to vanish.
const GRACE: Duration = Duration::from_secs(10);

/// A call of a tool.
#[derive(Debug)]
pub(crate) struct Tool {
    program: &'static str,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    root: Option<PathBuf>,
    deadline: Duration,
}

impl Tool {
    pub(crate) fn new(program: &'static str, deadline: Duration) -> Self {
        let environment = [
            ("PATH", SEARCH_PATH),
            ("LC_ALL", "C.UTF-8"),
            ("HOME", "/root"),
            ("DEBIAN_FRONTEND", "noninteractive"),
        ];
        Self {
            program,
            arguments: Vec::new(),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.into()))
                .into(),
            root: None,
            deadline,
        }
    }

    pub(crate) fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Runs the tool of that root instead of the machine's own.
    pub(crate) fn inside(mut self, root: &Path) -> Self {
        self.root = Some(root.to_owned());
        self
    }

    /// `setpriv` ties it to our life, `unshare` ties everything that it starts to its own.
    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        if let Some(root) = &self.root {
            command.arg(format!("--root={}", root.display()));
        }
        command.arg("--").arg(self.program).args(&self.arguments);
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end; each line goes to `line`. Dropped meanwhile, or past its deadline, it is killed.
    pub(crate) async fn run(self, mut line: impl FnMut(&str)) -> Result<(), DebianError> {
        let program = self.program;
        if self.root.is_none() && !is_installed(program) {
            return Err(DebianError::NotInstalled { program });
        }
        let seconds = self.deadline.as_secs();
        let deadline = tokio::time::Instant::now() + self.deadline;
        let mut running = Running::start(&self);
        let mut tail = VecDeque::new();
        loop {
            match tokio::time::timeout_at(deadline, running.lines.recv()).await {
                Ok(Some(text)) => {
                    line(&text);
                    if tail.len() == TAIL_LINES {
                        tail.pop_front();
                    }
                    tail.push_back(text);
                }
                Ok(None) => break,
                Err(_) => {
                    running.kill();
                    running.drain().await;
                    return Err(DebianError::TooSlow {
                        program,
                        seconds,
                        tail: tail.into(),
                    });
                }
            }
        }
        match running.ended().await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(DebianError::Failed {
                program,
                status,
                tail: tail.into(),
            }),
            Err(source) => Err(DebianError::Start { program, source }),
        }
    }
}

fn is_installed(program: &str) -> bool {
    SEARCH_PATH
        .split(':')
        .any(|directory| Path::new(directory).join(program).is_file())
}

/// A tool at work. A thread of its own starts it, reads it and waits for it: the kernel ties the tool's life to the thread that started it.
#[derive(Debug)]
struct Running {
    lines: mpsc::Receiver<String>,
    /// Set by the thread as soon as the tool runs; a pidfd never names another process.
    process: std::sync::Arc<std::sync::OnceLock<OwnedFd>>,
    thread: Option<tokio::task::JoinHandle<io::Result<ExitStatus>>>,
    killed: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Running {
    fn start(tool: &Tool) -> Self {
        let (sender, lines) = mpsc::channel(256);
        let process = std::sync::Arc::new(std::sync::OnceLock::new());
        let killed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let command = tool.command();
        let (inner_process, inner_killed) = (process.clone(), killed.clone());
        let thread =
            tokio::task::spawn_blocking(move || run_to_end(command, &sender, &inner_process, &inner_killed));
        Self {
            lines,
            process,
            thread: Some(thread),
            killed,
        }
    }

    fn kill(&self) {
        self.killed.store(true, std::sync::atomic::Ordering::SeqCst);
        if let Some(process) = self.process.get() {
            let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
        }
    }

    /// Waits for the end of a killed tool, so that nobody writes any more when the caller cleans up.
    async fn drain(&mut self) {
        let drained = async { while self.lines.recv().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, drained).await;
        if let Some(thread) = self.thread.take() {
            let _ = tokio::time::timeout(GRACE, thread).await;
        }
    }

    async fn ended(&mut self) -> io::Result<ExitStatus> {
        let thread = self.thread.take().expect("it is waited for once");
        thread.await.map_err(io::Error::other)?
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.kill();
        }
    }
}

fn run_to_end(
    mut command: Command,
    sender: &mpsc::Sender<String>,
    process: &std::sync::OnceLock<OwnedFd>,
    killed: &std::sync::atomic::AtomicBool,
) -> io::Result<ExitStatus> {
    let (reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    drop(command);
    let pidfd = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let pidfd = process.get_or_init(|| pidfd);
    if killed.load(std::sync::atomic::Ordering::SeqCst) {
        let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    }
    // A receiver that is gone has killed the tool; what is left is read away.
    read_lines(reader, |text| drop(sender.blocking_send(text)));
    child.wait()
}

/// Calls `line` for each line: cut at `LINE_BYTES`, without the carriage returns of progress bars.
fn read_lines(reader: impl Read, mut line: impl FnMut(String)) {
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&bytes);
                let shown = text.trim_end().rsplit('\r').next().unwrap_or_default();
                if !shown.is_empty() {
                    line(shown.to_owned());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_progress_bars_read_once() {
        let mut lines = Vec::new();
        let long = "x".repeat(5000);
        read_lines(format!("10%\r20%\r30%\n\n{long}\nend").as_bytes(), |line| {
            lines.push(line);
        });
        assert_eq!(lines[0], "30%");
        assert_eq!((lines[1].len(), lines[2].len()), (4096, 904));
        assert_eq!(lines[3], "end");
    }

    #[tokio::test]
    async fn a_failure_carries_the_last_lines() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let tool =
            Tool::new("sh", Duration::from_secs(20)).arguments(["-c", "echo one; echo E: two >&2; exit 3"]);
        match tool.run(|_| {}).await {
            Err(DebianError::Failed { status, tail, .. }) => {
                assert_eq!(status.code(), Some(3));
                assert_eq!(tail, ["one", "E: two"]);
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_deadline_ends_the_tool_and_what_it_started() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let (reader, writer) = io::pipe().unwrap();
        let mut lines = Vec::new();
        // The grandchild ignores signals and holds its output open: only the end of the process namespace ends it.
        let script = "trap '' TERM; (sleep 1000; echo late) & echo started; wait";
        let tool = Tool::new("sh", Duration::from_secs(1)).arguments(["-c", script]);
        let ended = tool.run(|line| lines.push(line.to_owned())).await;
        drop(writer);
        drop(reader);
        assert!(matches!(ended, Err(DebianError::TooSlow { .. })), "{ended:?}");
        assert_eq!(lines, ["started"]);
    }

    #[tokio::test]
    async fn a_missing_tool_is_named() {
        let ended = Tool::new("no-such-tool", Duration::from_secs(1))
            .run(|_| {})
            .await;
        assert!(matches!(
            ended,
            Err(DebianError::NotInstalled {
                program: "no-such-tool"
            })
        ));
    }
}
