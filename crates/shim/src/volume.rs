//! Volumes: a file system in an image file, which outlives the instances that use it. Its identity is the file system's own UUID, so that an
//! image that was swapped, lost or made anew is never taken for the one that it replaced.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// Where an ext4 keeps its superblock, and in it the magic number and the UUID (`Documentation/filesystems/ext4/super.rst`).
const SUPERBLOCK: u64 = 1024;
const MAGIC_AT: u64 = SUPERBLOCK + 0x38;
const UUID_AT: u64 = SUPERBLOCK + 0x68;
const INCOMPATIBLE_AT: u64 = SUPERBLOCK + 0x60;
/// The journal is to be replayed.
const INCOMPATIBLE_RECOVER: u32 = 0x4;
const MAGIC: [u8; 2] = [0x53, 0xEF];

/// The UUID of the ext4 in the image, with hyphens; `None` when there is no ext4 in it.
pub fn identity(image: &Path) -> io::Result<Option<String>> {
    identity_of(&File::open(image)?)
}

/// The same of an open image.
pub fn identity_of(image: &File) -> io::Result<Option<String>> {
    let (mut magic, mut uuid) = ([0; 2], [0; 16]);
    match image
        .read_exact_at(&mut magic, MAGIC_AT)
        .and_then(|()| image.read_exact_at(&mut uuid, UUID_AT))
    {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    Ok((magic == MAGIC).then(|| hyphenated(uuid)))
}

/// Whether the journal of the ext4 in the image holds what the rest of it does not: until the kernel mounts it, what is read may be old.
pub fn needs_recovery(image: &Path) -> io::Result<bool> {
    let mut features = [0; 4];
    File::open(image)?.read_exact_at(&mut features, INCOMPATIBLE_AT)?;
    Ok(u32::from_le_bytes(features) & INCOMPATIBLE_RECOVER != 0)
}

fn hyphenated(uuid: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in uuid.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_ext4_has_no_identity() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        std::fs::write(&image, "short").unwrap();
        assert_eq!(identity(&image).unwrap(), None);
        std::fs::write(&image, vec![0; 8192]).unwrap();
        assert_eq!(identity(&image).unwrap(), None);
    }

    #[test]
    fn the_identity_is_read_off_the_superblock() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        let mut bytes = vec![0; 8192];
        bytes[1024 + 0x38..1024 + 0x3A].copy_from_slice(&MAGIC);
        for (byte, place) in (0..16).zip(1024 + 0x68..) {
            bytes[place] = byte;
        }
        std::fs::write(&image, &bytes).unwrap();
        let read = identity(&image).unwrap().unwrap();
        assert_eq!(read, "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert!(!needs_recovery(&image).unwrap());
        bytes[1024 + 0x60] = 0xC6;
        std::fs::write(&image, bytes).unwrap();
        assert!(needs_recovery(&image).unwrap());
    }
}
