//! A tree with the owners of a block: the same names, contents, modes, times, hard links and extended attributes; every id another.
//!
//! The image's author chose the tree, so every step is one name below an open directory, and no link is followed.

use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    path::{Path, PathBuf},
};

use mainstay_shim::owners::{
    Block,
    directory::{self, through},
    shifted_attribute,
};
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat,
        chownat, lgetxattr, linkat, llistxattr, lsetxattr, mkdirat, mknodat, openat, readlinkat, seek,
        statat, symlinkat, utimensat,
    },
    io::Errno,
};

use super::budget::Budget;

/// What an overlay takes for "removed": a device with the number 0.
const WHITEOUT: u64 = 0;

/// Names and values of extended attributes: the kernel's own limits.
const ATTRIBUTE_BYTES_MAX: usize = 64 * 1024;

const BLOCK_BYTES: usize = 256 * 1024;

/// Fills the empty directory `to` with the tree `from`, or makes `to` when `from` is a file. Blocks.
pub(super) fn copy(from: &Path, to: &Path, block: Block) -> io::Result<()> {
    let mut copying = Copying {
        block,
        budget: Budget::new(from),
        links: HashMap::new(),
        root: None,
        buffer: vec![0; BLOCK_BYTES],
    };
    copying.begin(from, to)?;
    copying.budget.report("copied");
    Ok(())
}

/// One name on both sides.
#[derive(Clone, Copy)]
struct Pair<'a> {
    from: BorrowedFd<'a>,
    from_name: &'a CStr,
    to: BorrowedFd<'a>,
    to_name: &'a CStr,
}

struct Copying {
    block: Block,
    budget: Budget,
    /// Where the first name of a file with several is, below `root`.
    links: HashMap<(u64, u64), PathBuf>,
    root: Option<OwnedFd>,
    buffer: Vec<u8>,
}

