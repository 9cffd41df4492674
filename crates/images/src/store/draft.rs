//! A layer in the making.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use jiff::Timestamp;

use super::{
    ImageStore, LAYER_MODE, LayerKey, LayerLocation, LayerRecord, PASSAGE_MODE, StoreError, files, random_id,
};
use crate::record::LayerId;

/// A directory to fill. Dropped without `commit`, it is removed with everything in it (blocking).
#[derive(Debug)]
pub struct LayerDraft {
    store: ImageStore,
    id: LayerId,
    directory: PathBuf,
    layer: PathBuf,
    diff_id: OnceLock<String>,
}

impl ImageStore {
    /// Starts a layer.
    pub fn begin_layer(&self) -> Result<LayerDraft, StoreError> {
        let id = LayerId(random_id());
        let directory = self.inner.root.join("drafts").join(&id.0);
        let draft = LayerDraft {
            store: self.clone(),
            id,
            layer: directory.join("layer"),
            directory: directory.clone(),
            diff_id: OnceLock::new(),
        };
        files::create_directory(&directory, PASSAGE_MODE)?;
        files::create_directory(&draft.layer, LAYER_MODE)?;
        Ok(draft)
    }
}

impl LayerDraft {
    /// The directory that becomes the layer.
    pub fn path(&self) -> &Path {
        &self.layer
    }

    /// A directory of that name beside the layer, on the same file system, gone with the draft: an overlay's work directory, a download.
    pub fn scratch(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.directory.join(name);
        files::create_directory(&path, PASSAGE_MODE)?;
        Ok(path)
    }

    /// Notes that the draft was unpacked from the tar of that digest.
    pub(crate) fn note_diff_id(&self, diff_id: &str) {
        self.diff_id.get_or_init(|| diff_id.to_owned());
    }

    /// Makes the draft a layer: moves it into place, flushes both to disk, records it. Blocks for one `syncfs`.
    /// A second layer with the same key takes the key over.
    pub fn commit(self, key: Option<LayerKey>) -> Result<LayerId, StoreError> {
        let place = self.store.inner.root.join("layers").join(&self.id.0);
        fs::rename(&self.layer, &place)
            .map_err(|error| StoreError::file("move into place", &place, error))?;
        if let Err(error) = files::sync_file_system(&place) {
            // A full disk may say so only now; without a record nobody would remove it before the next open.
            drop(files::remove_tree(&place));
            return Err(error);
        }
        let record = LayerRecord {
            id: self.id.clone(),
            key,
            diff_id: self.diff_id.get().cloned(),
            created_at: Timestamp::now(),
            location: LayerLocation::Store,
        };
        self.store.record_layer(record)?;
        Ok(self.id.clone())
    }
}

impl Drop for LayerDraft {
    fn drop(&mut self) {
        if let Err(error) = files::remove_tree(&self.directory) {
            tracing::warn!(%error, "a layer's draft stays until the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_dropped_draft_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let draft = store.begin_layer().unwrap();
        fs::write(draft.path().join("file"), "text").unwrap();
        draft.scratch("work").unwrap();
        drop(draft);
        assert_eq!(
            files::list(&root.path().join("drafts")).unwrap(),
            Vec::<PathBuf>::new()
        );
    }

    #[test]
    fn a_committed_layer_survives_and_is_found_by_its_key() {
        let root = tempfile::tempdir().unwrap();
        let key = LayerKey::new("test", [("a", "1")]);
        let store = ImageStore::open(root.path()).unwrap();
        let draft = store.begin_layer().unwrap();
        fs::write(draft.path().join("file"), "text").unwrap();
        let id = draft.commit(Some(key.clone())).unwrap();
        drop(store);

        let store = ImageStore::open(root.path()).unwrap();
        assert_eq!(store.layer_by_key(&key), Some(id.clone()));
        let path = store.layer_path(&id).unwrap();
        assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "text");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o755);
        assert_eq!(
            files::list(&root.path().join("drafts")).unwrap(),
            Vec::<PathBuf>::new()
        );
    }
}
