//! Files that must be whole or absent: written beside, then renamed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The exit record's file name in the instance's data directory.
pub const EXIT_RECORD_FILE: &str = "exit.json";

/// The log's directory in the instance's data directory.
pub const LOG_DIRECTORY: &str = "log";

/// The name of the writable layer's directory in the data directory, when it has no limit.
pub const WRITABLE_DIRECTORY: &str = "writable";

/// The name in the data directory of copies that were made for this instance alone.
pub const COPIES_DIRECTORY: &str = "copies";

/// Whether a file must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Whole or absent after a crash of a process.
    Process,
    /// Whole and present after a power cut, once the call returned: file and directory are synced.
    PowerCut,
}

/// A file could not be read, understood or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot {operation} {}", path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not what it should be", path.display())]
    Format {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

impl FileError {
    pub fn io<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}

/// Writes a value as JSON, readable by root alone.
pub fn write_json(path: &Path, value: &impl Serialize, durability: Durability) -> Result<(), FileError> {
    let format_error = |source| FileError::Format {
        path: path.to_owned(),
        source,
    };
    let bytes = serde_json::to_vec(value).map_err(format_error)?;
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(FileError::io("create", &temporary))?;
    file.write_all(&bytes)
        .map_err(FileError::io("write", &temporary))?;
    if durability == Durability::PowerCut {
        file.sync_all().map_err(FileError::io("sync", &temporary))?;
    }
    fs::rename(&temporary, path).map_err(FileError::io("rename", &temporary))?;
    match durability {
        Durability::Process => Ok(()),
        Durability::PowerCut => sync(path.parent().unwrap_or(Path::new("/"))),
    }
}

/// Makes a new file that was written for [`Durability::Process`] survive a power cut, too.
pub fn sync_new(path: &Path) -> Result<(), FileError> {
    sync(path)?;
    sync(path.parent().unwrap_or(Path::new("/")))
}

fn sync(path: &Path) -> Result<(), FileError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(FileError::io("sync", path))
}

/// Reads a JSON file; `None` when it does not exist.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::io("read", path)(error)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|source| FileError::Format {
            path: path.to_owned(),
            source,
        })
}
