//! What could be left of Docker on the machine: processes and cgroups. Mounts, devices and rules are in its namespaces.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use walkdir::WalkDir;

use crate::wait_until;

const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// `/sys/fs/cgroup/<controller>/<name>/<container>`, and what a container makes itself.
const CGROUP_DEPTH_MAX: usize = 4;

/// The processes in the process namespace of this one.
pub(super) fn processes_like(first: Option<u32>) -> Vec<u32> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(wanted) = first.and_then(namespace) else {
        return Vec::new();
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| namespace(*pid).as_ref() == Some(&wanted))
        .collect()
}

/// Waits for the end of the processes, which the kernel has been asked for, and removes the cgroups. One line for what stays.
pub(super) fn wait_and_remove(processes: &[u32], name: &str) -> Vec<String> {
    let is_there = |pid: &&u32| Path::new(&format!("/proc/{pid}")).exists();
    wait_until(ENDS_WITHIN, || !processes.iter().any(|pid| is_there(&pid)));
    let still_there = processes
        .iter()
        .filter(is_there)
        .map(|pid| format!("process {pid}"));
    let mut left: Vec<String> = still_there.collect();
    wait_until(ENDS_WITHIN, || {
        remove_cgroups(name);
        cgroups(name).is_empty()
    });
    left.extend(
        cgroups(name)
            .iter()
            .map(|path| format!("cgroup {}", path.display())),
    );
    left
}

/// Those in use stay.
pub(super) fn remove_cgroups(name: &str) {
    for path in cgroups(name).iter().rev() {
        drop(fs::remove_dir(path));
    }
}

/// Parents before children.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let walk = WalkDir::new("/sys/fs/cgroup")
        .max_depth(CGROUP_DEPTH_MAX)
        .into_iter()
        .filter_map(Result::ok);
    walk.filter(|entry| entry.file_type().is_dir())
        .map(walkdir::DirEntry::into_path)
        .filter(|path| {
            path.ancestors()
                .any(|part| part.file_name().is_some_and(|part| part == name))
        })
        .collect()
}
