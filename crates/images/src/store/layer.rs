//! Layers: records, paths, and layers that lie outside of the store.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ImageStore, LayerKey, StoreError, collect::mark_used, files, random_id};
use crate::record::{ImageId, ImageRecord, LayerId};

/// What the store knows about a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    pub id: LayerId,
    pub key: Option<LayerKey>,
    /// `sha256:…` of the layer's tar, for layers that came as one.
    pub diff_id: Option<String>,
    pub created_at: Timestamp,
    pub location: LayerLocation,
}

/// Where a layer's files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "snake_case")]
pub enum LayerLocation {
    /// `layers/<id>`.
    Store,
    /// A directory of another store (buildah's overlay `diff`). Its owner deletes it, never we.
    External { path: PathBuf, owner: String },
}

impl ImageStore {
    /// The layer made for `key`, if there is one. Asking is a use: it keeps the layer from being collected for a while.
    pub fn layer_by_key(&self, key: &LayerKey) -> Option<LayerId> {
        let catalogue = self.catalogue();
        let id = catalogue.keys.get(key).cloned()?;
        mark_used(&self.layer_record_path(&id));
        Some(id)
    }

    pub fn layer(&self, id: &LayerId) -> Result<LayerRecord, StoreError> {
        self.catalogue()
            .layers
            .get(id)
            .cloned()
            .ok_or_else(|| StoreError::UnknownLayer { id: id.clone() })
    }

    /// The directory that holds the layer's files. Read-only for everybody.
    pub fn layer_path(&self, id: &LayerId) -> Result<PathBuf, StoreError> {
        Ok(self.place(&self.layer(id)?))
    }

    pub(super) fn place(&self, layer: &LayerRecord) -> PathBuf {
        match &layer.location {
            LayerLocation::Store => self.inner.root.join("layers").join(&layer.id.0),
            LayerLocation::External { path, .. } => path.clone(),
        }
    }

    /// The directories of an image's layers, bottom first (overlay's `lowerdir` wants the top first).
    pub fn layer_paths(&self, image: &ImageRecord) -> Result<Vec<PathBuf>, StoreError> {
        image.layers.iter().map(|id| self.layer_path(id)).collect()
    }

    /// Makes a directory of another store usable as a layer, in place. The same directory gives the same layer. `owner` says who must be
    /// asked to delete it once nothing needs it: "buildah app 3f2a".
    pub fn adopt_layer(
        &self,
        path: &Path,
        owner: &str,
        key: Option<LayerKey>,
    ) -> Result<LayerId, StoreError> {
        let path = path
            .canonicalize()
            .map_err(|error| StoreError::file("open", path, error))?;
        if !path.is_dir() {
            return Err(StoreError::NoDirectory { path });
        }
        if let Some(id) = self.external_layer(&path) {
            return Ok(id);
        }
        let id = LayerId(random_id());
        self.record_layer(LayerRecord {
            id: id.clone(),
            key,
            diff_id: None,
            created_at: Timestamp::now(),
            location: LayerLocation::External {
                path,
                owner: owner.to_owned(),
            },
        })?;
        Ok(id)
    }

    /// Directories of other stores that the records name: their owners must not delete them.
    pub fn external_layers(&self) -> Vec<PathBuf> {
        let external = |layer: &LayerRecord| match &layer.location {
            LayerLocation::External { path, .. } => Some(path.clone()),
            LayerLocation::Store => None,
        };
        self.catalogue().layers.values().filter_map(external).collect()
    }

    fn external_layer(&self, path: &Path) -> Option<LayerId> {
        let is_it = |layer: &&LayerRecord| matches!(&layer.location, LayerLocation::External { path: known, .. } if known == path);
        self.catalogue()
            .layers
            .values()
            .find(is_it)
            .map(|layer| layer.id.clone())
    }

    pub(super) fn record_layer(&self, record: LayerRecord) -> Result<(), StoreError> {
        files::write_record(&self.layer_record_path(&record.id), &record)?;
        let mut catalogue = self.catalogue();
        if let Some(key) = &record.key {
            catalogue.keys.insert(key.clone(), record.id.clone());
        }
        catalogue.layers.insert(record.id.clone(), record);
        Ok(())
    }

    pub(super) fn layer_record_path(&self, id: &LayerId) -> PathBuf {
        self.inner.root.join("records/layers").join(format!("{id}.json"))
    }

    // === images ===

    /// A name for a new image.
    pub fn new_image_id(&self) -> ImageId {
        ImageId(random_id())
    }

    /// Keeps an image. All its layers must be there.
    pub fn put_image(&self, image: &ImageRecord) -> Result<(), StoreError> {
        // Held while the record is written: a collection in between could take a layer away.
        let mut catalogue = self.catalogue();
        if let Some(missing) = image.layers.iter().find(|id| !catalogue.layers.contains_key(*id)) {
            return Err(StoreError::UnknownLayer { id: missing.clone() });
        }
        files::write_record(&self.image_record_path(&image.id), image)?;
        catalogue.images.insert(image.id.clone(), image.clone());
        Ok(())
    }

    /// Notes that an image is used, which keeps it from being collected for a while.
    pub fn mark_image_used(&self, id: &ImageId) {
        mark_used(&self.image_record_path(id));
    }

    pub fn image(&self, id: &ImageId) -> Result<ImageRecord, StoreError> {
        self.catalogue()
            .images
            .get(id)
            .cloned()
            .ok_or_else(|| StoreError::UnknownImage { id: id.clone() })
    }

    /// All images, by id.
    pub fn images(&self) -> Vec<ImageRecord> {
        self.catalogue().images.values().cloned().collect()
    }

    pub(super) fn image_record_path(&self, id: &ImageId) -> PathBuf {
        self.inner.root.join("records/images").join(format!("{id}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ImageConfig;

    fn image(store: &ImageStore, layers: Vec<LayerId>) -> ImageRecord {
        ImageRecord {
            id: store.new_image_id(),
            layers,
            config: ImageConfig::default(),
            created_at: Timestamp::UNIX_EPOCH,
            origin: "test".to_owned(),
            digest: None,
        }
    }

    #[test]
    fn an_image_keeps_the_order_of_its_layers_across_opens() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let layers: Vec<LayerId> = (0..3)
            .map(|_| store.begin_layer().unwrap().commit(None).unwrap())
            .collect();
        let record = image(&store, layers.clone());
        store.put_image(&record).unwrap();
        drop(store);

        let store = ImageStore::open(root.path()).unwrap();
        assert_eq!(store.image(&record.id).unwrap(), record);
        let expected: Vec<PathBuf> = layers
            .iter()
            .map(|id| store.root().join("layers").join(&id.0))
            .collect();
        assert_eq!(store.layer_paths(&record).unwrap(), expected);
    }

    #[test]
    fn an_image_with_an_unknown_layer_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let record = image(&store, vec![LayerId("nowhere".to_owned())]);
        assert!(matches!(
            store.put_image(&record),
            Err(StoreError::UnknownLayer { .. })
        ));
    }

    #[test]
    fn an_adopted_directory_is_one_layer_and_used_in_place() {
        let root = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let id = store.adopt_layer(other.path(), "test", None).unwrap();
        assert_eq!(store.adopt_layer(other.path(), "test", None).unwrap(), id);
        assert_eq!(
            store.layer_path(&id).unwrap(),
            other.path().canonicalize().unwrap()
        );
    }
}
