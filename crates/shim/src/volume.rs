//! Volumes: a file system in an image file, which outlives the instances that use it. Its identity is the file system's own UUID, so that an
//! image that was swapped, lost or made anew is never taken for the one that it replaced.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// Where an ext4 keeps its superblock, and in it the magic number and the UUID (`Documentation/filesystems/ext4/super.rst`).
const SUPERBLOCK: u64 = 1024;
const MAGIC_AT: u64 = SUPERBLOCK + 0x38;
const UUID_AT: u64 = SUPERBLOCK + 0x68;
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
        std::fs::write(&image, bytes).unwrap();
        let read = identity(&image).unwrap().unwrap();
        assert_eq!(read, "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }
}
