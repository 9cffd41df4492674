//! Moves the owners of a tree in place.
//!
//! What is in the tree was written by an instance: paths may be longer than the kernel takes in one piece, links may lead anywhere. So
//! every step is one name below an open directory, and no link is followed.

use std::{
    ffi::{CStr, CString},
    io,
    os::{fd::BorrowedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags, chmodat, chownat, lgetxattr, lsetxattr,
        openat, statat,
    },
    io::Errno,
};

use super::{
    Block, attributes,
    directory::{self, through},
};

/// More than any build has; a tree without end is the instance's fault.
const ENTRIES_MAX: u64 = 4_000_000;

/// One descriptor is open per level.
const DEPTH_MAX: u32 = 256;

/// About 5 µs per file are needed.
const DEADLINE: Duration = Duration::from_mins(10);

/// The ids that a chown must not lose with it.
const SET_ID: u32 = 0o6000;

const CAPABILITY: &CStr = c"security.capability";

/// A capability attribute is 24 bytes.
const CAPABILITY_BYTES_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToHost,
    ToInside,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot change the file owners below {}", tree.display())]
pub struct MoveError {
    tree: PathBuf,
    #[source]
    source: io::Error,
}

/// Moves the tree itself and everything in it. Blocks; a few microseconds per file.
pub fn move_tree(tree: &Path, block: Block, direction: Direction) -> Result<(), MoveError> {
    let failed = |source| MoveError {
        tree: tree.to_owned(),
        source,
    };
    let mut mover = Mover {
        block,
        direction,
        entries_left: ENTRIES_MAX,
        deadline: Instant::now() + DEADLINE,
    };
    mover.begin(tree).map_err(failed)
}

struct Mover {
    block: Block,
    direction: Direction,
    entries_left: u64,
    deadline: Instant,
}

