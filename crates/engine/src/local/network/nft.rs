//! The one place that runs `nft`.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    time::timeout,
};

use super::{error::NetworkError, rules::RuleSet};

/// Thousands of rules take well under a second.
const TOOL_DEADLINE: Duration = Duration::from_secs(20);

/// Replaces our table by `rules`: wholly or not at all.
pub(super) async fn apply(rules: &RuleSet) -> Result<(), NetworkError> {
    run("nft", &["-f", "-"], &rules.text).await.map(drop)
}

/// Whether the kernel has our table, as `rules` say.
pub(super) async fn is_applied(table: &str, rules: &RuleSet) -> bool {
    match run("nft", &["--terse", "list", "table", "inet", table], "").await {
        Ok(listing) => listing.contains(&format!("\"{}\"", rules.fingerprint)),
        Err(_) => false,
    }
}

/// Removes our table, if there is one.
pub(super) async fn remove(table: &str) -> Result<(), NetworkError> {
    let text = format!("table inet {table}\ndelete table inet {table}\n");
    run("nft", &["-f", "-"], &text).await.map(drop)
}

/// Runs a tool with `input` on stdin and returns its stdout. The tool is killed when the deadline passes or the caller goes away.
pub(super) async fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, NetworkError> {
    let command = format!("{program} {}", arguments.join(" "));
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(NetworkError::io(format!("start {command}")))?;
    let finished = timeout(TOOL_DEADLINE, converse(child, input))
        .await
        .map_err(|_| NetworkError::Deadline {
            operation: command.clone(),
            deadline: TOOL_DEADLINE,
        })?;
    let output = finished.map_err(NetworkError::io(format!("run {command}")))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(NetworkError::Tool {
            command,
            status: output.status.to_string(),
            stderr,
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn converse(mut child: Child, input: &str) -> std::io::Result<std::process::Output> {
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that fails early closes its end; its exit status says more than the broken pipe.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    child.wait_with_output().await
}
