//! Tar archives.

use std::io::Read;

use tar::{Archive, Entry, EntryType};

use super::{UnpackFailure, path::checked, writer::Writer};

pub(super) fn read(archive: impl Read, writer: &mut Writer) -> Result<(), UnpackFailure> {
    let mut archive = Archive::new(archive);
    let mut count = 0_u64;
    for entry in archive.entries().map_err(unreadable)? {
        write_entry(entry.map_err(unreadable)?, writer)?;
        count += 1;
    }
    if count == 0 {
        return Err(UnpackFailure::Unreadable("it is empty".to_owned()));
    }
    Ok(())
}

fn write_entry(mut entry: Entry<'_, impl Read>, writer: &mut Writer) -> Result<(), UnpackFailure> {
    let name = entry.path_bytes().into_owned();
    let Some(path) = checked(&name)? else {
        return Ok(());
    };
    let destination = entry
        .link_name_bytes()
        .map(std::borrow::Cow::into_owned)
        .unwrap_or_default();
    match entry.header().entry_type() {
        EntryType::Directory => writer.directory(&path),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
            writer.file(&path, executable, &mut entry)
        }
        EntryType::Symlink => writer.symlink(&path, &destination),
        EntryType::Link => match checked(&destination)? {
            Some(destination) => writer.hard_link(&path, &destination),
            None => Ok(()),
        },
        EntryType::XGlobalHeader | EntryType::XHeader => Ok(()),
        _ => Err(UnpackFailure::refused(
            path,
            "an upload holds files, directories and links only",
        )),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
fn unreadable(error: std::io::Error) -> UnpackFailure {
    UnpackFailure::Unreadable(error.to_string())
}
