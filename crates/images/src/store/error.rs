//! What can go wrong in the store.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::record::{ImageId, LayerId};

/// Each variant names the operation and its object; the cause is the source.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {operation} {path}")]
    File {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the record {path} is not readable")]
    Record {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("the image store {root} is in use by another process")]
    InUse { root: PathBuf },
    #[error("layer {id} is not in the image store")]
    UnknownLayer { id: LayerId },
    #[error("image {id} is not in the image store")]
    UnknownImage { id: ImageId },
    #[error("the external layer {path} is not a directory")]
    NoDirectory { path: PathBuf },
    #[error("a thread of the image store ended early")]
    Interrupted,
}

impl StoreError {
    pub(crate) fn file(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File {
            operation,
            path: path.to_owned(),
            source,
        }
    }

    /// True when the disk or its quota is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::File { source, .. } if
            matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}
