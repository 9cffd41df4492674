//! Paths inside the root file system, which the image's author chose: no symbolic link may lead out of it.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, fstat, mkdirat, openat2, statat,
        unlinkat,
    },
    io::Errno,
    mount::{MoveMountFlags, move_mount},
};

use super::CreateError;

/// The mounted root.
#[derive(Debug)]
pub(super) struct Root {
    directory: OwnedFd,
}

/// What a mount point must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PointKind {
    Directory,
    File,
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self, CreateError> {
        let directory = rustix::fs::open(
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(io::Error::from)
        .map_err(CreateError::on_path("open", path))?;
        Ok(Self { directory })
    }

    /// Mounts a detached mount on a path inside, made first where it is missing, owned by `owner`.
    pub(super) fn attach(
        &self,
        mount: &OwnedFd,
        target: &str,
        kind: PointKind,
        owner: u32,
    ) -> Result<(), CreateError> {
        let failed = |operation: &str| CreateError::on(format!("{operation} {target} in the instance"));
        let point = self
            .point(target, kind, owner)
            .map_err(failed("make the mount point"))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(mount, "", &point, "", flags)
            .map_err(io::Error::from)
            .map_err(failed("mount on"))
    }

    /// Replaces a symbolic link by nothing: a link to a file that only exists on a booted system is no mount point.
    pub(super) fn remove_link(&self, target: &str) -> io::Result<()> {
        let path = relative(target)?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(());
        };
        let parent = match self.open_inside(parent, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(parent) => parent,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                Ok(unlinkat(&parent, name, AtFlags::empty())?)
            }
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn point(&self, target: &str, kind: PointKind, owner: u32) -> io::Result<OwnedFd> {
        let path = relative(target)?;
        let directories = match kind {
            PointKind::Directory => path.as_path(),
            PointKind::File => path.parent().unwrap_or(Path::new("")),
        };
        self.make_directories(directories, owner)?;
        if kind == PointKind::File {
            self.make_file(&path, owner)?;
        }
        let point = self.open_inside(&path, OFlags::PATH)?;
        let found = FileType::from_raw_mode(fstat(&point)?.st_mode);
        match (kind, found == FileType::Directory) {
            (PointKind::Directory, false) => Err(io::ErrorKind::NotADirectory.into()),
            (PointKind::File, true) => Err(io::ErrorKind::IsADirectory.into()),
            _ => Ok(point),
        }
    }

    fn make_directories(&self, path: &Path, owner: u32) -> io::Result<()> {
        let mut made = PathBuf::new();
        for component in path.components() {
            let parent = self.open_inside(&made, OFlags::PATH | OFlags::DIRECTORY)?;
            made.push(component);
            match self.open_inside(&made, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(_) => {}
                Err(Errno::NOENT) => {
                    mkdirat(&parent, component.as_os_str(), Mode::from_raw_mode(0o755))?;
                    own(&parent, component.as_os_str(), owner)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn make_file(&self, path: &Path, owner: u32) -> io::Result<()> {
        if self.open_inside(path, OFlags::PATH).is_ok() {
            return Ok(());
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat2(
            &self.directory,
            path,
            flags,
            Mode::from_raw_mode(0o644),
            ResolveFlags::IN_ROOT,
        )?;
        rustix::fs::fchown(&file, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?;
        Ok(())
    }

    fn open_inside(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        openat2(
            &self.directory,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    }
}

fn own(parent: &OwnedFd, name: &std::ffi::OsStr, owner: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
    Ok(chownat(
        parent,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

/// `/a/./b` as `a/b`. A path that steps back is refused: nobody needs it, and it would have two names.
fn relative(target: &str) -> io::Result<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(target).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the path contains `..`",
                ));
            }
        }
    }
    if path.as_os_str().is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path is the root itself",
        ));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn paths_are_taken_as_below_the_root() {
        assert_eq!(relative("/etc/./hosts").unwrap(), Path::new("etc/hosts"));
        relative("/a/../../etc").unwrap_err();
        relative("/").unwrap_err();
    }

    #[test]
    fn links_of_the_image_do_not_lead_out_of_it() {
        let outside = tempfile::tempdir().unwrap();
        let image = tempfile::tempdir().unwrap();
        symlink(outside.path(), image.path().join("etc")).unwrap();
        let root = Root::open(image.path()).unwrap();
        let owner = rustix::process::getuid().as_raw();
        // The absolute link is taken as below the image's root, where its target does not exist.
        assert!(root.point("/etc/hosts", PointKind::File, owner).is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn missing_mount_points_are_made_with_their_parents() {
        let image = tempfile::tempdir().unwrap();
        let root = Root::open(image.path()).unwrap();
        let owner = rustix::process::getuid().as_raw();
        root.point("/var/cache/a", PointKind::Directory, owner).unwrap();
        root.point("/opt/b/file", PointKind::File, owner).unwrap();
        assert!(image.path().join("var/cache/a").is_dir());
        assert!(image.path().join("opt/b/file").is_file());
        assert!(root.point("/opt/b", PointKind::File, owner).is_err());
    }

    #[test]
    fn only_a_link_is_removed() {
        let image = tempfile::tempdir().unwrap();
        let root = Root::open(image.path()).unwrap();
        fs::write(image.path().join("hosts"), "kept").unwrap();
        symlink("/run/nowhere", image.path().join("resolv.conf")).unwrap();
        root.remove_link("/hosts").unwrap();
        root.remove_link("/resolv.conf").unwrap();
        root.remove_link("/missing/file").unwrap();
        assert!(image.path().join("hosts").exists());
        assert!(!image.path().join("resolv.conf").is_symlink());
    }
}
