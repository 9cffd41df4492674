//! The one place that runs `nft`.

use std::{collections::BTreeSet, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    time::timeout,
};

use super::{
    error::NetworkError,
    rule_set::{FINGERPRINT_CHAIN, RuleSet},
};

/// Thousands of rules take well under a second.
const TOOL_DEADLINE: Duration = Duration::from_secs(20);

/// Replaces our rules by `rules`: wholly or not at all.
pub(super) async fn apply(rules: &RuleSet) -> Result<(), NetworkError> {
    let existing = chain_names(&list_chains().await?, &rules.table);
    let replaced = run("nft", &["-f", "-"], &rules.transaction(&existing)).await;
    match replaced {
        // A chain of another release or of somebody else, with our name and another hook.
        Err(NetworkError::Tool { stderr, .. }) => {
            tracing::warn!(
                stderr,
                "the rules could not be replaced; starting over with a new table"
            );
            run("nft", &["-f", "-"], &rules.recreation()).await.map(drop)
        }
        other => other.map(drop),
    }
}

/// Whether the kernel has our table, as `rules` say.
pub(super) async fn is_applied(rules: &RuleSet) -> bool {
    match run(
        "nft",
        &["list", "chain", "inet", &rules.table, FINGERPRINT_CHAIN],
        "",
    )
    .await
    {
        Ok(listing) => listing.contains(&format!("\"{}\"", rules.fingerprint())),
        Err(_) => false,
    }
}

/// Every chain on this host, in nft's own JSON.
pub(super) async fn list_chains() -> Result<Value, NetworkError> {
    let listing = run("nft", &["--json", "list", "chains"], "").await?;
    Ok(serde_json::from_str(&listing).unwrap_or_default())
}

/// The chains in a listing, as objects.
pub(super) fn chains(listing: &Value) -> impl Iterator<Item = &Value> {
    let items = listing.get("nftables").and_then(Value::as_array);
    items.into_iter().flatten().filter_map(|item| item.get("chain"))
}

/// A text of a chain's object; empty if it has none.
pub(super) fn text<'a>(chain: &'a Value, key: &str) -> &'a str {
    chain.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn chain_names(listing: &Value, table: &str) -> BTreeSet<String> {
    let ours =
        chains(listing).filter(|chain| text(chain, "family") == "inet" && text(chain, "table") == table);
    ours.map(|chain| text(chain, "name").to_owned()).collect()
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
