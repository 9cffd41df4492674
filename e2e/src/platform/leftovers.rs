//! What a platform must not leave behind: processes, mounts, cgroups, devices, nft tables.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use walkdir::WalkDir;

use super::setup::Setup;
use crate::{run::run, wait_until};

/// Of the kernel's own cleaning up after the last process ended.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);
const TOOL_WITHIN: Duration = Duration::from_secs(10);
/// `/sys/fs/cgroup/<controller>/<name>/<app>/<instance>`.
const CGROUP_DEPTH_MAX: usize = 5;

/// One line for each thing that is still there.
pub(super) fn of(setup: &Setup) -> Vec<String> {
    let mut left = Vec::new();
    wait_until(SETTLES_WITHIN, || {
        left = look(setup);
        left.is_empty()
    });
    left
}

fn look(setup: &Setup) -> Vec<String> {
    let processes = processes(setup)
        .into_iter()
        .map(|(pid, command)| format!("process {} {command}", pid.as_raw_nonzero()));
    let mounts = mounts(setup).into_iter().map(|path| format!("mount {path}"));
    let cgroups = cgroups(setup)
        .into_iter()
        .map(|path| format!("cgroup {}", path.display()));
    let devices = devices(setup).into_iter().map(|name| format!("device {name}"));
    let tables = tables(setup).into_iter().map(|table| format!("nft {table}"));
    processes
        .chain(mounts)
        .chain(cgroups)
        .chain(devices)
        .chain(tables)
        .collect()
}

/// Cgroups of an app's instances but for those that may run.
pub(super) fn of_app(setup: &Setup, app: &str, running: &[String]) -> Vec<String> {
    let of_app = |path: &PathBuf| path.to_string_lossy().contains(app);
    let of_running = |path: &PathBuf| {
        let path = path.to_string_lossy();
        path.ends_with(app) || running.iter().any(|id| path.contains(id.as_str()))
    };
    let cgroups = cgroups(setup).into_iter();
    cgroups
        .filter(|path| of_app(path) && !of_running(path))
        .map(|path| format!("cgroup {}", path.display()))
        .collect()
}

/// Removes what is left, so that one failure is not the next one's cause.
pub(super) fn scrub(setup: &Setup) {
    kill_all(setup);
    for path in mounts(setup).iter().rev() {
        tool("umount", &["--lazy", path]);
    }
    // The kernel takes a moment to count the dead out.
    wait_until(SETTLES_WITHIN, || {
        let left = cgroups(setup);
        left.iter().rev().for_each(|cgroup| drop(fs::remove_dir(cgroup)));
        left.is_empty()
    });
    for device in devices(setup) {
        tool("ip", &["link", "delete", &device]);
    }
    for table in tables(setup) {
        let words: Vec<&str> = table.split_whitespace().collect();
        tool("nft", &[&["delete"], words.as_slice()].concat());
    }
}

/// `kill -9` until no process is left, for one may be starting another; whether that was so in time.
pub(super) fn kill_all(setup: &Setup) -> bool {
    wait_until(SETTLES_WITHIN, || {
        let running = processes(setup);
        for (pid, _) in &running {
            // It may have ended by itself.
            let _ = kill_process(*pid, Signal::KILL);
        }
        running.is_empty()
    })
}

/// What the networks have on the host without a device of theirs.
pub(super) fn remove_routes(setup: &Setup) {
    for pool in setup.pools() {
        tool("ip", &["route", "flush", "root", &pool.to_string()]);
    }
    let [instances, _] = setup.pools();
    let gateway = std::net::Ipv4Addr::from_bits(instances.network().to_bits() + 1);
    tool(
        "ip",
        &["address", "delete", &format!("{gateway}/32"), "dev", "lo"],
    );
}

/// Processes in one of the platform's cgroups, or with one of its paths in their arguments.
pub(super) fn processes(setup: &Setup) -> Vec<(Pid, String)> {
    let paths = [setup.root(), setup.run_dir()].map(|path| path.display().to_string());
    let cgroup = format!(":/{}/", setup.name);
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter_map(|pid| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", pid.as_raw_nonzero())).ok();
        let command = read("cmdline")?.replace('\0', " ");
        let ours = paths.iter().any(|path| command.contains(path)) || read("cgroup")?.contains(&cgroup);
        (ours && !command.is_empty()).then_some((pid, command))
    })
    .collect()
}

fn mounts(setup: &Setup) -> Vec<String> {
    let paths = [setup.root(), setup.run_dir()].map(|path| path.display().to_string());
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = table.lines().filter_map(|line| line.split(' ').nth(1));
    places
        .filter(|place| paths.iter().any(|path| place.starts_with(path)))
        .map(str::to_owned)
        .collect()
}

/// Parents before children.
fn cgroups(setup: &Setup) -> Vec<PathBuf> {
    let ours = |path: &Path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().contains(&setup.name))
    };
    let walk = WalkDir::new("/sys/fs/cgroup")
        .max_depth(CGROUP_DEPTH_MAX)
        .into_iter()
        .filter_map(Result::ok);
    walk.filter(|entry| entry.file_type().is_dir() && entry.path().ancestors().any(ours))
        .map(walkdir::DirEntry::into_path)
        .collect()
}

fn devices(setup: &Setup) -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&setup.prefix)).collect()
}

/// `table inet <name>`.
fn tables(setup: &Setup) -> Vec<String> {
    let listed = run(Command::new("nft").args(["list", "tables"]), TOOL_WITHIN).stdout;
    listed
        .lines()
        .filter(|line| line.contains(&setup.name))
        .map(str::to_owned)
        .collect()
}

fn tool(program: &str, arguments: &[&str]) {
    let answer = run(Command::new(program).args(arguments), TOOL_WITHIN);
    if !answer.is_success() {
        eprintln!("{program} {}: {}", arguments.join(" "), answer.stderr);
    }
}
