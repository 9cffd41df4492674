//! One instance's cgroup, on the v1 hierarchies (also when cgroup2 is mounted beside them without controllers) and on v2.
//!
//! Only what the OCI runtime does not do: reading what happened, killing everything, removing everything. All of it is plain file
//! access below a root directory, so that tests can show it a tree of their own.

mod v1;
mod v2;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

pub use v1::V1_CONTROLLERS;

/// How often a cgroup is looked at while it empties. The kernel gives no notice on v1.
const EMPTYING_POLL: Duration = Duration::from_millis(2);

/// Which hierarchy limits and accounts on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupVersion {
    V1,
    V2,
}

impl CgroupVersion {
    /// On v2 the root itself is a cgroup.
    pub fn detect(root: &Path) -> Self {
        if root.join("cgroup.controllers").exists() {
            Self::V2
        } else {
            Self::V1
        }
    }
}

/// A cgroup of ours, which may or may not exist yet.
#[derive(Debug, Clone)]
pub struct Cgroup {
    version: CgroupVersion,
    /// The cgroup's directory in each hierarchy that has it; one on v2.
    directories: Vec<PathBuf>,
    root: PathBuf,
    path: String,
}

/// What the kernel counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub memory_bytes: Option<u64>,
    pub memory_limit_bytes: Option<u64>,
    pub memory_peak_bytes: Option<u64>,
    /// Processes killed for memory.
    pub memory_kills: u64,
    pub cpu_usage_micros: Option<u64>,
    pub cpu_throttled_micros: Option<u64>,
    pub pids: Option<u64>,
    /// How often the limit refused another process.
    pub pids_limit_hits: Option<u64>,
}

/// A cgroup could not be emptied or removed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("processes {pids:?} of the cgroup {path} outlived {waited:?} of killing")]
    NotEmptied {
        path: String,
        pids: Vec<i32>,
        waited: Duration,
    },
    #[error("cannot remove the cgroup directory {}", directory.display())]
    Remove {
        directory: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Cgroup {
    /// `path` is absolute and the same under every controller.
    pub fn new(root: &Path, path: &str) -> Self {
        let version = CgroupVersion::detect(root);
        let relative = path.trim_start_matches('/');
        let directories = match version {
            CgroupVersion::V1 => v1::hierarchies(root)
                .map(|hierarchy| hierarchy.join(relative))
                .collect(),
            CgroupVersion::V2 => vec![root.join(relative)],
        };
        Self {
            version,
            directories,
            root: root.to_owned(),
            path: path.to_owned(),
        }
    }

    pub fn version(&self) -> CgroupVersion {
        self.version
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn exists(&self) -> bool {
        self.directories.iter().any(|directory| directory.is_dir())
    }

    /// The directory that holds a controller's files.
    pub fn controller(&self, controller: &str) -> PathBuf {
        let relative = self.path.trim_start_matches('/');
        match self.version {
            CgroupVersion::V1 => self.root.join(controller).join(relative),
            CgroupVersion::V2 => self.root.join(relative),
        }
    }

    pub fn usage(&self) -> Usage {
        match self.version {
            CgroupVersion::V1 => v1::usage(self),
            CgroupVersion::V2 => v2::usage(self),
        }
    }

    /// Memory that cannot be given back: what processes allocated or share, without caches of files.
    pub fn resident_bytes(&self) -> Option<u64> {
        let file = self.controller("memory").join("memory.stat");
        let own = match self.version {
            CgroupVersion::V1 => "total_rss",
            CgroupVersion::V2 => "anon",
        };
        let shared = match self.version {
            CgroupVersion::V1 => "total_shmem",
            CgroupVersion::V2 => "shmem",
        };
        Some(read_keyed(&file, own)? + read_keyed(&file, shared).unwrap_or(0))
    }

    /// How often the kernel killed a process of this cgroup for memory.
    pub fn memory_kills(&self) -> u64 {
        match self.version {
            CgroupVersion::V1 => v1::memory_kills(self),
            CgroupVersion::V2 => v2::memory_kills(self),
        }
    }

    /// Every process in it and below it.
    pub fn pids(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        for directory in &self.directories {
            collect_pids(directory, &mut pids);
        }
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Kills until none is left. Forks that race with the killing are caught by repeating.
    pub fn kill_all(&self, deadline: Duration) -> Result<(), CgroupError> {
        let began = Instant::now();
        loop {
            let pids = self.pids();
            if pids.is_empty() {
                return Ok(());
            }
            if began.elapsed() >= deadline {
                return Err(CgroupError::NotEmptied {
                    path: self.path.clone(),
                    pids,
                    waited: deadline,
                });
            }
            self.kill_once();
            std::thread::sleep(EMPTYING_POLL);
        }
    }

    /// Kills what is there now, without waiting.
    pub fn kill_once(&self) {
        if !v2::kill(self) {
            self.pids().into_iter().for_each(kill);
        }
    }

    /// The names of the cgroups in it.
    pub fn children(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .directories
            .iter()
            .flat_map(|directory| child_directories(directory))
            .filter_map(|child| Some(child.file_name()?.to_str()?.to_owned()))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Removes it if nothing is in it or below it.
    pub fn remove_empty(&self) -> io::Result<()> {
        self.directories
            .iter()
            .try_for_each(|directory| match fs::remove_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            })
    }

    /// Removes it with everything below it. It must be empty of processes; what does not exist is removed already.
    pub fn remove(&self) -> Result<(), CgroupError> {
        self.directories
            .iter()
            .try_for_each(|directory| remove_tree(directory))
    }
}

fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // A process that is gone is what was wanted.
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn collect_pids(directory: &Path, pids: &mut Vec<i32>) {
    let listed = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    pids.extend(
        listed
            .lines()
            .filter_map(|line| line.trim().parse::<i32>().ok())
            .filter(|pid| *pid > 0),
    );
    for child in child_directories(directory) {
        collect_pids(&child, pids);
    }
}

/// Depth first, for only a leaf can be removed.
fn remove_tree(directory: &Path) -> Result<(), CgroupError> {
    for child in child_directories(directory) {
        remove_tree(&child)?;
    }
    remove_when_released(directory)
}

/// A cgroup whose last process was just reaped may be busy for a moment more.
fn remove_when_released(directory: &Path) -> Result<(), CgroupError> {
    let began = Instant::now();
    loop {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && began.elapsed() < RELEASE_DEADLINE =>
            {
                std::thread::sleep(EMPTYING_POLL);
            }
            Err(source) => {
                return Err(CgroupError::Remove {
                    directory: directory.to_owned(),
                    source,
                });
            }
        }
    }
}

const RELEASE_DEADLINE: Duration = Duration::from_secs(2);

fn child_directories(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// A file that holds one number; `None` when it is missing or says `max`.
fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A number of a file with `key value` lines.
fn read_keyed(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok())?
    })
}
