//! Did a build read files of the source outside of its source directory? Then it depends on them, and only the same whole source may
//! reuse it.
//!
//! The kernel notes a file's first read after its last change (`relatime`, mount(8)). Files that were just written have not been read;
//! afterwards those whose access time moved were. A control file that the build certainly reads tells whether times are kept at all.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use walkdir::WalkDir;

/// Files outside of the source directory, marked as unread.
#[derive(Debug)]
pub(crate) struct OutsideWatch {
    files: Vec<PathBuf>,
    control: PathBuf,
}

/// Older than any file's change time, so that the next read counts as the first.
fn unread() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1)
}

impl OutsideWatch {
    /// Marks all files of `root` that are not below `app`, and `control`, a file in `app` that the build reads. Links count by the file
    /// that they lead to.
    pub(crate) fn begin(root: &Path, app: &Path, control: PathBuf) -> io::Result<Self> {
        let files: Vec<PathBuf> = WalkDir::new(root)
            .into_iter()
            .filter_entry(|entry| entry.path() != app)
            .flatten()
            .filter(|entry| entry.file_type().is_file())
            .map(walkdir::DirEntry::into_path)
            .collect();
        for file in files.iter().chain([&control]) {
            mark_unread(file)?;
        }
        Ok(Self { files, control })
    }

    /// True when a file was read, or when that cannot be told.
    pub(crate) fn was_read(&self) -> bool {
        let moved = |path: &PathBuf| fs::symlink_metadata(path).map_or(true, |metadata| metadata.atime() > 1);
        !self.files.is_empty() && (!moved(&self.control) || self.files.iter().any(moved))
    }
}

fn mark_unread(path: &Path) -> io::Result<()> {
    let file = fs::File::open(path)?;
    file.set_times(fs::FileTimes::new().set_accessed(unread()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(root: &Path) -> OutsideWatch {
        for path in ["api/go.mod", "shared/a.txt"] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        OutsideWatch::begin(root, &root.join("api"), root.join("api/go.mod")).unwrap()
    }

    #[test]
    fn a_read_outside_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let watch = watch(root.path());
        fs::read(root.path().join("api/go.mod")).unwrap();
        fs::read(root.path().join("shared/a.txt")).unwrap();
        assert!(watch.was_read());
    }

    #[test]
    fn without_any_sign_of_reading_it_cannot_be_told() {
        let root = tempfile::tempdir().unwrap();
        assert!(watch(root.path()).was_read());
    }

    #[test]
    fn reads_inside_do_not_count() {
        let root = tempfile::tempdir().unwrap();
        let watch = watch(root.path());
        fs::read(root.path().join("api/go.mod")).unwrap();
        let keeps_times = fs::metadata(root.path().join("api/go.mod")).unwrap().atime() > 1;
        // On a mount without access times every build counts as one that read outside.
        assert_eq!(watch.was_read(), !keeps_times);
    }
}
