//! Uploads: honest archives are unpacked, hostile ones leave nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    fs::{self, File},
    io::{Read, Seek, Write},
    path::PathBuf,
};

use flate2::{Compression, write::GzEncoder};
use mainstay_build::upload::{UploadId, UploadLimits, unpack};
use mainstay_diagnosis::facts::BuildFault;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

/// An archive in the making, and a place to unpack it to.
struct Upload {
    directory: TempDir,
    tar: Builder<Vec<u8>>,
}

impl Upload {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            tar: Builder::new(Vec::new()),
        }
    }

    /// Names are written as they are: `Header::set_path` would refuse the hostile ones.
    fn entry(mut self, name: &str, kind: EntryType, link: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        header.set_mtime(self.directory.path().as_os_str().len() as u64);
        header.set_cksum();
        self.tar.append(&header, content).unwrap();
        self
    }

    fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(name, EntryType::Regular, "", content)
    }

    fn symlink(self, name: &str, destination: &str) -> Self {
        self.entry(name, EntryType::Symlink, destination, &[])
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("target")
    }

    fn unpack(self, limits: &UploadLimits) -> (TempDir, Result<UploadId, BuildFault>) {
        let target = self.target();
        let mut encoder = GzEncoder::new(tempfile::tempfile().unwrap(), Compression::fast());
        encoder.write_all(&self.tar.into_inner().unwrap()).unwrap();
        let mut file = encoder.finish().unwrap();
        file.rewind().unwrap();
        let result = unpack(file, &target, limits);
        (self.directory, result)
    }

    fn refused(self, limits: &UploadLimits) -> (String, String) {
        let target = self.target();
        let (directory, result) = self.unpack(limits);
        assert!(!target.exists(), "a refused upload leaves nothing");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        match result {
            Err(BuildFault::SourceRefused { path, rule }) => (path, rule),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn files_directories_and_links_are_unpacked() {
    let upload = Upload::new()
        .file("./app/index.js", b"1")
        .symlink("app/link.js", "index.js")
        .entry("app/second.js", EntryType::Link, "app/index.js", &[])
        .file(".git/config", b"secret");
    let (directory, result) = upload.unpack(&UploadLimits::default());
    result.unwrap();
    let target = directory.path().join("target");
    assert_eq!(fs::read_to_string(target.join("app/link.js")).unwrap(), "1");
    assert_eq!(fs::read_to_string(target.join("app/second.js")).unwrap(), "1");
    assert!(!target.join(".git").exists());
}

#[test]
fn the_id_is_the_content_not_the_archive() {
    let id = |upload: Upload| upload.unpack(&UploadLimits::default()).1.unwrap();
    let one = id(Upload::new().file("a", b"1").file("b", b"2"));
    let same = id(Upload::new().file("./b", b"2").file("./a", b"1"));
    let other = id(Upload::new().file("a", b"1").file("b", b"3"));
    assert_eq!(one, same);
    assert_ne!(one, other);
}

#[test]
fn names_that_lead_out_are_refused() {
    let limits = UploadLimits::default();
    for name in ["../evil", "/etc/evil", "a/../../evil"] {
        let (path, rule) = Upload::new().file("fine", b"").file(name, b"x").refused(&limits);
        assert_eq!(path, name);
        assert!(!rule.is_empty());
    }
}

#[test]
fn links_that_lead_out_are_refused() {
    let limits = UploadLimits::default();
    Upload::new().symlink("a", "/etc/passwd").refused(&limits);
    Upload::new().symlink("a", "../..").refused(&limits);
    // Each link stays inside by its words alone; together they do not.
    let chained = Upload::new()
        .symlink("deep/up", "..")
        .symlink("out", "deep/up/..");
    assert_eq!(chained.refused(&limits).0, "out");
    Upload::new().symlink("a", "b").symlink("b", "a").refused(&limits);
}

#[test]
fn nothing_is_written_through_a_link() {
    let upload = Upload::new().symlink("door", "..").file("door/evil", b"x");
    let (path, _) = upload.refused(&UploadLimits::default());
    assert_eq!(path, "door");
    let upload = Upload::new().entry("passwd", EntryType::Link, "/etc/passwd", &[]);
    upload.refused(&UploadLimits::default());
}

#[test]
fn devices_are_refused() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        Upload::new()
            .entry("device", kind, "", &[])
            .refused(&UploadLimits::default());
    }
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let limits = UploadLimits {
        bytes: 1 << 20,
        entries: 10,
    };
    let zeros = vec![0; 8 << 20];
    let (path, _) = Upload::new().file("zeros", &zeros).refused(&limits);
    assert_eq!(path, "zeros");
    let many = (0..20).fold(Upload::new(), |upload, index| {
        upload.file(&format!("f{index}"), b"")
    });
    many.refused(&limits);
}

#[test]
fn zip_archives_are_taken_too() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let mut writer = zip::ZipWriter::new(tempfile::tempfile().unwrap());
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    writer.start_file("bin/run", options).unwrap();
    writer.write_all(b"#!/bin/sh\n").unwrap();
    let mut file = writer.finish().unwrap();
    file.rewind().unwrap();
    unpack(file, &target, &UploadLimits::default()).unwrap();
    let mut text = String::new();
    File::open(target.join("bin/run"))
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "#!/bin/sh\n");
}

#[test]
fn what_is_no_archive_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"hello, this is no archive").unwrap();
    file.rewind().unwrap();
    let result = unpack(file, &directory.path().join("t"), &UploadLimits::default());
    assert!(
        matches!(result, Err(BuildFault::SourceRefused { .. })),
        "{result:?}"
    );
}
