//! How much disk layers take.

use std::{collections::HashSet, fs, io, os::unix::fs::MetadataExt, path::Path};

use super::{ImageStore, StoreError};
use crate::record::LayerId;

/// Disk use of the store, and what is left on its file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskUsage {
    /// Each layer with the bytes that it takes, by id. External layers count too.
    pub layers: Vec<(LayerId, u64)>,
    /// Of layers and copies of layers.
    pub total_bytes: u64,
    /// Of copies of layers.
    pub copy_bytes: u64,
    /// Of layers that an image or a pin needs.
    pub needed_bytes: u64,
    /// Left on the file system for the platform.
    pub free_bytes: u64,
}

impl ImageStore {
    /// Measures all layers; each one once per open of the store (a layer never changes). Blocks: about 5 µs per file.
    pub fn disk_usage(&self) -> Result<DiskUsage, StoreError> {
        let ids: Vec<LayerId> = self.catalogue().layers.keys().cloned().collect();
        let layers = ids
            .into_iter()
            .map(|id| self.layer_bytes(&id).map(|bytes| (id, bytes)))
            .collect::<Result<Vec<_>, _>>()?;
        let needed = self.catalogue().needed_layers();
        let sum = |wanted: &dyn Fn(&LayerId) -> bool| -> u64 {
            layers
                .iter()
                .filter(|(id, _)| wanted(id))
                .map(|(_, bytes)| bytes)
                .sum()
        };
        let copy_bytes = self.copy_sizes()?.iter().map(|(_, bytes)| bytes).sum();
        Ok(DiskUsage {
            total_bytes: sum(&|_| true) + copy_bytes,
            copy_bytes,
            needed_bytes: sum(&|id| needed.contains(id)),
            free_bytes: free_bytes(self.root())?,
            layers,
        })
    }

    /// The bytes that a layer takes on disk. Blocks when it has not been measured yet.
    pub fn layer_bytes(&self, id: &LayerId) -> Result<u64, StoreError> {
        if let Some(bytes) = self.catalogue().sizes.get(id) {
            return Ok(*bytes);
        }
        let path = self.layer_path(id)?;
        let bytes = match tree_bytes(&path) {
            // Its owner has deleted it: an app is gone, and its store with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            measured => measured.map_err(|error| StoreError::file("measure", &path, error))?,
        };
        self.catalogue().sizes.insert(id.clone(), bytes);
        Ok(bytes)
    }
}

/// What is left for the platform on the file system of `path`.
pub fn free_bytes(path: &Path) -> Result<u64, StoreError> {
    let status = rustix::fs::statvfs(path)
        .map_err(|error| StoreError::file("ask the free space of", path, error.into()))?;
    Ok(status.f_bavail * status.f_frsize)
}

/// The size of the file system of `path`.
pub fn disk_bytes(path: &Path) -> Result<u64, StoreError> {
    let status =
        rustix::fs::statvfs(path).map_err(|error| StoreError::file("ask the size of", path, error.into()))?;
    Ok(status.f_blocks * status.f_frsize)
}

/// Allocated bytes of a tree; a file with several names counts once, and what goes meanwhile not at all. Blocks: about 5 µs per file.
///
/// # Errors
/// When `root` is not there, or something in it cannot be read.
pub fn tree_bytes(root: &Path) -> io::Result<u64> {
    const BLOCK: u64 = 512;
    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory != root => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if metadata.nlink() > 1 && !metadata.is_dir() && !seen.insert(metadata.ino()) {
                continue;
            }
            bytes += metadata.blocks() * BLOCK;
            if metadata.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Pinned;

    #[test]
    fn layers_are_measured_and_hard_links_count_once() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let draft = store.begin_layer().unwrap();
        fs::write(draft.path().join("file"), vec![1; 100_000]).unwrap();
        fs::hard_link(draft.path().join("file"), draft.path().join("again")).unwrap();
        let layer = draft.commit(None).unwrap();
        let empty = store.begin_layer().unwrap().commit(None).unwrap();
        store
            .pin(
                "x",
                Pinned {
                    images: Vec::new(),
                    layers: vec![layer.clone()],
                },
            )
            .unwrap();

        let usage = store.disk_usage().unwrap();
        assert!((100_000..140_000).contains(&usage.total_bytes), "{usage:?}");
        assert_eq!(usage.needed_bytes, usage.total_bytes);
        assert!(usage.layers.contains(&(empty, 0)));
        assert!(usage.free_bytes > 0);
    }
}
