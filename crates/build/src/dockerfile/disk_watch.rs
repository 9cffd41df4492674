//! Keeps a build inside its disk budget. Without project quotas the kernel cannot refuse a write, so the file system's free space is
//! looked at often (cheap), and the build's own files are counted when it shrank enough to matter (expensive).

use std::{
    collections::BTreeSet,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::layout::{Store, names_in};

/// Even when other writers hide our growth in the free space, the files are counted this often.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);
/// Counting starts when the free space shrank by this part of the budget since the last count.
const COUNT_FRACTION: u64 = 8;

/// The disk is used up, by the budget or in fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskExceeded {
    pub used_bytes: u64,
    /// The file system itself was below its floor.
    pub file_system_full: bool,
}

#[derive(Debug)]
pub(crate) struct DiskWatch {
    overlay: PathBuf,
    temporary: PathBuf,
    /// Layers that were there before.
    before: BTreeSet<String>,
    temporary_before: u64,
    budget_bytes: u64,
    floor_bytes: u64,
    free_at_count: u64,
    counted_at: Instant,
}

impl DiskWatch {
    pub(crate) fn new(store: &Store, budget_bytes: u64, floor_bytes: u64) -> Self {
        let overlay = store.overlay();
        Self {
            before: names_in(&overlay).into_iter().collect(),
            temporary_before: bytes_below(&store.tmp),
            free_at_count: free_bytes(&store.root).unwrap_or(u64::MAX),
            overlay,
            temporary: store.tmp.clone(),
            budget_bytes,
            floor_bytes,
            counted_at: Instant::now(),
        }
    }

    /// Blocks for as long as counting the build's own files takes, when it has to.
    pub(crate) fn check(&mut self) -> Option<DiskExceeded> {
        let free = free_bytes(&self.temporary)?;
        let file_system_full = free < self.floor_bytes;
        let shrunk = self.free_at_count.saturating_sub(free);
        let is_due =
            shrunk >= self.budget_bytes / COUNT_FRACTION || self.counted_at.elapsed() >= COUNT_INTERVAL;
        if !is_due && !file_system_full {
            return None;
        }
        let used_bytes = self.used_bytes();
        self.free_at_count = free;
        self.counted_at = Instant::now();
        // A full file system is this build's doing only if it wrote a share worth mentioning.
        let wrote_much = used_bytes >= self.budget_bytes / COUNT_FRACTION;
        (used_bytes > self.budget_bytes || (file_system_full && wrote_much)).then_some(DiskExceeded {
            used_bytes,
            file_system_full,
        })
    }

    fn used_bytes(&self) -> u64 {
        let layers: u64 = names_in(&self.overlay)
            .into_iter()
            .filter(|name| !self.before.contains(name))
            .map(|name| bytes_below(&self.overlay.join(name).join("diff")))
            .sum();
        layers + bytes_below(&self.temporary).saturating_sub(self.temporary_before)
    }
}

fn free_bytes(path: &Path) -> Option<u64> {
    let status = rustix::fs::statvfs(path).ok()?;
    Some(status.f_bavail * status.f_frsize)
}

/// Disk blocks of all files below, on the same file system; files that vanish meanwhile are not counted.
fn bytes_below(directory: &Path) -> u64 {
    walkdir::WalkDir::new(directory)
        .same_file_system(true)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.blocks() * 512)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_counts() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store {
            root: dir.path().join("storage"),
            run_root: dir.path().join("run"),
            tmp: dir.path().join("tmp"),
        };
        store.create().unwrap();
        std::fs::create_dir_all(store.overlay().join("old/diff")).unwrap();
        std::fs::write(store.overlay().join("old/diff/f"), vec![1; 400_000]).unwrap();
        let mut watch = DiskWatch::new(&store, 100_000, 0);
        watch.free_at_count = u64::MAX;
        assert_eq!(watch.check(), None);
        std::fs::create_dir_all(store.overlay().join("new/diff")).unwrap();
        std::fs::write(store.overlay().join("new/diff/f"), vec![1; 200_000]).unwrap();
        watch.free_at_count = u64::MAX;
        let exceeded = watch.check().unwrap();
        assert!(
            exceeded.used_bytes >= 200_000 && !exceeded.file_system_full,
            "{exceeded:?}"
        );
    }
}
