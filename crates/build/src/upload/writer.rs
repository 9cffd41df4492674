//! Writes an archive's entries below one directory. Links are made last and then looked through: nothing is ever written through a link.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, mkdirat, open, openat2, symlinkat},
    io::Errno,
};
use sha2::{Digest, Sha256};

use super::{UnpackFailure, UploadId, UploadLimits};
use crate::digest::{FieldHash, sha256_of};

/// What was written, by path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Written {
    Directory,
    File { executable: bool, digest: [u8; 32] },
    Symlink { destination: String },
}

#[derive(Debug)]
pub(super) struct Writer {
    root: OwnedFd,
    limits: UploadLimits,
    bytes: u64,
    written: BTreeMap<String, Written>,
}

impl Writer {
    pub(super) fn open(into: &Path, limits: UploadLimits) -> io::Result<Self> {
        let root = open(
            into,
            OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self {
            root,
            limits,
            bytes: 0,
            written: BTreeMap::new(),
        })
    }

    pub(super) fn directory(&mut self, path: &str) -> Result<(), UnpackFailure> {
        let mut reached = String::new();
        for part in path.split('/') {
            if !reached.is_empty() {
                reached.push('/');
            }
            reached.push_str(part);
            match self.written.get(&reached) {
                Some(Written::Directory) => continue,
                Some(_) => {
                    return Err(UnpackFailure::refused(
                        &reached,
                        "a name is either a directory or a file",
                    ));
                }
                None => {}
            }
            self.count_entry(&reached)?;
            let (parent, name) = self.parent_of(&reached)?;
            mkdirat(&parent, name, Mode::from_raw_mode(0o755))
                .map_err(|error| UnpackFailure::Write(error.into()))?;
            self.written.insert(reached.clone(), Written::Directory);
        }
        Ok(())
    }

