//! Uploaded folders: unpacked once, named by their content, and referred to in specs by a clone URL of their own scheme.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::Path,
};

use mainstay_build::upload::{self, UploadLimits};
use mainstay_diagnosis::facts::BuildFault;

use crate::platform::{Platform, PlatformError};

/// `upload://<id>` as a `repo_clone_url` is an uploaded folder.
pub(crate) const SCHEME: &str = "upload://";

/// What may be sent, packed.
const ARCHIVE_BYTES_MAX: u64 = 1 << 30;

/// Why an upload was not taken.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// Its content breaks a rule; in words for whoever packed it.
    Refused(String),
    Platform(PlatformError),
}

/// Unpacks an archive (tar, tar.gz or zip) and gives its id. Blocks.
pub(crate) fn store(platform: &Platform, archive: impl Read) -> Result<String, UploadError> {
    let uploads = platform.config.uploads_dir();
    let draft = uploads.join(format!(".{}", uuid::Uuid::new_v4().simple()));
    let stored = store_through(&uploads, &draft, archive);
    // What was unpacked twice, or refused, is not kept.
    drop(fs::remove_dir_all(&draft));
    stored
}

fn store_through(uploads: &Path, draft: &Path, archive: impl Read) -> Result<String, UploadError> {
    let archive = spool(uploads, archive)?;
    let id = upload::unpack(archive, draft, &UploadLimits::default()).map_err(refusal)?;
    let place = uploads.join(id.to_string());
    match fs::rename(draft, &place) {
        Ok(()) => Ok(id.to_string()),
        Err(_) if place.is_dir() => Ok(id.to_string()),
        Err(source) => Err(UploadError::Platform(PlatformError::Io {
            operation: "keep the upload".into(),
            source,
        })),
    }
}

/// Archives are read back and forth: into a file without a name first.
fn spool(uploads: &Path, archive: impl Read) -> Result<File, UploadError> {
    let io_error = |source| {
        UploadError::Platform(PlatformError::Io {
            operation: "receive the upload".into(),
            source,
        })
    };
    let path = uploads.join(format!(".{}.archive", uuid::Uuid::new_v4().simple()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(io_error)?;
    fs::remove_file(&path).map_err(io_error)?;
    let count = io::copy(&mut archive.take(ARCHIVE_BYTES_MAX + 1), &mut file)
        .map_err(|error| UploadError::Refused(format!("the upload broke off: {error}")))?;
    if count > ARCHIVE_BYTES_MAX {
        return Err(UploadError::Refused(format!(
            "the upload is larger than {ARCHIVE_BYTES_MAX} bytes"
        )));
    }
    file.flush().and_then(|()| file.rewind()).map_err(io_error)?;
    Ok(file)
}

fn refusal(fault: BuildFault) -> UploadError {
    match fault {
        BuildFault::SourceRefused { path, rule } => UploadError::Refused(format!("{path}: {rule}")),
        other => UploadError::Refused(format!("the upload could not be unpacked: {other:?}")),
    }
}
