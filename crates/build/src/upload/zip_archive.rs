//! Zip archives.

use std::{
    fs::File,
    io::{BufReader, Read},
};

use zip::{ZipArchive, result::ZipError};

use super::{UnpackFailure, path::checked, writer::Writer};

/// Longer than any path a link may hold (PATH_MAX).
const LINK_BYTES_MAX: u64 = 4096;

pub(super) fn read(archive: File, writer: &mut Writer) -> Result<(), UnpackFailure> {
    let mut archive = ZipArchive::new(BufReader::new(archive)).map_err(unreadable)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(unreadable)?;
        let Some(path) = checked(entry.name_raw())? else {
            continue;
        };
        if entry.is_dir() {
            writer.directory(&path)?;
        } else if entry.is_symlink() {
            let mut destination = Vec::new();
            let read = (&mut entry).take(LINK_BYTES_MAX).read_to_end(&mut destination);
            read.map_err(|error| UnpackFailure::Unreadable(error.to_string()))?;
            writer.symlink(&path, &destination)?;
        } else {
            let executable = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
            writer.file(&path, executable, &mut entry)?;
        }
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
fn unreadable(error: ZipError) -> UnpackFailure {
    UnpackFailure::Unreadable(error.to_string())
}
