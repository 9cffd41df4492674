//! Files below one directory. The kernel itself refuses every way out of it.

use std::{
    fs::File,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2},
    io::Errno,
};

use crate::{proxy::refusal::Refusal, report};

#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    /// Opened with the first request and kept, so that no rename of a parent changes what is served.
    directory: OnceLock<OwnedFd>,
}

#[derive(Debug)]
pub struct OpenFile {
    pub file: File,
    pub bytes: u64,
    pub inode: u64,
    /// When the inode last changed. The modification time would not do: reproducible builds give all files the same one.
    pub changed_seconds: u64,
    pub changed_nanoseconds: u64,
}

#[derive(Debug)]
pub enum Lookup {
    File(OpenFile),
    Directory,
    Missing,
}

impl Files {
    pub fn below(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            directory: OnceLock::new(),
        }
    }

    /// `name` is relative. Symbolic links are followed as long as they stay below the directory.
    pub fn open(&self, name: &str) -> Result<Lookup, Refusal> {
        // Opening a pipe must not wait for its other end.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let directory = self.directory()?;
        match openat2(
            directory,
            if name.is_empty() { "." } else { name },
            flags,
            Mode::empty(),
            resolve,
        ) {
            Ok(file) => self.examine(file),
            Err(error) => self.explain(name, error),
        }
    }

    fn directory(&self) -> Result<&OwnedFd, Refusal> {
        if let Some(directory) = self.directory.get() {
            return Ok(directory);
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let directory = open(&self.root, flags, Mode::empty()).map_err(|error| self.unreadable("", error))?;
        Ok(self.directory.get_or_init(|| directory))
    }

    fn examine(&self, file: OwnedFd) -> Result<Lookup, Refusal> {
        let stat = fstat(&file).map_err(|error| self.unreadable("", error))?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Lookup::File(OpenFile {
                file: file.into(),
                bytes: stat.st_size.cast_unsigned(),
                inode: stat.st_ino,
                changed_seconds: stat.st_ctime.cast_unsigned(),
                changed_nanoseconds: stat.st_ctime_nsec,
            }),
            FileType::Directory => Lookup::Directory,
            _ => Lookup::Missing,
        })
    }

    fn explain(&self, name: &str, error: Errno) -> Result<Lookup, Refusal> {
        match error {
            // XDEV: the name leads out of the directory.
            Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG | Errno::INVAL => {
                Ok(Lookup::Missing)
            }
            error => Err(self.unreadable(name, error)),
        }
    }

    fn unreadable(&self, name: &str, error: Errno) -> Refusal {
        report::line(format_args!(
            "cannot read {}: {error}",
            self.root.join(name).display()
        ));
        Refusal::StaticUnreadable
    }
}

/// The relative name that a path means, decoded; `None` where no file can have it.
pub fn file_name(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.trim_start_matches('/').as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        let byte = match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                rest = behind;
                let digit = |digit: u8| char::from(digit).to_digit(16);
                let byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
                if matches!(byte, b'/' | 0) {
                    return None;
                }
                byte
            }
            (b'%', _) => return None,
            (byte, _) => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_once() {
        let cases = [
            ("/", Some("")),
            ("/a%20b.txt", Some("a b.txt")),
            ("/caf%C3%A9/", Some("café/")),
            ("/a%2Fb", None),
            ("/a%00", None),
            ("/a%", None),
            ("/a%zz", None),
            ("/%FF", None),
            ("/a%252Fb", Some("a%2Fb")),
        ];
        for (path, name) in cases {
            assert_eq!(file_name(path).as_deref(), name, "{path}");
        }
    }

    #[test]
    fn no_link_leads_out() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("site");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(place.path().join("secret"), "secret").unwrap();
        std::fs::write(root.join("page.html"), "page").unwrap();
        for (target, link) in [
            (place.path().join("secret"), "absolute"),
            ("../secret".into(), "relative"),
            ("..".into(), "parent"),
            ("page.html".into(), "inside"),
            ("/proc/self/environ".into(), "proc"),
        ] {
            std::os::unix::fs::symlink(target, root.join(link)).unwrap();
        }
        let files = Files::below(&root);
        for name in [
            "absolute",
            "relative",
            "parent/secret",
            "proc",
            "../secret",
            "sub/../../secret",
            "nope",
            "page.html/",
        ] {
            assert!(matches!(files.open(name), Ok(Lookup::Missing)), "{name}");
        }
        for name in ["page.html", "inside"] {
            assert!(
                matches!(files.open(name), Ok(Lookup::File(OpenFile { bytes: 4, .. }))),
                "{name}"
            );
        }
        assert!(matches!(files.open("sub"), Ok(Lookup::Directory)));
    }

    #[test]
    fn a_missing_directory_is_a_fault_and_no_missing_page() {
        assert_eq!(
            Files::below(Path::new("/nonexistent-site"))
                .open("a")
                .unwrap_err(),
            Refusal::StaticUnreadable
        );
    }
}
