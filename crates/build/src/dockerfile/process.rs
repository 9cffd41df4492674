//! Starting a program inside a build's control group, and reading its lines.

use std::{io, process::Stdio, time::Duration};

use mainstay_shim::log::LogSource;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};

use super::{buildah::Invocation, cgroup::BuildCgroup};

/// A program must not run one instruction outside of its limits, and a child can only be moved once it exists. So a shell is started that
/// waits for a line before it becomes the program. The text is constant; program and arguments are its positional parameters.
const GATE: &str = "read -r go && exec \"$@\"";
/// A longer line is cut into several.
const LINE_MAX_BYTES: usize = 64 * 1024;
/// Lines between the pipes and the build's task; a slow reader slows the step down instead of filling memory.
const LINE_QUEUE: usize = 512;
const GATE_TIMEOUT: Duration = Duration::from_secs(10);

/// A started program.
#[derive(Debug)]
pub(crate) struct Running {
    pub child: Child,
    pub pid: u32,
    pub lines: mpsc::Receiver<(LogSource, String)>,
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    #[error("starting {program}")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("moving a process to its control group")]
    Cgroup(#[source] super::cgroup::CgroupError),
}

/// Starts the program; with a cgroup, inside it from its first instruction on.
pub(crate) async fn start(call: &Invocation, cgroup: Option<&BuildCgroup>) -> Result<Running, SpawnError> {
    let failed = |source| SpawnError::Start {
        program: call.program.display().to_string(),
        source,
    };
    let mut child = Command::new("/bin/sh")
        .args(["-c", GATE, "gate"])
        .arg(&call.program)
        .args(&call.arguments)
        .env_clear()
        .envs(&call.environment)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own group: a Ctrl-C at the server's terminal is not meant for it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let pid = child.id().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    if let Some(cgroup) = cgroup {
        cgroup.add_to_engine(pid).map_err(SpawnError::Cgroup)?;
    }
    let lines = pump(&mut child);
    let mut gate = child
        .stdin
        .take()
        .ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
    timeout(GATE_TIMEOUT, gate.write_all(b"go\n"))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(failed)?;
    Ok(Running { child, pid, lines })
}

fn pump(child: &mut Child) -> mpsc::Receiver<(LogSource, String)> {
    let (sender, receiver) = mpsc::channel(LINE_QUEUE);
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(read_lines(stdout, LogSource::Stdout, sender.clone()));
    }
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(read_lines(stderr, LogSource::Stderr, sender));
    }
    receiver
}

/// Ends at the end of the stream, on an error, or when nobody listens any more.
async fn read_lines(
    mut stream: impl AsyncRead + Unpin,
    source: LogSource,
    sender: mpsc::Sender<(LogSource, String)>,
) {
    let mut pending = Vec::new();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let length = match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        for &byte in &chunk[..length] {
            let is_end = byte == b'\n';
            if !is_end {
                pending.push(byte);
            }
            if (is_end || pending.len() >= LINE_MAX_BYTES)
                && sender.send((source, line(&mut pending))).await.is_err()
            {
                return;
            }
        }
    }
    if !pending.is_empty() {
        // Nobody listening any more is fine: the build is over.
        let _ = sender.send((source, line(&mut pending))).await;
    }
}

fn line(pending: &mut Vec<u8>) -> String {
    if pending.last() == Some(&b'\r') {
        pending.pop();
    }
    let text = String::from_utf8_lossy(pending).into_owned();
    pending.clear();
    text
}

/// What a short call printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    pub success: bool,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

/// Runs a short call to its end, at most `limit`; past it, it is killed and counts as failed.
pub(crate) async fn run(call: &Invocation, limit: Duration) -> Result<Finished, SpawnError> {
    let mut running = start(call, None).await?;
    let mut finished = Finished {
        success: false,
        stdout: Vec::new(),
        stderr: Vec::new(),
    };
    let result = timeout(limit, async {
        while let Some((source, text)) = running.lines.recv().await {
            match source {
                LogSource::Stdout => finished.stdout.push(text),
                _ => finished.stderr.push(text),
            }
        }
        running.child.wait().await
    })
    .await;
    if let Ok(Ok(status)) = result {
        finished.success = status.success();
    } else {
        finished
            .stderr
            .push(format!("no end within {} s", limit.as_secs()));
        let _ = running.child.kill().await;
    }
    Ok(finished)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines_of(bytes: &[u8]) -> Vec<String> {
        let (sender, mut receiver) = mpsc::channel(LINE_QUEUE);
        read_lines(bytes, LogSource::Stdout, sender).await;
        let mut lines = Vec::new();
        while let Some((_, text)) = receiver.recv().await {
            lines.push(text);
        }
        lines
    }

    #[tokio::test]
    async fn lines_are_split_and_long_ones_cut() {
        assert_eq!(lines_of(b"a\r\n\nb").await, ["a", "", "b"]);
        let long = vec![b'x'; LINE_MAX_BYTES + 3];
        let lengths: Vec<usize> = lines_of(&long).await.iter().map(String::len).collect();
        assert_eq!(lengths, [LINE_MAX_BYTES, 3]);
    }

    #[tokio::test]
    async fn arguments_reach_the_program_untouched() {
        let call = Invocation {
            program: "/bin/echo".into(),
            arguments: vec!["$HOME; `id`".into(), "a  b".into()],
            environment: std::collections::BTreeMap::new(),
        };
        let finished = run(&call, Duration::from_secs(10)).await.unwrap();
        assert_eq!(finished.stdout, ["$HOME; `id` a  b"]);
        assert!(finished.success);
    }
}
