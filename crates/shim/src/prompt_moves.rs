//! Keeps the kernel ready to move a process to another cgroup, while the runtime makes a container.
//!
//! All moves of a machine exclude forks by one lock (`cgroup_threadgroup_rwsem`). The first move after a quiet moment waits for a grace
//! period of all processors, 6 to 16 ms as measured; one that comes within the next 15 ms costs 0.2. The runtime moves its process some
//! 20 ms after it was called. So that the wait passes while the runtime still prepares, the shim moves itself until then: to where it is.
//! Hosts that mount their cgroups with `favordynmods` are always ready, and lose nothing by it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::system;

/// Well within the time that a move keeps the lock ready.
const EVERY: Duration = Duration::from_millis(5);
/// A runtime that takes longer has other troubles.
const AT_MOST: Duration = Duration::from_millis(500);
/// Of a thread that formats a number and writes it.
const STACK_BYTES: usize = 64 * 1024;

/// Moves are prompt until it is dropped.
#[derive(Debug)]
pub(crate) struct PromptMoves {
    /// Nothing is ever sent: that it goes away is the message.
    _until: mpsc::Sender<()>,
}

impl PromptMoves {
    /// What cannot be kept ready is only slower.
    pub(crate) fn begin(cgroup_root: &Path) -> Self {
        let (until, over) = mpsc::channel();
        if let Some(processes) = own_processes_file(cgroup_root) {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            // It may live a moment longer than what it is for, when children are watched already.
            let _ = system::spawn_deaf(builder, move || {
                keep_ready(&processes, &over);
            });
        }
        Self { _until: until }
    }
}

/// Whether it was told to end; else its time was over.
fn keep_ready(processes: &Path, over: &mpsc::Receiver<()>) -> bool {
    let began = Instant::now();
    let own = std::process::id().to_string();
    while began.elapsed() < AT_MOST {
        // Refused or not: the lock was taken.
        let _ = fs::write(processes, &own);
        if over.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
            return true;
        }
    }
    false
}

/// `cgroup.procs` of the cgroup that this process is in, in one of the hierarchies below `root`.
fn own_processes_file(root: &Path) -> Option<PathBuf> {
    let memberships = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut directories = memberships.lines().filter_map(|line| membership(root, line));
    directories.find(|file| file.exists())
}

/// From a line of `/proc/self/cgroup`, such as `4:pids:/system.slice` or, of the hierarchy without controllers, `0::/system.slice`.
fn membership(root: &Path, line: &str) -> Option<PathBuf> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let hierarchy = match controllers.strip_prefix("name=").unwrap_or(controllers) {
        "" if root.join("cgroup.procs").exists() => root.to_owned(),
        "" => root.join("unified"),
        named => root.join(named),
    };
    Some(hierarchy.join(path.trim_start_matches('/')).join("cgroup.procs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_membership_is_a_file_of_its_hierarchy() {
        let root = tempfile::tempdir().unwrap();
        let file = |line| membership(root.path(), line);
        let below = |path| Some(root.path().join(path));
        assert_eq!(file("4:cpu,cpuacct:/a/b"), below("cpu,cpuacct/a/b/cgroup.procs"));
        assert_eq!(file("1:name=systemd:/a"), below("systemd/a/cgroup.procs"));
        assert_eq!(file("0::/a"), below("unified/a/cgroup.procs"));
        fs::write(root.path().join("cgroup.procs"), "").unwrap();
        assert_eq!(file("0::/a"), below("a/cgroup.procs"));
        assert_eq!(file("nonsense"), None);
    }

    #[test]
    fn this_process_is_somewhere() {
        let file = own_processes_file(Path::new("/sys/fs/cgroup")).unwrap();
        let processes = fs::read_to_string(file).unwrap();
        assert!(processes.lines().any(|pid| pid == std::process::id().to_string()));
    }

    #[test]
    fn it_ends_with_its_owner() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (until, over) = mpsc::channel();
        let path = file.path().to_owned();
        let keeping = thread::spawn(move || keep_ready(&path, &over));
        drop(until);
        assert!(keeping.join().unwrap());
        assert_eq!(
            fs::read_to_string(file.path()).unwrap(),
            std::process::id().to_string()
        );
    }
}
