//! Takes away what a build (ended, killed, or left by a killed server) may have left: processes, mounts, working containers, files.

use std::{fs, path::Path, time::Duration};

use rustix::mount::UnmountFlags;
use tokio::time::Instant;

use super::{
    buildah::Buildah,
    cgroup::{BuildCgroup, Hierarchies},
    layout::{Layout, Store, names_in},
    process, storage,
    supervise::LAST_RESORT,
};

const REMOVE_LIMIT: Duration = Duration::from_mins(1);
/// Where buildah 1.28 keeps `RUN --mount=type=cache`, below `TMPDIR`: the one thing there that outlives a build.
const CACHE_MOUNTS: &str = "buildah-cache";

/// Ends and removes a control group; says what could not be removed.
pub(crate) async fn remove_cgroup(cgroup: &BuildCgroup) -> Vec<String> {
    cgroup.kill_all(Instant::now() + LAST_RESORT).await;
    match cgroup.remove(Instant::now() + LAST_RESORT).await {
        Ok(()) => Vec::new(),
        Err(error) => vec![chain(&error)],
    }
}

/// Removes working containers, their mounts and temporary files of a store in which nothing runs. Cheap when there is nothing.
pub(crate) async fn clean_store(buildah: &Buildah<'_>) -> Vec<String> {
    let store = buildah.store;
    let mut removed = unmount_below(&store.overlay());
    removed.extend(unmount_below(&store.tmp));
    let containers = storage::containers(&store.root).unwrap_or_default();
    if !containers.is_empty() {
        removed.push(format!(
            "{} working containers of {}",
            containers.len(),
            store.root.display()
        ));
        match process::run(&buildah.remove_containers(), REMOVE_LIMIT).await {
            Ok(finished) if finished.success => {}
            Ok(finished) => removed.push(format!("not all: {}", finished.stderr.join("; "))),
            Err(error) => removed.push(format!("not all: {}", chain(&error))),
        }
    }
    remove_temporary(store);
    removed
}

/// Everything in `TMPDIR` but the cache mounts.
fn remove_temporary(store: &Store) {
    for name in names_in(&store.tmp) {
        if name != CACHE_MOUNTS {
            remove_path(&store.tmp.join(name));
        }
    }
}

/// Deletes the cache mounts too.
pub(crate) fn clear_cache_mounts(store: &Store) {
    for name in names_in(&store.tmp) {
        remove_path(&store.tmp.join(name));
    }
}

pub(crate) fn remove_path(path: &Path) {
    let result = if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    // What cannot be removed now is found by the next sweep.
    drop(result);
}

/// Unmounts everything below a directory, deepest first.
pub(crate) fn unmount_below(directory: &Path) -> Vec<String> {
    let Ok(directory) = directory.canonicalize() else {
        return Vec::new();
    };
    let mut mounts = mounts_below(&directory);
    mounts.reverse();
    mounts
        .into_iter()
        .filter(|mount| rustix::mount::unmount(mount.as_str(), UnmountFlags::DETACH).is_ok())
        .map(|mount| format!("mount {mount}"))
        .collect()
}

/// Mount points below (not at) a directory, in the order of mounting.
fn mounts_below(directory: &Path) -> Vec<String> {
    fs::read_to_string("/proc/self/mountinfo")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape)
        .filter(|mount| Path::new(mount).starts_with(directory) && Path::new(mount) != directory)
        .collect()
}

/// mountinfo writes blanks, tabs, newlines and backslashes as three octal digits.
fn unescape(path: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(path.to_owned(), |path, (code, text)| path.replace(code, text))
}

/// Ends and removes the control groups and running-build directories that earlier processes left, in words.
pub(crate) async fn sweep_builds(
    layout: &Layout,
    hierarchies: &Hierarchies,
    cgroup_prefix: &str,
) -> Vec<String> {
    let mut removed = Vec::new();
    for name in BuildCgroup::existing(hierarchies, cgroup_prefix) {
        removed.push(format!("cgroup {cgroup_prefix}/{name}"));
        let cgroup = BuildCgroup::new(hierarchies.clone(), cgroup_prefix, &name);
        removed.extend(remove_cgroup(&cgroup).await);
    }
    for name in names_in(&layout.builds()) {
        let directory = layout.builds().join(&name);
        removed.extend(unmount_below(&directory));
        remove_path(&directory);
        removed.push(format!("state of build {name}"));
    }
    removed
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_with_blanks_are_read() {
        assert_eq!(unescape("/a\\040b\\134c"), "/a b\\c");
    }
}
