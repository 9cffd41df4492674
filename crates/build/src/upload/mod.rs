//! Uploaded sources: an archive (tar, tar.gz or zip) becomes plain files and an id, the digest of their content.
//!
//! Invariants: nothing is written outside of the target, whatever the archive's names and links say; no more is written than the limits
//! allow, however small the archive is; a refused archive leaves nothing. The id depends on names, contents, the executable bit and
//! links only: packing the same folder again gives the same id.

mod path;
mod tar_archive;
mod writer;
mod zip_archive;

use std::{
    fmt, fs,
    fs::File,
    io::{self, Read, Seek},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use mainstay_diagnosis::facts::BuildFault;
use serde::{Deserialize, Serialize};

use self::writer::Writer;
pub(crate) use self::writer::digest_of_directory;
use crate::source::platform_fault;

/// What an upload may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadLimits {
    /// Of all files, unpacked.
    pub bytes: u64,
    pub entries: u64,
}

impl Default for UploadLimits {
    /// 2 GiB and 200,000 entries.
    fn default() -> Self {
        Self {
            bytes: 2 << 30,
            entries: 200_000,
        }
    }
}

/// Digest of an upload's content: 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadId(pub String);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an archive was not taken.
#[derive(Debug)]
pub(crate) enum UnpackFailure {
    /// An entry breaks a rule.
    Refused { path: String, rule: String },
    /// The archive itself is damaged, or of no known kind.
    Unreadable(String),
    /// Our own disk.
    Write(io::Error),
}

impl UnpackFailure {
    pub(crate) fn refused(path: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::Refused {
            path: path.into(),
            rule: rule.into(),
        }
    }

    fn into_fault(self) -> BuildFault {
        match self {
            Self::Refused { path, rule } => BuildFault::SourceRefused { path, rule },
            Self::Unreadable(message) => BuildFault::SourceRefused {
                path: String::new(),
                rule: format!("the upload is a readable tar, tar.gz or zip archive: {message}"),
            },
            Self::Write(error) => platform_fault("unpacking the upload", &error),
        }
    }
}

/// Unpacks `archive` into the directory `into`, which is made and must not exist before. Blocks; call it from a thread that may.
pub fn unpack(archive: File, into: &Path, limits: &UploadLimits) -> Result<UploadId, BuildFault> {
    fs::create_dir_all(into).map_err(|error| platform_fault("unpacking the upload", &error))?;
    unpack_into(archive, into, limits).map_err(|failure| {
        if let Err(error) = fs::remove_dir_all(into) {
            tracing::warn!(%error, directory = %into.display(), "what a refused upload left could not be removed");
        }
        failure.into_fault()
    })
}

fn unpack_into(mut archive: File, into: &Path, limits: &UploadLimits) -> Result<UploadId, UnpackFailure> {
    let mut start = [0; 4];
    let length =
        read_start(&mut archive, &mut start).map_err(|error| UnpackFailure::Unreadable(error.to_string()))?;
    let mut writer = Writer::open(into, *limits).map_err(UnpackFailure::Write)?;
    match &start[..length] {
        [0x1f, 0x8b, ..] => tar_archive::read(MultiGzDecoder::new(archive), &mut writer)?,
        [b'P', b'K', 3 | 5, _] => zip_archive::read(archive, &mut writer)?,
        _ => tar_archive::read(archive, &mut writer)?,
    }
    writer.finish()
}

fn read_start(archive: &mut File, start: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < start.len() {
        match archive.read(&mut start[length..])? {
            0 => break,
            more => length += more,
        }
    }
    archive.rewind()?;
    Ok(length)
}
