//! One entry of a tar, written into the confined tree.

use std::{
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use tar::{Entry, EntryType};

use super::{
    Owners, Rules, UnpackError, clean_path,
    confined::{ConfinedTree, file_type},
    whiteout::{self, Whiteout},
};

const XATTR: &str = "SCHILY.xattr.";
/// What may be set: file capabilities and users' own notes. `trusted.overlay.*` from an archive would steer our overlays.
const XATTRS_KEPT: [&str; 2] = ["security.capability", "user."];

pub(super) struct EntryWriter<'r> {
    tree: ConfinedTree,
    rules: &'r Rules,
    /// Set last: filling a directory changes its time.
    directory_times: Vec<(PathBuf, Timespec)>,
}

/// What the header says beside the content.
struct Attributes {
    mode: Mode,
    owner: (Uid, Gid),
    time: Timespec,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl<'r> EntryWriter<'r> {
    pub(super) fn new(tree: ConfinedTree, rules: &'r Rules) -> Self {
        Self {
            tree,
            rules,
            directory_times: Vec::new(),
        }
    }

    pub(super) fn write<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), UnpackError> {
        let original = entry.path().map_err(UnpackError::Archive)?.into_owned();
        let kind = entry.header().entry_type();
        let Some(path) = clean_path(&original, self.rules.strip_components)? else {
            return self.write_root(entry, kind);
        };
        if self.rules.whiteouts {
            match whiteout::read(&path)? {
                Some(Whiteout::Name(name)) => return whiteout::write_name(&mut self.tree, &path, &name),
                Some(Whiteout::Opaque) => {
                    let parent = path.parent().unwrap_or(Path::new("")).to_owned();
                    return whiteout::write_opaque(&mut self.tree, &parent);
                }
                Some(Whiteout::Ignored) => return Ok(()),
                None => {}
            }
        }
        let attributes = self.attributes(entry)?;
        self.write_kind(entry, kind, &path, &attributes)
    }