    /// Takes the content until its end; refuses it as soon as it passes the limit.
    pub(super) fn file(
        &mut self,
        path: &str,
        executable: bool,
        content: impl Read,
    ) -> Result<(), UnpackFailure> {
        self.make_room(path)?;
        let (parent, name) = self.parent_of(path)?;
        let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&parent, name, flags, mode)
            .map_err(|error| UnpackFailure::Write(error.into()))?;
        let digest = self.copy(path, content, File::from(file))?;
        self.written
            .insert(path.to_owned(), Written::File { executable, digest });
        Ok(())
    }

    /// Remembered, and made by [`Self::finish`].
    pub(super) fn symlink(&mut self, path: &str, destination: &[u8]) -> Result<(), UnpackFailure> {
        self.make_room(path)?;
        let destination = std::str::from_utf8(destination)
            .ok()
            .filter(|text| !text.is_empty() && !text.starts_with('/') && !text.contains('\0'));
        let Some(destination) = destination else {
            return Err(UnpackFailure::refused(path, "symbolic links are relative"));
        };
        let destination = destination.to_owned();
        self.written
            .insert(path.to_owned(), Written::Symlink { destination });
        Ok(())
    }

    /// A second name of a file that came before: written as a file of its own.
    pub(super) fn hard_link(&mut self, path: &str, destination: &str) -> Result<(), UnpackFailure> {
        let Some(Written::File { executable, .. }) = self.written.get(destination) else {
            return Err(UnpackFailure::refused(
                path,
                "hard links name a file that came before",
            ));
        };
        let executable = *executable;
        let original = openat2(
            &self.root,
            destination,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )
        .map_err(|error| UnpackFailure::Write(error.into()))?;
        self.file(path, executable, File::from(original))
    }

    /// Makes the links, refuses those that lead out, and gives the id.
    pub(super) fn finish(self) -> Result<UploadId, UnpackFailure> {
        for (path, destination) in self.links() {
            let (parent, name) = self.parent_of(path)?;
            symlinkat(destination, &parent, name).map_err(|error| UnpackFailure::Write(error.into()))?;
        }
        for (path, _) in self.links() {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            match openat2(&self.root, path, flags, Mode::empty(), resolve) {
                Ok(_) | Err(Errno::NOENT) => {}
                Err(Errno::XDEV) => {
                    return Err(UnpackFailure::refused(
                        path,
                        "symbolic links stay inside the upload",
                    ));
                }
                Err(Errno::LOOP) => {
                    return Err(UnpackFailure::refused(
                        path,
                        "symbolic links do not go in circles",
                    ));
                }
                Err(Errno::NOTDIR) => return Err(UnpackFailure::refused(path, "a link goes through a file")),
                Err(error) => return Err(UnpackFailure::Write(error.into())),
            }
        }
        Ok(self.id())
    }

    fn links(&self) -> impl Iterator<Item = (&str, &str)> {
        self.written.iter().filter_map(|(path, written)| match written {
            Written::Symlink { destination } => Some((path.as_str(), destination.as_str())),
            _ => None,
        })
    }

    fn id(&self) -> UploadId {
        let mut hash = FieldHash::default();
        for (path, written) in &self.written {
            match written {
                // Empty directories are not content, as for git.
                Written::Directory => {}
                Written::File { executable, digest } => {
                    hash.field(path)
                        .field(if *executable { "program" } else { "file" })
                        .field(digest);
                }
                Written::Symlink { destination } => {
                    hash.field(path).field("link").field(destination);
                }
            }
        }
        UploadId(hash.hex())
    }

    /// The directory of a path, reached without following any link, and the last name.
    fn parent_of<'a>(&self, path: &'a str) -> Result<(OwnedFd, &'a str), UnpackFailure> {
        let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let parent = openat2(&self.root, directory, flags, Mode::empty(), resolve)
            .map_err(|error| UnpackFailure::Write(error.into()))?;
        Ok((parent, name))
    }

    /// Makes the directories above a new entry; refuses a name that is taken.
    fn make_room(&mut self, path: &str) -> Result<(), UnpackFailure> {
        if self.written.contains_key(path) {
            return Err(UnpackFailure::refused(path, "every name is in the upload once"));
        }
        if let Some((directory, _)) = path.rsplit_once('/') {
            self.directory(directory)?;
        }
        self.count_entry(path)
    }

    fn count_entry(&self, path: &str) -> Result<(), UnpackFailure> {
        if self.written.len() as u64 >= self.limits.entries {
            let rule = format!(
                "an upload holds at most {} files and directories",
                self.limits.entries
            );
            return Err(UnpackFailure::refused(path, rule));
        }
        Ok(())
    }

    fn copy(
        &mut self,
        path: &str,
        mut content: impl Read,
        mut file: File,
    ) -> Result<[u8; 32], UnpackFailure> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = match content.read(&mut buffer) {
                Ok(0) => return Ok(hash.finalize().into()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(UnpackFailure::Unreadable(error.to_string())),
            };
            self.bytes += length as u64;
            if self.bytes > self.limits.bytes {
                let rule = format!("an upload unpacks to at most {} bytes", self.limits.bytes);
                return Err(UnpackFailure::refused(path, rule));
            }
            hash.update(&buffer[..length]);
            file.write_all(&buffer[..length]).map_err(UnpackFailure::Write)?;
        }
    }
}

/// A digest of what is below a directory, made like an upload's id.
pub(crate) fn digest_of_directory(directory: &Path) -> io::Result<String> {
    let mut hash = FieldHash::default();
    for entry in walkdir::WalkDir::new(directory).sort_by_file_name() {
        let entry = entry?;
        let path = entry.path().strip_prefix(directory).unwrap_or(entry.path());
        hash.field(path.to_string_lossy().as_bytes());
        let kind = entry.file_type();
        if kind.is_symlink() {
            hash.field("link")
                .field(std::fs::read_link(entry.path())?.to_string_lossy().as_bytes());
        } else if kind.is_file() {
            let file = File::open(entry.path())?;
            let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata()?);
            hash.field(if mode & 0o111 == 0 { "file" } else { "program" })
                .field(sha256_of(file)?);
        }
    }
    Ok(hash.hex())
}
