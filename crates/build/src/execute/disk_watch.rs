//! Keeps a build inside its disk budget. Directories have no quota of their own, so the file system's free space is looked at often
//! (cheap), and the build's own files are counted when it shrank enough to matter, or after a while (expensive).

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Even when other writers hide our growth in the free space, the files are counted this often.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);
/// Counting starts when the free space shrank by this part of the budget since the last count.
const COUNT_FRACTION: u64 = 8;
/// Below this a step's next write is likely to have failed.
const FULL_BYTES: u64 = 4 << 20;

#[derive(Debug, Clone)]
pub(crate) struct DiskWatch {
    directories: Vec<PathBuf>,
    budget_bytes: u64,
}

/// The budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) used_bytes: u64,
    pub(crate) limit_bytes: u64,
}

impl DiskWatch {
    /// `directories` lie on one file system.
    pub(crate) fn new(directories: Vec<PathBuf>, budget_bytes: u64) -> Self {
        Self {
            directories,
            budget_bytes,
        }
    }

    /// Returns when the budget is exceeded. Cancel safe.
    pub(crate) async fn exceeded(&self) -> Exceeded {
        let mut free_at_count = self.free_bytes();
        let mut counted = Instant::now();
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let shrunk = free_at_count.saturating_sub(self.free_bytes());
            if shrunk < self.budget_bytes / COUNT_FRACTION && counted.elapsed() < COUNT_INTERVAL {
                continue;
            }
            let directories = self.directories.clone();
            let used =
                tokio::task::spawn_blocking(move || directories.iter().map(|path| bytes_below(path)).sum());
            let used_bytes = used.await.unwrap_or(0);
            if used_bytes > self.budget_bytes {
                return Exceeded {
                    used_bytes,
                    limit_bytes: self.budget_bytes,
                };
            }
            free_at_count = self.free_bytes();
            counted = Instant::now();
        }
    }

    /// Whether the file system itself has no bytes or no inodes left.
    pub(crate) fn is_full(&self) -> bool {
        let statistics = self
            .directories
            .first()
            .and_then(|path| rustix::fs::statvfs(path).ok());
        statistics.is_some_and(|found| {
            let no_inodes = found.f_files > 0 && found.f_favail == 0;
            no_inodes || found.f_bavail * found.f_frsize < FULL_BYTES
        })
    }

    fn free_bytes(&self) -> u64 {
        let statistics = self
            .directories
            .first()
            .and_then(|path| rustix::fs::statvfs(path).ok());
        statistics.map_or(u64::MAX, |found| found.f_bavail * found.f_frsize)
    }
}

/// Blocks of all files, hard links once. What vanishes meanwhile does not count.
fn bytes_below(directory: &Path) -> u64 {
    let mut seen = BTreeSet::new();
    walkdir::WalkDir::new(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::symlink_metadata(entry.path()).ok())
        .filter(|metadata| {
            metadata.nlink() == 1 || metadata.is_dir() || seen.insert((metadata.dev(), metadata.ino()))
        })
        .map(|metadata| metadata.blocks() * 512)
        .sum()
}