    fn write_kind<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        kind: EntryType,
        path: &Path,
        attributes: &Attributes,
    ) -> Result<(), UnpackError> {
        match kind {
            EntryType::Directory => self.directory(path, attributes),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(entry, path, attributes)
            }
            EntryType::Link => self.hard_link(entry, path),
            EntryType::Symlink => self.symbolic_link(entry, path, attributes),
            EntryType::Char => self.node(entry, path, FileType::CharacterDevice, attributes),
            EntryType::Block => self.node(entry, path, FileType::BlockDevice, attributes),
            EntryType::Fifo => self.node(entry, path, FileType::Fifo, attributes),
            // Extended headers are read by the tar crate; what is left of them here is global notes.
            EntryType::XGlobalHeader => Ok(()),
            _ => Err(UnpackError::refused(path, "is of an unknown type")),
        }
    }

    /// The entry for the root itself: its mode and owner count, it is there already.
    fn write_root<R: Read>(&mut self, entry: &mut Entry<'_, R>, kind: EntryType) -> Result<(), UnpackError> {
        if kind != EntryType::Directory || self.rules.strip_components > 0 {
            return Ok(());
        }
        let attributes = self.attributes(entry)?;
        let root = self.tree.directory(Path::new(""))?;
        apply(root.as_fd(), &attributes)
            .map_err(|error| UnpackError::file("set the owner of", Path::new("/"), error))
    }

    /// Sets the times of directories, deepest and latest first.
    pub(super) fn finish(mut self) -> Result<(), UnpackError> {
        for (path, time) in std::mem::take(&mut self.directory_times).into_iter().rev() {
            let is_directory = self
                .tree
                .status(&path)?
                .is_some_and(|status| file_type(&status) == FileType::Directory);
            if is_directory {
                let (parent, name) = self.tree.parent(&path)?;
                set_time(parent, name, time)
                    .map_err(|error| UnpackError::file("set the time of", &path, error))?;
            }
        }
        Ok(())
    }

    // === kinds ===

    fn directory(&mut self, path: &Path, attributes: &Attributes) -> Result<(), UnpackError> {
        let existing = self.tree.status(path)?;
        let kind = existing.as_ref().map(file_type);
        let was_whiteout = self.rules.whiteouts && existing.as_ref().is_some_and(whiteout::is_whiteout);
        if kind == Some(FileType::Symlink)
            && self.rules.keep_directory_links
            && self.tree.leads_to_directory(path)
        {
            return Ok(());
        }
        if kind != Some(FileType::Directory) {
            self.clear(path)?;
            let (parent, name) = self.tree.parent(path)?;
            rustix::fs::mkdirat(parent, name, Mode::from(0o700))
                .map_err(|error| UnpackError::file("create the directory", path, error))?;
        }
        let time = attributes.time;
        let directory = self.tree.directory(path)?;
        apply(directory.as_fd(), attributes)
            .map_err(|error| UnpackError::file("set the owner of", path, error))?;
        if was_whiteout {
            whiteout::write_opaque(&mut self.tree, path)?;
        }
        self.directory_times.push((path.to_owned(), time));
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        path: &Path,
        attributes: &Attributes,
    ) -> Result<(), UnpackError> {
        let mut file = std::fs::File::from(self.create(path)?);
        copy(entry, &mut file, path)?;
        apply(file.as_fd(), attributes)
            .and_then(|()| set_open_time(file.as_fd(), attributes.time))
            .map_err(|error| UnpackError::file("set the owner of", path, error))
    }

    /// A new, empty file in place of whatever was there.
    fn create(&mut self, path: &Path) -> Result<OwnedFd, UnpackError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (parent, name) = self.tree.parent(path)?;
        let created = match rustix::fs::openat(parent, name, flags, Mode::from(0o600)) {
            Err(rustix::io::Errno::EXIST) => {
                self.tree.remove(path)?;
                let (parent, name) = self.tree.parent(path)?;
                rustix::fs::openat(parent, name, flags, Mode::from(0o600))
            }
            other => other,
        };
        created.map_err(|error| UnpackError::file("create", path, error))
    }

    fn hard_link<R: Read>(&mut self, entry: &Entry<'_, R>, path: &Path) -> Result<(), UnpackError> {
        let target = link_target(entry, path)?;
        let Some(target) = clean_path(&target, self.rules.strip_components)? else {
            return Err(UnpackError::refused(path, "is a hard link to a directory"));
        };
        if target == path {
            return Ok(());
        }
        self.clear(path)?;
        let (target_parent, target_name) = self.tree.parent(&target)?;
        let target_parent = target_parent
            .try_clone_to_owned()
            .map_err(|error| UnpackError::file("open the directory of", &target, error))?;
        let (parent, name) = self.tree.parent(path)?;
        rustix::fs::linkat(target_parent, target_name, parent, name, AtFlags::empty())
            .map_err(|error| UnpackError::file("link", path, error))
    }

    fn symbolic_link<R: Read>(
        &mut self,
        entry: &Entry<'_, R>,
        path: &Path,
        attributes: &Attributes,
    ) -> Result<(), UnpackError> {
        let target = link_target(entry, path)?;
        self.clear(path)?;
        let (parent, name) = self.tree.parent(path)?;
        let (user, group) = attributes.owner;
        rustix::fs::symlinkat(&target, parent, name)
            .and_then(|()| {
                rustix::fs::chownat(parent, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
            })
            .map_err(io::Error::from)
            .and_then(|()| set_time(parent, name, attributes.time))
            .map_err(|error| UnpackError::file("link", path, error))
    }

    fn node<R: Read>(
        &mut self,
        entry: &Entry<'_, R>,
        path: &Path,
        kind: FileType,
        attributes: &Attributes,
    ) -> Result<(), UnpackError> {
        if kind != FileType::Fifo && !self.rules.devices {
            return Err(UnpackError::refused(path, "is a device"));
        }
        let number = |part: io::Result<Option<u32>>| part.ok().flatten().unwrap_or(0);
        let header = entry.header();
        let device = match kind {
            FileType::Fifo => 0,
            _ => rustix::fs::makedev(number(header.device_major()), number(header.device_minor())),
        };
        self.clear(path)?;
        let (parent, name) = self.tree.parent(path)?;
        let (user, group) = attributes.owner;
        rustix::fs::mknodat(parent, name, kind, attributes.mode, device)
            .and_then(|()| {
                rustix::fs::chownat(parent, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
            })
            .and_then(|()| rustix::fs::chmodat(parent, name, attributes.mode, AtFlags::empty()))
            .map_err(io::Error::from)
            .and_then(|()| set_time(parent, name, attributes.time))
            .map_err(|error| UnpackError::file("create the node", path, error))
    }

    /// Removes what is at `path`, if anything.
    fn clear(&mut self, path: &Path) -> Result<(), UnpackError> {
        match self.tree.status(path)? {
            Some(_) => self.tree.remove(path),
            None => Ok(()),
        }
    }

    fn attributes<R: Read>(&self, entry: &mut Entry<'_, R>) -> Result<Attributes, UnpackError> {
        let header = entry.header();
        // Some writers leave fields empty; everybody reads that as zero.
        let mode = header.mode().unwrap_or(0) & 0o7777;
        let time = i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(i64::MAX);
        let from_archive = self.rules.owners == Owners::Archive;
        let id = |value: io::Result<u64>| u32::try_from(value.unwrap_or(0)).unwrap_or(0);
        let (user, group) = if from_archive {
            (id(header.uid()), id(header.gid()))
        } else {
            (0, 0)
        };
        let (user, group) = if user == u32::MAX || group == u32::MAX {
            (0, 0)
        } else {
            (user, group)
        };
        let mode = if from_archive { mode } else { mode & 0o0777 };
        Ok(Attributes {
            mode: Mode::from(mode),
            owner: (Uid::from_raw(user), Gid::from_raw(group)),
            time: Timespec {
                tv_sec: time,
                tv_nsec: 0,
            },
            xattrs: if from_archive { xattrs(entry)? } else { Vec::new() },
        })
    }
}

/// The extended attributes to keep.
fn xattrs<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<(String, Vec<u8>)>, UnpackError> {
    let Some(extensions) = entry.pax_extensions().map_err(UnpackError::Archive)? else {
        return Ok(Vec::new());
    };
    let mut kept = Vec::new();
    for extension in extensions {
        let extension = extension.map_err(UnpackError::Archive)?;
        let name = extension.key().ok().and_then(|key| key.strip_prefix(XATTR));
        if let Some(name) = name.filter(|name| XATTRS_KEPT.iter().any(|kept| name.starts_with(kept))) {
            kept.push((name.to_owned(), extension.value_bytes().to_vec()));
        }
    }
    Ok(kept)
}

fn link_target<R: Read>(entry: &Entry<'_, R>, path: &Path) -> Result<PathBuf, UnpackError> {
    match entry.link_name().map_err(UnpackError::Archive)? {
        Some(target) if !target.as_os_str().is_empty() => Ok(target.into_owned()),
        _ => Err(UnpackError::refused(path, "is a link without a target")),
    }
}

/// Tells a failed read of the archive from a failed write of the file.
fn copy(from: &mut impl Read, to: &mut impl io::Write, path: &Path) -> Result<(), UnpackError> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(UnpackError::reading(error)),
        };
        to.write_all(&buffer[..length])
            .map_err(|error| UnpackError::file("write", path, error))?;
    }
}

/// Owner, then mode, then attributes: a change of owner clears set-user-id bits and capabilities.
fn apply(file: rustix::fd::BorrowedFd<'_>, attributes: &Attributes) -> io::Result<()> {
    let (user, group) = attributes.owner;
    rustix::fs::fchown(file, Some(user), Some(group))?;
    rustix::fs::fchmod(file, attributes.mode)?;
    for (name, value) in &attributes.xattrs {
        rustix::fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty())?;
    }
    Ok(())
}

fn set_open_time(file: rustix::fd::BorrowedFd<'_>, time: Timespec) -> io::Result<()> {
    Ok(rustix::fs::futimens(
        file,
        &Timestamps {
            last_access: time,
            last_modification: time,
        },
    )?)
}

fn set_time(parent: rustix::fd::BorrowedFd<'_>, name: &std::ffi::OsStr, time: Timespec) -> io::Result<()> {
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(rustix::fs::utimensat(
        parent,
        name,
        &times,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}
