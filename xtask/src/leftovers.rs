//! What tests may leave behind on the machine: a test suite that does fails.

use std::{collections::BTreeSet, fs, process::Command};

use crate::command::run_quietly;

/// Parts of names that tests and platforms give to what they make.
const OURS: [&str; 4] = ["mainstay", "mstest", "msbench", "e2e"];

/// Everything on the machine that looks like ours, a line each.
pub(crate) struct Snapshot(BTreeSet<String>);

impl Snapshot {
    pub(crate) fn take() -> Self {
        let mut lines = BTreeSet::new();
        let addresses = output("ip", &["-oneline", "-4", "address", "show", "dev", "lo"]);
        lines.extend(labeled(
            "address",
            addresses.lines().filter(|line| line.contains(" 10.")),
        ));
        let routes = output("ip", &["-4", "route", "show"]);
        lines.extend(labeled(
            "route",
            routes.lines().filter(|line| line.starts_with("unreachable 10.")),
        ));
        let tables = output("nft", &["list", "tables"]);
        lines.extend(labeled("nft table", tables.lines().filter(|line| is_ours(line))));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        lines.extend(labeled("mount", points.filter(|point| is_ours(point))));
        lines.extend(cgroups());
        lines.extend(processes());
        Self(lines)
    }

    /// Fails with what is there now and was not then.
    pub(crate) fn compare(&self) -> Result<(), String> {
        let now = Self::take();
        let left: Vec<&str> = now.0.difference(&self.0).map(String::as_str).collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(format!("the tests left behind:\n  {}", left.join("\n  ")))
    }
}

fn cgroups() -> Vec<String> {
    let directories = |path: &str| fs::read_dir(path).into_iter().flatten().flatten();
    let tops = directories("/sys/fs/cgroup").filter(|entry| entry.path().is_dir());
    let below = tops.flat_map(|top| {
        let nested = directories(&top.path().display().to_string()).collect::<Vec<_>>();
        std::iter::once(top).chain(nested)
    });
    below
        .filter(|entry| entry.path().is_dir() && is_ours(&entry.file_name().to_string_lossy()))
        .map(|entry| format!("cgroup {}", entry.path().display()))
        .collect()
}

/// By their program's name: arguments may name a test's directory for other reasons.
fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            let pid = entry.file_name();
            name.starts_with("mainstay-")
                .then(|| format!("process {} ({})", pid.display(), name.trim()))
        })
        .collect()
}

fn is_ours(text: &str) -> bool {
    OURS.iter().any(|name| text.contains(name))
}

fn labeled<'a>(
    what: &'a str,
    lines: impl Iterator<Item = &'a str> + 'a,
) -> impl Iterator<Item = String> + 'a {
    lines.map(move |line| format!("{what} {}", line.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// Empty where the program is missing: then there is nothing of its kind either.
fn output(program: &str, arguments: &[&str]) -> String {
    run_quietly(Command::new(program).args(arguments)).unwrap_or_default()
}