impl Copying {
    fn begin(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_parent, from_name) = split(from)?;
        let (to_parent, to_name) = split(to)?;
        let pair = Pair {
            from: from_parent.as_fd(),
            from_name: &from_name,
            to: to_parent.as_fd(),
            to_name: &to_name,
        };
        let stat = statat(pair.from, pair.from_name, AtFlags::SYMLINK_NOFOLLOW)?;
        if is(&stat, FileType::Directory) {
            self.root = Some(openat(pair.to, pair.to_name, directory::flags(), Mode::empty())?);
            self.directory(pair, &stat, Path::new(""), 0)
        } else {
            self.entry(pair, Path::new(""), 0)
        }
    }

    /// `path` is that of the pair's name below the root.
    fn entry(&mut self, pair: Pair<'_>, path: &Path, depth: u32) -> io::Result<()> {
        self.budget.entry(depth)?;
        let stat = statat(pair.from, pair.from_name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            mkdirat(pair.to, pair.to_name, Mode::RWXU)?;
            return self.directory(pair, &stat, path, depth);
        }
        if stat.st_nlink > 1 && self.linked(pair, &stat, path)? {
            return Ok(());
        }
        match kind {
            FileType::RegularFile => self.file(pair, &stat)?,
            FileType::Symlink => symlinkat(
                readlinkat(pair.from, pair.from_name, Vec::new())?,
                pair.to,
                pair.to_name,
            )?,
            _ => mknodat(pair.to, pair.to_name, kind, Mode::RUSR, stat.st_rdev)?,
        }
        self.describe(pair, &stat)
    }

    /// Its own attributes last: a file that is put into it changes its time.
    fn directory(&mut self, pair: Pair<'_>, stat: &Stat, path: &Path, depth: u32) -> io::Result<()> {
        let from = openat(pair.from, pair.from_name, directory::flags(), Mode::empty())?;
        let to = openat(pair.to, pair.to_name, directory::flags(), Mode::empty())?;
        for name in directory::names(from.as_fd())? {
            let inner = Pair {
                from: from.as_fd(),
                from_name: &name,
                to: to.as_fd(),
                to_name: &name,
            };
            let below = path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
            self.entry(inner, &below, depth + 1)?;
        }
        self.describe(pair, stat)
    }

    /// Whether the file was copied under another name, which it now shares.
    fn linked(&mut self, pair: Pair<'_>, stat: &Stat, path: &Path) -> io::Result<bool> {
        let (Some(root), Some(first)) = (&self.root, self.links.get(&(stat.st_dev, stat.st_ino))) else {
            self.links.insert((stat.st_dev, stat.st_ino), path.to_owned());
            return Ok(false);
        };
        linkat(root, first, pair.to, pair.to_name, AtFlags::empty())?;
        Ok(true)
    }

    fn file(&mut self, pair: Pair<'_>, stat: &Stat) -> io::Result<()> {
        let from = openat(
            pair.from,
            pair.from_name,
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let to = openat(
            pair.to,
            pair.to_name,
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )?;
        let (from, to) = (File::from(from), File::from(to));
        let bytes = u64::try_from(stat.st_size).unwrap_or(0);
        let mut position = 0;
        while position < bytes {
            let start = match seek(&from, SeekFrom::Data(position)) {
                Ok(start) => start,
                // Only a hole is left.
                Err(Errno::NXIO) => break,
                Err(error) => return Err(error.into()),
            };
            let end = seek(&from, SeekFrom::Hole(start))?;
            position = self.extent(&from, &to, start, end)?;
        }
        to.set_len(bytes)
    }

    /// Copies what lies between two holes; where it ended.
    fn extent(&mut self, from: &File, to: &File, start: u64, end: u64) -> io::Result<u64> {
        let mut position = start;
        while position < end {
            let wanted = usize::try_from(end - position)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            let count = from.read_at(&mut self.buffer[..wanted], position)?;
            if count == 0 {
                break;
            }
            self.budget.write(count as u64, to.as_fd())?;
            to.write_all_at(&self.buffer[..count], position)?;
            position += count as u64;
        }
        Ok(end)
    }

    /// Owner before mode, and both before attributes: a chown takes set-id bits and capabilities away.
    fn describe(&self, pair: Pair<'_>, stat: &Stat) -> io::Result<()> {
        let shift = |id| self.block.to_host(id);
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        // No user of an instance may own a device of the host, wherever it lies.
        if !is_device || stat.st_rdev == WHITEOUT {
            let (uid, gid) = (
                Uid::from_raw(shift(stat.st_uid)),
                Gid::from_raw(shift(stat.st_gid)),
            );
            chownat(
                pair.to,
                pair.to_name,
                Some(uid),
                Some(gid),
                AtFlags::SYMLINK_NOFOLLOW,
            )?;
        }
        if kind != FileType::Symlink {
            chmodat(
                pair.to,
                pair.to_name,
                Mode::from_raw_mode(stat.st_mode),
                AtFlags::empty(),
            )?;
        }
        copy_attributes(pair, shift)?;
        let time = |seconds, nanoseconds: u64| Timespec {
            tv_sec: seconds,
            tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
        };
        let times = Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        };
        utimensat(pair.to, pair.to_name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }
}

fn copy_attributes(pair: Pair<'_>, shift: impl Fn(u32) -> u32 + Copy) -> io::Result<()> {
    let from = through(pair.from, pair.from_name)?;
    let to = through(pair.to, pair.to_name)?;
    let mut list = Vec::with_capacity(1024);
    let names = match llistxattr(&from, rustix::buffer::spare_capacity(&mut list)) {
        Ok(_) => list,
        // More than usual.
        Err(Errno::RANGE) => {
            let mut list = Vec::with_capacity(ATTRIBUTE_BYTES_MAX);
            llistxattr(&from, rustix::buffer::spare_capacity(&mut list))?;
            list
        }
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut value = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if !is_kept(name) {
            continue;
        }
        value.clear();
        value.reserve(ATTRIBUTE_BYTES_MAX);
        lgetxattr(&from, name, rustix::buffer::spare_capacity(&mut value))?;
        if let Some(value) = shifted_attribute(name, &value, shift) {
            lsetxattr(&to, name, &value, XattrFlags::empty())?;
        }
    }
    Ok(())
}