impl Mover {
    fn begin(&mut self, tree: &Path) -> io::Result<()> {
        let (Some(parent), Some(name)) = (tree.parent(), tree.file_name()) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the tree is the root of the host",
            ));
        };
        let parent = rustix::fs::open(parent, directory::flags() & !OFlags::NOFOLLOW, Mode::empty())?;
        self.entry(
            rustix::fd::AsFd::as_fd(&parent),
            &CString::new(name.as_bytes())?,
            0,
        )
    }

    /// A directory after what is in it.
    fn entry(&mut self, parent: BorrowedFd<'_>, name: &CStr, depth: u32) -> io::Result<()> {
        self.spend(depth)?;
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let directory = openat(parent, name, directory::flags(), Mode::empty())?;
            let directory = rustix::fd::AsFd::as_fd(&directory);
            for name in directory::names(directory)? {
                self.entry(directory, &name, depth + 1)?;
            }
        }
        self.change(parent, name, &stat)
    }

    fn spend(&mut self, depth: u32) -> io::Result<()> {
        let over = |limit: &str| Err(io::Error::new(io::ErrorKind::QuotaExceeded, limit));
        if depth > DEPTH_MAX {
            return over("the directories are nested more than 256 levels deep");
        }
        let Some(left) = self.entries_left.checked_sub(1) else {
            return over("there are more than 4 million files");
        };
        self.entries_left = left;
        if left % 1024 == 0 && Instant::now() > self.deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// A chown takes set-id bits and capabilities away, so they are put back.
    fn change(&self, parent: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> io::Result<()> {
        let (uid, gid) = (self.shift(stat.st_uid), self.shift(stat.st_gid));
        if (uid, gid) == (stat.st_uid, stat.st_gid) {
            return Ok(());
        }
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let capability = if is_file {
            self.capability(parent, name)?
        } else {
            None
        };
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        if is_file && stat.st_mode & SET_ID != 0 {
            chmodat(parent, name, Mode::from_raw_mode(stat.st_mode), AtFlags::empty())?;
        }
        if let Some(value) = capability {
            lsetxattr(through(parent, name)?, CAPABILITY, &value, XattrFlags::empty())?;
        }
        Ok(())
    }

    fn capability(&self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<Vec<u8>>> {
        let mut value = [0; CAPABILITY_BYTES_MAX];
        match lgetxattr(through(parent, name)?, CAPABILITY, &mut value) {
            Ok(length) => {
                let shift = |id| self.shift(id);
                Ok(attributes::shifted(
                    CAPABILITY.to_bytes(),
                    &value[..length],
                    shift,
                ))
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn shift(&self, id: u32) -> u32 {
        match self.direction {
            Direction::ToHost => self.block.to_host(id),
            Direction::ToInside => self.block.to_inside(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
    };

    use super::*;

    const BASE: u32 = 1_000_000;

    fn owner(path: &Path) -> (u32, u32) {
        let metadata = fs::symlink_metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    }

    /// Owners can be changed by root alone.
    fn can_chown(directory: &Path) -> bool {
        chown(directory, Some(0), Some(0)).is_ok()
    }

    #[test]
    fn a_tree_is_moved_and_back_with_set_id_bits_and_links() {
        let directory = tempfile::tempdir().unwrap();
        if !can_chown(directory.path()) {
            return;
        }
        let tree = directory.path().join("tree");
        let outside = directory.path().join("outside");
        fs::create_dir_all(tree.join("in/deep")).unwrap();
        fs::write(&outside, "").unwrap();
        let program = tree.join("in/program");
        fs::write(&program, "").unwrap();
        chown(&program, Some(7), Some(8)).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
        fs::hard_link(&program, tree.join("again")).unwrap();
        symlink(&outside, tree.join("in/deep/link")).unwrap();
        lchown(tree.join("in/deep/link"), Some(3), Some(3)).unwrap();

        let block = Block::new(BASE);
        for _ in 0..2 {
            move_tree(&tree, block, Direction::ToHost).unwrap();
            assert_eq!(owner(&program), (BASE + 7, BASE + 8));
            assert_eq!(fs::metadata(&program).unwrap().mode() & 0o7777, 0o6755);
            assert_eq!(owner(&tree), (BASE, BASE));
            assert_eq!(owner(&tree.join("in/deep/link")), (BASE + 3, BASE + 3));
            assert_eq!(owner(&outside), (0, 0));
        }
        move_tree(&tree, block, Direction::ToInside).unwrap();
        assert_eq!(owner(&program), (7, 8));
        assert_eq!(fs::metadata(&program).unwrap().mode() & 0o7777, 0o6755);
        assert_eq!(owner(&tree.join("in/deep/link")), (3, 3));
    }

    #[test]
    fn capabilities_stay_with_their_file() {
        let directory = tempfile::tempdir().unwrap();
        if !can_chown(directory.path()) {
            return;
        }
        let program = directory.path().join("program");
        fs::write(&program, "").unwrap();
        let plain: Vec<u8> = [&[1, 0, 0, 2, 0, 4][..], &[0; 14]].concat();
        lsetxattr(&program, CAPABILITY, &plain, XattrFlags::empty()).unwrap();
        let read = || {
            let mut value = [0; CAPABILITY_BYTES_MAX];
            let length = lgetxattr(&program, CAPABILITY, &mut value).unwrap();
            value[..length].to_vec()
        };
        move_tree(directory.path(), Block::new(BASE), Direction::ToHost).unwrap();
        assert_eq!(read()[20..], BASE.to_le_bytes());
        move_tree(directory.path(), Block::new(BASE), Direction::ToInside).unwrap();
        assert_eq!(read(), plain);
    }

    #[test]
    fn a_tree_that_is_too_deep_is_refused_by_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let deep: PathBuf = std::iter::once(directory.path().to_owned())
            .chain((0..300).map(|_| PathBuf::from("d")))
            .collect();
        fs::create_dir_all(deep).unwrap();
        let error = move_tree(directory.path(), Block::new(BASE), Direction::ToHost).unwrap_err();
        assert!(
            error.source.to_string().contains("256 levels"),
            "{}",
            error.source
        );
    }
}
