//! A directory that cannot be left: paths are resolved by `openat2` with `RESOLVE_IN_ROOT`, so that absolute symbolic links and `..`
//! inside of it mean what they mean in a container, never a place of this machine.

use std::{
    ffi::OsStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat},
    io::Errno,
};

use super::UnpackError;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

#[derive(Debug)]
pub(super) struct ConfinedTree {
    root: OwnedFd,
    /// The directory used last: archives list a directory's files one after the other.
    last: Option<(PathBuf, OwnedFd)>,
}

impl ConfinedTree {
    pub(super) fn open(directory: &Path) -> Result<Self, UnpackError> {
        let root = rustix::fs::openat(CWD, directory, DIRECTORY, Mode::empty())
            .map_err(|error| UnpackError::file("open", directory, error))?;
        Ok(Self { root, last: None })
    }

    /// The directory that holds (or will hold) `path`, made with its parents where it is missing, and the last name of `path`.
    pub(super) fn parent<'p>(&mut self, path: &'p Path) -> Result<(BorrowedFd<'_>, &'p OsStr), UnpackError> {
        let name = path.file_name().expect("paths are cleaned before they get here");
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.directory(parent)?, name))
    }

    /// A directory of the tree, made with its parents where it is missing.
    pub(super) fn directory(&mut self, path: &Path) -> Result<BorrowedFd<'_>, UnpackError> {
        if path.as_os_str().is_empty() {
            return Ok(self.root.as_fd());
        }
        if self.last.as_ref().is_none_or(|(known, _)| known != path) {
            let directory = match self.resolve(path) {
                Err(Errno::NOENT) => self.make_directories(path)?,
                other => other.map_err(|error| UnpackError::file("open the directory", path, error))?,
            };
            self.last = Some((path.to_owned(), directory));
        }
        let (_, directory) = self.last.as_ref().expect("it was set above");
        Ok(directory.as_fd())
    }

    fn make_directories(&self, path: &Path) -> Result<OwnedFd, UnpackError> {
        let mut here = PathBuf::new();
        let mut directory = self
            .resolve(Path::new("."))
            .map_err(|error| UnpackError::file("open the directory", path, error))?;
        for component in path.components() {
            here.push(component);
            directory = match self.resolve(&here) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&directory, component.as_os_str(), Mode::from(0o755)).and_then(|()| {
                        rustix::fs::openat(&directory, component.as_os_str(), DIRECTORY, Mode::empty())
                    })
                }
                other => other,
            }
            .map_err(|error| UnpackError::file("create the directory", &here, error))?;
        }
        Ok(directory)
    }

    /// Opens a directory, following links inside of the tree.
    fn resolve(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        loop {
            let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), how) {
                // A rename elsewhere on the machine while the kernel walked up: it asks to try again (openat2(2)).
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// True when `path`, links followed, is a directory.
    pub(super) fn leads_to_directory(&self, path: &Path) -> bool {
        self.resolve(path).is_ok()
    }

    /// What is at `path`, a link itself and not where it leads. `None`: nothing.
    pub(super) fn status(&mut self, path: &Path) -> Result<Option<Stat>, UnpackError> {
        let (parent, name) = self.parent(path)?;
        match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => Ok(Some(status)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(UnpackError::file("look at", path, error)),
        }
    }

    /// Removes whatever is at `path`.
    pub(super) fn remove(&mut self, path: &Path) -> Result<(), UnpackError> {
        let (parent, name) = self.parent(path)?;
        remove_at(parent, name).map_err(|error| UnpackError::file("replace", path, error))?;
        self.last = None;
        Ok(())
    }
}

/// Removes a name of a directory with everything below it; never follows a link.
fn remove_at(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let directory = rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())?;
    for child in names(&directory)? {
        remove_at(directory.as_fd(), &child)?;
    }
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

fn names(directory: &OwnedFd) -> io::Result<Vec<std::ffi::OsString>> {
    use std::os::unix::ffi::OsStrExt;
    let mut buffer = Vec::with_capacity(8192);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// The type of a file by its status.
pub(super) fn file_type(status: &Stat) -> FileType {
    FileType::from_raw_mode(status.st_mode)
}