/// What belongs to the content. Labels of security modules are given by the host's own policy, and an overlay's note of where a file
/// was copied from is true of the original only.
fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability"
        || name.starts_with(b"user.")
        || name.starts_with(b"system.posix_acl_")
        || (name.starts_with(b"trusted.overlay.") && name != b"trusted.overlay.origin")
}

fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

/// The directory that holds a path's last name, and that name.
fn split(path: &Path) -> io::Result<(OwnedFd, CString)> {
    let path = path
        .canonicalize()
        .or_else(|error| match (path.parent(), path.file_name()) {
            // What is to be made is not there yet.
            (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
            _ => Err(error),
        })?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the root of the host is no layer",
        ));
    };
    let directory = rustix::fs::open(parent, directory::flags(), Mode::empty())?;
    Ok((directory, CString::new(name.as_bytes())?))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, lchown, symlink},
        time::{Duration, SystemTime},
    };

    use rustix::fs::{CWD, makedev};

    use super::*;

    const BASE: u32 = 1_000_000;
    const CAPABILITY: &str = "security.capability";
    const OPAQUE: &str = "trusted.overlay.opaque";

    struct Trees {
        _directory: tempfile::TempDir,
        from: PathBuf,
        to: PathBuf,
    }

    /// `None` where owners cannot be changed.
    fn trees() -> Option<Trees> {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        chown(&from, Some(0), Some(0)).ok()?;
        Some(Trees {
            _directory: directory,
            from,
            to,
        })
    }

    impl Trees {
        fn copy(&self) {
            copy(&self.from, &self.to, Block::new(BASE)).unwrap();
        }
    }

    fn look(path: &Path) -> fs::Metadata {
        fs::symlink_metadata(path).unwrap()
    }

    fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
        let mut value = [0; 256];
        let length = lgetxattr(path, name, &mut value).ok()?;
        Some(value[..length].to_vec())
    }

    #[test]
    fn owners_modes_times_and_contents_are_the_layer_s_own() {
        let Some(trees) = trees() else { return };
        let file = trees.from.join("usr/bin/tool");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "content").unwrap();
        chown(&file, Some(33), Some(34)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o4711)).unwrap();
        fs::set_permissions(&trees.from, fs::Permissions::from_mode(0o1755)).unwrap();
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        File::open(&file).unwrap().set_modified(old).unwrap();
        File::open(trees.from.join("usr"))
            .unwrap()
            .set_modified(old)
            .unwrap();
        chown(trees.from.join("usr"), Some(70_000), Some(0)).unwrap();
        trees.copy();

        let copied = look(&trees.to.join("usr/bin/tool"));
        assert_eq!((copied.uid(), copied.gid()), (BASE + 33, BASE + 34));
        assert_eq!(copied.mode() & 0o7777, 0o4711);
        assert_eq!(copied.modified().unwrap(), old);
        assert_eq!(
            fs::read_to_string(trees.to.join("usr/bin/tool")).unwrap(),
            "content"
        );
        let usr = look(&trees.to.join("usr"));
        assert_eq!(
            (usr.uid(), usr.gid()),
            (70_000, BASE),
            "who is nobody inside stays nobody"
        );
        assert_eq!(usr.modified().unwrap(), old);
        assert_eq!(look(&trees.to).mode() & 0o7777, 0o1755);
        assert_eq!(look(&trees.to).uid(), BASE);
    }

    #[test]
    fn links_stay_links_and_lead_where_they_did() {
        let Some(trees) = trees() else { return };
        let outside = trees.from.with_file_name("outside");
        fs::write(&outside, "").unwrap();
        fs::create_dir(trees.from.join("a")).unwrap();
        fs::write(trees.from.join("a/one"), "x").unwrap();
        fs::hard_link(trees.from.join("a/one"), trees.from.join("two")).unwrap();
        symlink(&outside, trees.from.join("link")).unwrap();
        lchown(trees.from.join("link"), Some(5), Some(5)).unwrap();
        trees.copy();

        let (one, two) = (look(&trees.to.join("a/one")), look(&trees.to.join("two")));
        assert_eq!((one.ino(), one.nlink()), (two.ino(), 2));
        let link = trees.to.join("link");
        assert_eq!(fs::read_link(&link).unwrap(), outside);
        assert_eq!(look(&link).uid(), BASE + 5);
        assert_eq!(look(&outside).uid(), 0);
    }

    #[test]
    fn what_an_overlay_needs_is_kept_and_devices_are_nobody_s() {
        let Some(trees) = trees() else { return };
        let node = |name: &str, kind, device| {
            mknodat(
                CWD,
                trees.from.join(name),
                kind,
                Mode::from_raw_mode(0o600),
                device,
            )
            .unwrap();
        };
        node("gone", FileType::CharacterDevice, makedev(0, 0));
        node("null", FileType::CharacterDevice, makedev(1, 3));
        node("pipe", FileType::Fifo, makedev(0, 0));
        fs::create_dir(trees.from.join("opaque")).unwrap();
        let opaque = trees.from.join("opaque");
        lsetxattr(&opaque, OPAQUE, b"y", XattrFlags::empty()).unwrap();
        lsetxattr(&opaque, "trusted.overlay.origin", b"x", XattrFlags::empty()).unwrap();
        trees.copy();

        let gone = look(&trees.to.join("gone"));
        assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
        assert_eq!(look(&trees.to.join("null")).uid(), 0);
        let pipe = look(&trees.to.join("pipe"));
        assert!(pipe.file_type().is_fifo());
        assert_eq!(pipe.uid(), BASE);
        assert_eq!(attribute(&trees.to.join("opaque"), OPAQUE), Some(b"y".to_vec()));
        assert_eq!(
            attribute(&trees.to.join("opaque"), "trusted.overlay.origin"),
            None
        );
    }

    #[test]
    fn capabilities_count_for_the_instance_s_root_user() {
        let Some(trees) = trees() else { return };
        let program = trees.from.join("ping");
        fs::write(&program, "").unwrap();
        let plain: Vec<u8> = [&[1, 0, 0, 2, 0, 4][..], &[0; 14]].concat();
        lsetxattr(&program, CAPABILITY, &plain, XattrFlags::empty()).unwrap();
        trees.copy();
        let copied = attribute(&trees.to.join("ping"), CAPABILITY).unwrap();
        assert_eq!(copied[4..20], plain[4..]);
        assert_eq!(copied[20..], BASE.to_le_bytes());
    }

    #[test]
    fn holes_stay_holes() {
        let Some(trees) = trees() else { return };
        let file = File::create(trees.from.join("sparse")).unwrap();
        file.set_len(1 << 30).unwrap();
        file.write_all_at(b"middle", 1 << 29).unwrap();
        trees.copy();
        let copied = look(&trees.to.join("sparse"));
        assert_eq!(copied.len(), 1 << 30);
        assert!(copied.blocks() * 512 < 1 << 20);
        let mut middle = [0; 6];
        File::open(trees.to.join("sparse"))
            .unwrap()
            .read_exact_at(&mut middle, 1 << 29)
            .unwrap();
        assert_eq!(&middle, b"middle");
    }

    #[test]
    fn one_file_is_copied_too() {
        let Some(trees) = trees() else { return };
        fs::write(trees.from.join("bundle.pem"), "x").unwrap();
        let to = trees.to.join("0");
        copy(&trees.from.join("bundle.pem"), &to, Block::new(BASE)).unwrap();
        assert_eq!(
            (look(&to).uid(), fs::read_to_string(&to).unwrap()),
            (BASE, "x".to_owned())
        );
    }

    #[test]
    fn a_tree_without_end_is_refused_by_its_limit() {
        let Some(trees) = trees() else { return };
        let deep: PathBuf = std::iter::once(trees.from.clone())
            .chain((0..300).map(|_| PathBuf::from("d")))
            .collect();
        fs::create_dir_all(deep).unwrap();
        let error = copy(&trees.from, &trees.to, Block::new(BASE)).unwrap_err();
        assert!(error.to_string().contains("256 levels"), "{error}");
    }
}
