//! A directory of source files, read without ever leaving it: symlinks of the source count only as far as they stay inside.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use super::source_dir::shallow_first;
use crate::digest::sha256_of;

/// Manifests and lock files are smaller; a bigger file is read by no detector.
const TEXT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The files that detection and planning look at.
#[derive(Debug)]
pub struct SourceTree {
    path: PathBuf,
    directory: OwnedFd,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreeEntry {
    pub name: String,
    pub kind: EntryKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    Directory,
    File,
    Symlink,
    Other,
}

impl SourceTree {
    pub fn open(path: &Path) -> io::Result<Self> {
        let directory = open(
            path,
            OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self {
            path: path.to_owned(),
            directory,
        })
    }

    /// A directory inside this one, with the same promise about its own files.
    pub fn below(&self, directory: &str) -> io::Result<Self> {
        if directory.is_empty() {
            return Self::open(&self.path);
        }
        let inner = openat2(
            &self.directory,
            directory,
            OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        )?;
        Ok(Self {
            path: self.path.join(directory),
            directory: inner,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn has_file(&self, path: &str) -> bool {
        self.open_file(path)
            .is_ok_and(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()))
    }

    pub fn has_directory(&self, path: &str) -> bool {
        self.open_file(path)
            .is_ok_and(|file| file.metadata().is_ok_and(|metadata| metadata.is_dir()))
    }

    /// The first of `paths` that is a file.
    pub fn first_file<'a>(&self, paths: &[&'a str]) -> Option<&'a str> {
        paths.iter().copied().find(|path| self.has_file(path))
    }

    /// The text of a file; `None` when there is no such file or it is too big. Bytes that are no UTF-8 are replaced.
    pub fn text(&self, path: &str) -> Option<String> {
        let file = self.open_file(path).ok()?;
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || metadata.len() > TEXT_BYTES_MAX {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// SHA-256 of a file's content; `None` when there is no such file.
    pub fn digest(&self, path: &str) -> Option<[u8; 32]> {
        sha256_of(self.open_file(path).ok()?).ok()
    }

    /// The entries of a directory ("" is the tree itself), by name; empty when it is none.
    pub fn entries(&self, directory: &str) -> Vec<TreeEntry> {
        let Ok(inner) = self.below(directory) else {
            return Vec::new();
        };
        let Ok(listing) = fs::read_dir(&inner.path) else {
            return Vec::new();
        };
        let mut entries: Vec<TreeEntry> = listing
            .flatten()
            .filter_map(|entry| {
                let kind = kind_of(entry.file_type().ok()?);
                let name = entry.file_name().into_string().ok()?;
                Some(TreeEntry { name, kind })
            })
            .collect();
        entries.sort();
        entries
    }

    /// All directories below, fewest slashes first; at most a hundred.
    pub fn directories(&self) -> Vec<String> {
        let names = walkdir::WalkDir::new(&self.path)
            .min_depth(1)
            .max_depth(6)
            .into_iter()
            .flatten()
            .filter(|entry| entry.file_type().is_dir())
            .filter_map(|entry| Some(entry.path().strip_prefix(&self.path).ok()?.to_str()?.to_owned()));
        shallow_first(names.collect())
    }

    fn open_file(&self, path: &str) -> io::Result<File> {
        let descriptor = openat2(
            &self.directory,
            path,
            // Without NONBLOCK a named pipe in the source would block for ever.
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        )?;
        Ok(File::from(descriptor))
    }
}

fn kind_of(kind: fs::FileType) -> EntryKind {
    if kind.is_dir() {
        EntryKind::Directory
    } else if kind.is_file() {
        EntryKind::File
    } else if kind.is_symlink() {
        EntryKind::Symlink
    } else {
        EntryKind::Other
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn symlinks_that_leave_the_source_do_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::write(root.join("real.txt"), "inside").unwrap();
        symlink("real.txt", root.join("link.txt")).unwrap();
        symlink("/etc/passwd", root.join("passwd")).unwrap();
        symlink("../..", root.join("up")).unwrap();
        let tree = SourceTree::open(root).unwrap();
        assert_eq!(tree.text("link.txt").as_deref(), Some("inside"));
        assert!(!tree.has_file("passwd"));
        assert!(!tree.has_directory("up"));
        assert!(tree.entries("up").is_empty());
    }

    #[test]
    fn entries_are_sorted_and_typed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("b"), "").unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        let tree = SourceTree::open(directory.path()).unwrap();
        let names: Vec<_> = tree
            .entries("")
            .into_iter()
            .map(|entry| (entry.name, entry.kind))
            .collect();
        assert_eq!(
            names,
            [
                ("a".to_owned(), EntryKind::Directory),
                ("b".to_owned(), EntryKind::File)
            ]
        );
    }
}
