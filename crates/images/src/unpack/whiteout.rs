//! Whiteouts: how a layer removes what lower layers have. An archive says so by names (OCI image spec, "Whiteouts"); overlayfs by device
//! 0:0 in place of the removed name, and by an attribute on directories whose lower content is hidden.

use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::AsFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::Path,
};

use rustix::fs::{FileType, Mode, Stat, XattrFlags};

use super::{
    UnpackError,
    confined::{ConfinedTree, file_type},
};

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names with a doubled prefix are a union file system's own notes (`.wh..wh.plnk`), to be skipped.
const NOTES: &[u8] = b".wh..wh.";
const OPAQUE_ATTRIBUTE: &str = "trusted.overlay.opaque";

/// What a name of an archive means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whiteout {
    /// This name of lower layers is gone.
    Name(OsString),
    /// The directory hides everything of lower layers.
    Opaque,
    Ignored,
}

/// Reads the last component of an entry's path. `None`: an ordinary name.
pub(super) fn read(path: &Path) -> Result<Option<Whiteout>, UnpackError> {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let Some(removed) = name.strip_prefix(PREFIX) else {
        return Ok(None);
    };
    Ok(Some(match removed {
        _ if name == OPAQUE => Whiteout::Opaque,
        _ if name.starts_with(NOTES) => Whiteout::Ignored,
        b"" | b"." | b".." => return Err(UnpackError::refused(path, "removes no name")),
        removed => Whiteout::Name(OsString::from_vec(removed.to_vec())),
    }))
}

/// Removes `name` of lower layers. If this layer has it too, it stays, and hides what is below.
pub(super) fn write_name(tree: &mut ConfinedTree, path: &Path, name: &OsStr) -> Result<(), UnpackError> {
    let removed = path.with_file_name(name);
    match tree.status(&removed)? {
        Some(status) if file_type(&status) == FileType::Directory => write_opaque(tree, &removed),
        Some(_) => Ok(()),
        None => {
            let (parent, name) = tree.parent(&removed)?;
            rustix::fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)
                .map_err(|error| UnpackError::file("white out", path, error))
        }
    }
}

/// Hides what lower layers have in the directory `path`.
pub(super) fn write_opaque(tree: &mut ConfinedTree, path: &Path) -> Result<(), UnpackError> {
    let directory = tree.directory(path)?;
    rustix::fs::fsetxattr(directory.as_fd(), OPAQUE_ATTRIBUTE, b"y", XattrFlags::empty())
        .map_err(|error| UnpackError::file("make opaque", path, error))
}

/// True for overlayfs's whiteout.
pub(super) fn is_whiteout(status: &Stat) -> bool {
    file_type(status) == FileType::CharacterDevice && status.st_rdev == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let read = |path: &str| read(Path::new(path)).map_err(|error| error.to_string());
        assert_eq!(read("etc/passwd"), Ok(None));
        assert_eq!(read("etc/.wh.passwd"), Ok(Some(Whiteout::Name("passwd".into()))));
        assert_eq!(read("etc/.wh..wh..opq"), Ok(Some(Whiteout::Opaque)));
        assert_eq!(read("etc/.wh..wh.plnk"), Ok(Some(Whiteout::Ignored)));
        for bad in ["etc/.wh.", "etc/.wh..", "etc/.wh..."] {
            read(bad).unwrap_err();
        }
        assert_eq!(read("etc/.wh.a.wh.b"), Ok(Some(Whiteout::Name("a.wh.b".into()))));
    }
}
