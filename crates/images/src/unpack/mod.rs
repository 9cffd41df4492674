//! Unpacking archives of strangers into a directory, and nowhere else.
//!
//! ```text
//!  bytes → compression (by magic) → counted, hashed → tar → one entry at a time → confined tree
//! ```
//!
//! Everything blocks and needs bounded memory: one buffer, and the names of directories (their times are set last).

mod compression;
mod confined;
mod entry;
mod limits;
pub mod wheel;
mod whiteout;

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tar::Archive;

pub use self::limits::Limits;
use self::{confined::ConfinedTree, limits::Counted};

/// How an archive becomes a tree.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Leading path components to drop; entries that have no more are skipped.
    pub strip_components: usize,
    /// OCI layers: `.wh.` names remove things of lower layers.
    pub whiteouts: bool,
    /// Debian packages: where a symbolic link to a directory is, a directory entry leaves it (merged `/usr`).
    pub keep_directory_links: bool,
    pub owners: Owners,
    /// Device nodes are made; otherwise they are refused.
    pub devices: bool,
    pub limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// As the archive says.
    Archive,
    /// Root, and no set-user-id bits: for archives whose owners mean nothing here.
    Root,
}

impl Rules {
    /// A layer of an OCI image.
    pub fn image_layer(limits: Limits) -> Self {
        Self {
            strip_components: 0,
            whiteouts: true,
            keep_directory_links: false,
            owners: Owners::Archive,
            devices: true,
            limits,
        }
    }

    /// A vendor's archive of a tool, whose first `strip_components` directories only carry its name.
    pub fn tool(strip_components: usize) -> Self {
        Self {
            strip_components,
            whiteouts: false,
            keep_directory_links: false,
            owners: Owners::Root,
            devices: false,
            limits: Limits::TOOL,
        }
    }

    /// The file tree of a Debian package.
    pub fn debian_package() -> Self {
        Self {
            strip_components: 0,
            whiteouts: false,
            keep_directory_links: true,
            owners: Owners::Archive,
            devices: false,
            limits: Limits::TOOL,
        }
    }
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// `sha256:…` of the plain tar, to its end.
    pub diff_id: String,
    /// Length of the plain tar.
    pub bytes: u64,
    pub entries: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("the archive is not readable")]
    Archive(#[source] io::Error),
    #[error("the archive unpacks to more than {limit} {unit}")]
    TooLarge { limit: u64, unit: &'static str },
    #[error("the archive's entry {path:?} {rule}")]
    Refused { path: String, rule: &'static str },
    #[error("cannot {operation} {path:?}")]
    File {
        operation: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
}

impl UnpackError {
    fn refused(path: &Path, rule: &'static str) -> Self {
        Self::Refused {
            path: path.display().to_string(),
            rule,
        }
    }

    fn file(operation: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::File {
            operation,
            path: path.display().to_string(),
            source: source.into(),
        }
    }

    /// Reading failed: a limit of ours that was hit, or the archive itself.
    fn reading(error: io::Error) -> Self {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<limits::OverLimit>())
        {
            Some(over) => Self::TooLarge {
                limit: over.limit,
                unit: "bytes",
            },
            None => Self::Archive(error),
        }
    }
}

/// Unpacks a tar (plain, gzip or zstd, told by its first bytes) into `directory`, which exists.
pub fn unpack_tar(reader: impl Read, directory: &Path, rules: &Rules) -> Result<Unpacked, UnpackError> {
    let plain = compression::plain(reader).map_err(UnpackError::Archive)?;
    let mut counted = Counted::new(plain, rules.limits.bytes);
    let tree = ConfinedTree::open(directory)?;
    let entries = unpack_entries(&mut counted, tree, rules)?;
    io::copy(&mut counted, &mut io::sink()).map_err(UnpackError::reading)?;
    let (bytes, digest) = counted.finish();
    Ok(Unpacked {
        diff_id: format!("sha256:{digest}"),
        bytes,
        entries,
    })
}

fn unpack_entries(reader: &mut impl Read, tree: ConfinedTree, rules: &Rules) -> Result<u64, UnpackError> {
    let mut archive = Archive::new(reader);
    let mut writer = entry::EntryWriter::new(tree, rules);
    let mut count = 0;
    for entry in archive.entries().map_err(UnpackError::reading)? {
        count += 1;
        if count > rules.limits.entries {
            return Err(UnpackError::TooLarge {
                limit: rules.limits.entries,
                unit: "entries",
            });
        }
        writer.write(&mut entry.map_err(UnpackError::reading)?)?;
    }
    writer.finish()?;
    Ok(count)
}

/// An archive's path as a path below the tree: no `/` in front, no `.`; `..` is refused. `None` when nothing is left of it.
fn clean_path(path: &Path, strip_components: usize) -> Result<Option<PathBuf>, UnpackError> {
    use std::path::Component;
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(UnpackError::refused(path, "leads out of the archive by \"..\""));
            }
        }
    }
    let rest: PathBuf = clean.components().skip(strip_components).collect();
    Ok((!rest.as_os_str().is_empty()).then_some(rest))
}

/// Lower-case hex of a finished hash.
fn hex(hash: Sha256) -> String {
    HEXLOWER.encode(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_or_refused() {
        let clean = |path: &str, strip| clean_path(Path::new(path), strip).map_err(|error| error.to_string());
        assert_eq!(clean("./usr//bin/x/", 0), Ok(Some("usr/bin/x".into())));
        assert_eq!(clean("/etc/passwd", 0), Ok(Some("etc/passwd".into())));
        assert_eq!(clean("package/bin/node", 1), Ok(Some("bin/node".into())));
        assert_eq!(clean("package", 1), Ok(None));
        assert_eq!(clean("./", 0), Ok(None));
        clean("a/../../etc/passwd", 0).unwrap_err();
    }
}
