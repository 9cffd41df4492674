//! Unpacking layers: what an archive may say, and what it may not do.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends where its world cannot be built, and says why it is skipped"
)]

mod support;

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::Path,
};

use data_encoding::HEXLOWER;
use mainstay_images::unpack::{Limits, Rules, UnpackError, Unpacked, unpack_tar};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// One entry: path, type, content or link target, mode.
type Item<'a> = (&'a str, EntryType, &'a str, u32);

const FILE: EntryType = EntryType::Regular;
const DIRECTORY: EntryType = EntryType::Directory;
const SYMLINK: EntryType = EntryType::Symlink;
const LINK: EntryType = EntryType::Link;

fn archive(items: &[Item]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for item in items {
        append(&mut builder, *item);
    }
    builder.into_inner().unwrap()
}

/// Writes names as they are: the builder's own helpers refuse the names that the tests are about.
fn append(builder: &mut Builder<Vec<u8>>, (path, kind, content, mode): Item) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(1000);
    header.set_gid(100);
    header.set_mtime(1_700_000_000);
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    let data = match kind {
        LINK | SYMLINK => {
            header.as_gnu_mut().unwrap().linkname[..content.len()].copy_from_slice(content.as_bytes());
            ""
        }
        _ => content,
    };
    if kind == EntryType::Char {
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    }
    header.set_size(data.len() as u64);
    header.set_cksum();
    builder.append(&header, data.as_bytes()).unwrap();
}

fn unpack(tar: &[u8], root: &Path) -> Result<Unpacked, UnpackError> {
    unpack_tar(tar, root, &Rules::image_layer(Limits::LAYER))
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 64];
    let length = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn modes_owners_times_and_types_are_kept() {
    if support::lacks_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let tar = archive(&[
        ("bin/", DIRECTORY, "", 0o755),
        ("bin/su", FILE, "#!", 0o4755),
        ("bin/su2", LINK, "bin/su", 0),
        ("bin/sh", SYMLINK, "/bin/su", 0o777),
        ("dev/null", EntryType::Char, "", 0o666),
        ("run/pipe", EntryType::Fifo, "", 0o600),
    ]);
    unpack(&tar, root.path()).unwrap();
    let su = fs::metadata(root.path().join("bin/su")).unwrap();
    assert_eq!(
        (su.uid(), su.gid(), su.mode() & 0o7777, su.mtime()),
        (1000, 100, 0o4755, 1_700_000_000)
    );
    assert_eq!(fs::metadata(root.path().join("bin/su2")).unwrap().ino(), su.ino());
    let link = fs::symlink_metadata(root.path().join("bin/sh")).unwrap();
    assert_eq!((link.uid(), link.mtime()), (1000, 1_700_000_000));
    let null = fs::metadata(root.path().join("dev/null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!(
        (null.rdev(), null.mode() & 0o7777),
        (rustix::fs::makedev(1, 3), 0o666)
    );
    assert!(
        fs::metadata(root.path().join("run/pipe"))
            .unwrap()
            .file_type()
            .is_fifo()
    );
    assert_eq!(
        fs::metadata(root.path().join("bin")).unwrap().mtime(),
        1_700_000_000,
        "set after its files"
    );
}

#[test]
fn the_digest_is_that_of_the_plain_tar_whatever_the_compression() {
    if support::lacks_root() {
        return;
    }
    let tar = archive(&[("a", FILE, "text", 0o644)]);
    let expected = format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(&tar)));
    for bytes in [tar.clone(), zstd::encode_all(&tar[..], 1).unwrap()] {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(unpack(&bytes, root.path()).unwrap().diff_id, expected);
    }
}

#[test]
fn whiteouts_become_those_of_overlayfs() {
    if support::lacks_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let tar = archive(&[
        ("etc/.wh.passwd", FILE, "", 0o644),
        ("var/cache/.wh..wh..opq", FILE, "", 0o644),
        ("srv/.wh.www", FILE, "", 0o644),
        ("srv/www/", DIRECTORY, "", 0o755),
        ("opt/tool/", DIRECTORY, "", 0o755),
        ("opt/.wh.tool", FILE, "", 0o644),
    ]);
    unpack(&tar, root.path()).unwrap();
    let gone = fs::symlink_metadata(root.path().join("etc/passwd")).unwrap();
    assert!(gone.file_type().is_char_device());
    assert_eq!(gone.rdev(), 0);
    for opaque in ["var/cache", "srv/www", "opt/tool"] {
        let value = attribute(&root.path().join(opaque), "trusted.overlay.opaque");
        assert_eq!(value.as_deref(), Some(&b"y"[..]), "{opaque}");
    }
    assert_eq!(
        fs::read_dir(root.path().join("var/cache")).unwrap().count(),
        0,
        "no .wh. file stays"
    );
}

#[test]
fn links_that_leave_the_layer_are_resolved_inside_of_it() {
    if support::lacks_root() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let place = outside.path().to_str().unwrap();
    let inner = format!("{}/", place.trim_start_matches('/'));
    let tar = archive(&[
        (&inner, DIRECTORY, "", 0o755),
        ("escape", SYMLINK, place, 0o777),
        ("escape/evil", FILE, "evil", 0o644),
        ("up", SYMLINK, "../../../../../../../../..", 0o777),
        ("up/evil2", FILE, "evil", 0o644),
    ]);
    unpack(&tar, root.path()).unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert_eq!(
        fs::read_to_string(root.path().join(inner).join("evil")).unwrap(),
        "evil"
    );
    assert_eq!(fs::read_to_string(root.path().join("evil2")).unwrap(), "evil");
}

#[test]
fn a_file_in_place_of_a_link_does_not_write_through_it() {
    if support::lacks_root() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "safe").unwrap();
    let root = tempfile::tempdir().unwrap();
    let tar = archive(&[
        ("a", SYMLINK, victim.to_str().unwrap(), 0o777),
        ("a", FILE, "evil", 0o600),
        ("b", SYMLINK, victim.to_str().unwrap(), 0o777),
        ("b", DIRECTORY, "", 0o700),
    ]);
    unpack(&tar, root.path()).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "safe");
    assert_eq!(fs::read_to_string(root.path().join("a")).unwrap(), "evil");
    assert!(root.path().join("b").is_dir());
}

#[test]
fn hard_links_cannot_reach_files_of_the_machine() {
    if support::lacks_root() {
        return;
    }
    let outside = tempfile::NamedTempFile::new().unwrap();
    let root = tempfile::tempdir().unwrap();
    for target in [outside.path().to_str().unwrap(), "../../../../etc/passwd"] {
        unpack(&archive(&[("link", LINK, target, 0)]), root.path()).unwrap_err();
    }
    let through = archive(&[("out", SYMLINK, "/", 0o777), ("link", LINK, "out/etc/passwd", 0)]);
    unpack(&through, root.path()).unwrap_err();
    assert!(!root.path().join("link").exists());
}

#[test]
fn types_replace_each_other_and_directories_are_kept() {
    if support::lacks_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let tar = archive(&[
        ("d/", DIRECTORY, "", 0o755),
        ("d/inner/file", FILE, "1", 0o644),
        ("d", FILE, "now a file", 0o644),
        ("e", FILE, "a file", 0o644),
        ("e/", DIRECTORY, "", 0o755),
        ("e/file", FILE, "2", 0o644),
        ("e/", DIRECTORY, "", 0o711),
    ]);
    unpack(&tar, root.path()).unwrap();
    assert_eq!(fs::read_to_string(root.path().join("d")).unwrap(), "now a file");
    assert_eq!(fs::read_to_string(root.path().join("e/file")).unwrap(), "2");
    assert_eq!(
        fs::metadata(root.path().join("e")).unwrap().permissions().mode() & 0o7777,
        0o711
    );
}

#[test]
fn bombs_end_at_the_limit() {
    if support::lacks_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let tar = archive(&[("big", FILE, &"0".repeat(1 << 20), 0o644)]);
    let bytes = Rules::image_layer(Limits {
        bytes: 100_000,
        entries: 10,
    });
    let bomb = zstd::encode_all(&tar[..], 3).unwrap();
    let error = unpack_tar(&bomb[..], root.path(), &bytes).unwrap_err();
    assert!(
        matches!(
            error,
            UnpackError::TooLarge {
                limit: 100_000,
                unit: "bytes"
            }
        ),
        "{error:?}"
    );

    let many: Vec<Item> = (0..11).map(|_| ("same", FILE, "", 0o644)).collect();
    let entries = Rules::image_layer(Limits {
        bytes: 1 << 20,
        entries: 10,
    });
    let error = unpack_tar(&archive(&many)[..], root.path(), &entries).unwrap_err();
    assert!(
        matches!(
            error,
            UnpackError::TooLarge {
                limit: 10,
                unit: "entries"
            }
        ),
        "{error:?}"
    );
}

#[test]
fn overlay_attributes_of_an_archive_are_dropped_and_capabilities_kept() {
    if support::lacks_root() {
        return;
    }
    // Version 2 with CAP_NET_BIND_SERVICE permitted and effective (capabilities(7)).
    let capability: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut builder = Builder::new(Vec::new());
    builder
        .append_pax_extensions([
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.trusted.overlay.redirect", &b"/etc"[..]),
        ])
        .unwrap();
    append(&mut builder, ("ping", FILE, "elf", 0o755));
    let root = tempfile::tempdir().unwrap();
    unpack(&builder.into_inner().unwrap(), root.path()).unwrap();
    let ping = root.path().join("ping");
    assert_eq!(
        attribute(&ping, "security.capability").as_deref(),
        Some(capability)
    );
    assert_eq!(attribute(&ping, "trusted.overlay.redirect"), None);
}

#[test]
fn a_tool_gets_no_owners_and_no_devices() {
    if support::lacks_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let tar = archive(&[
        ("package/bin/node", FILE, "elf", 0o4755),
        ("package/bin/nodejs", LINK, "package/bin/node", 0),
    ]);
    unpack_tar(&tar[..], root.path(), &Rules::tool(1)).unwrap();
    let node = fs::metadata(root.path().join("bin/nodejs")).unwrap();
    assert_eq!((node.uid(), node.mode() & 0o7777, node.nlink()), (0, 0o755, 2));
    let device = archive(&[("package/null", EntryType::Char, "", 0o666)]);
    let error = unpack_tar(&device[..], root.path(), &Rules::tool(1)).unwrap_err();
    assert!(matches!(error, UnpackError::Refused { .. }), "{error:?}");
}

#[test]
fn debian_packages_keep_links_to_directories() {
    if support::lacks_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("usr/lib")).unwrap();
    std::os::unix::fs::symlink("usr/lib", root.path().join("lib")).unwrap();
    let tar = archive(&[
        ("./lib/", DIRECTORY, "", 0o755),
        ("./lib/libz.so.1", FILE, "elf", 0o644),
    ]);
    unpack_tar(&tar[..], root.path(), &Rules::debian_package()).unwrap();
    assert!(root.path().join("usr/lib/libz.so.1").is_file());
    assert!(
        fs::symlink_metadata(root.path().join("lib"))
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn a_truncated_archive_is_an_error() {
    if support::lacks_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let tar = archive(&[("a", FILE, &"x".repeat(4096), 0o644)]);
    let error = unpack(&tar[..2000], root.path()).unwrap_err();
    assert!(matches!(error, UnpackError::Archive(_)), "{error:?}");
}
