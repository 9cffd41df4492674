//! Pins: who needs which images and layers. What is pinned is never collected.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Catalogue, ImageStore, StoreError, files};
use crate::record::{ImageId, LayerId};

/// What somebody needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    pub images: Vec<ImageId>,
    pub layers: Vec<LayerId>,
}

impl Pinned {
    pub fn image(id: ImageId) -> Self {
        Self {
            images: vec![id],
            layers: Vec::new(),
        }
    }
}

/// A pin: a name ("deployment 7b1c…", "stack debian-12") and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub name: String,
    pub pinned: Pinned,
}

impl ImageStore {
    /// Sets the pin `name`; what it held before and does not hold now becomes free.
    pub fn pin(&self, name: &str, pinned: Pinned) -> Result<(), StoreError> {
        // Held while the record is written: a collection in between could take away what is pinned.
        let mut catalogue = self.catalogue();
        self.set_pin(&mut catalogue, name, pinned)
    }

    /// Adds an image to the pin `name`, which is made if there is none. Whoever adds at the same time loses nothing.
    pub fn pin_also(&self, name: &str, image: ImageId) -> Result<(), StoreError> {
        let mut catalogue = self.catalogue();
        let mut pinned = catalogue
            .pins
            .get(name)
            .map(|pin| pin.pinned.clone())
            .unwrap_or_default();
        if pinned.images.contains(&image) {
            return Ok(());
        }
        pinned.images.push(image);
        self.set_pin(&mut catalogue, name, pinned)
    }

    fn set_pin(&self, catalogue: &mut Catalogue, name: &str, pinned: Pinned) -> Result<(), StoreError> {
        if let Some(id) = pinned
            .images
            .iter()
            .find(|id| !catalogue.images.contains_key(*id))
        {
            return Err(StoreError::UnknownImage { id: id.clone() });
        }
        if let Some(id) = pinned
            .layers
            .iter()
            .find(|id| !catalogue.layers.contains_key(*id))
        {
            return Err(StoreError::UnknownLayer { id: id.clone() });
        }
        let pin = Pin {
            name: name.to_owned(),
            pinned,
        };
        files::write_record(&self.pin_path(name), &pin)?;
        catalogue.pins.insert(pin.name.clone(), pin);
        Ok(())
    }

    /// Takes the pin away; one that is not there is fine.
    pub fn unpin(&self, name: &str) -> Result<(), StoreError> {
        // Held, so that a pin which is set at the same time is either gone or whole.
        let mut catalogue = self.catalogue();
        files::remove_file(&self.pin_path(name))?;
        catalogue.pins.remove(name);
        Ok(())
    }

    /// All pins, by name.
    pub fn pins(&self) -> Vec<Pin> {
        self.catalogue().pins.values().cloned().collect()
    }

    /// Names are free text, so the file is named by their digest.
    fn pin_path(&self, name: &str) -> PathBuf {
        let digest = HEXLOWER.encode(&Sha256::digest(name));
        self.inner
            .root
            .join("records/pins")
            .join(format!("{}.json", &digest[..32]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ImageRecord;

    #[test]
    fn pins_survive_an_open_and_can_be_replaced_and_taken_away() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let layer = store.begin_layer().unwrap().commit(None).unwrap();
        let held = Pinned {
            images: Vec::new(),
            layers: vec![layer],
        };
        store.pin("deployment ../a", Pinned::default()).unwrap();
        store.pin("deployment ../a", held.clone()).unwrap();
        drop(store);

        let store = ImageStore::open(root.path()).unwrap();
        assert_eq!(
            store.pins(),
            [Pin {
                name: "deployment ../a".to_owned(),
                pinned: held
            }]
        );
        store.unpin("deployment ../a").unwrap();
        store.unpin("never there").unwrap();
        assert_eq!(store.pins(), []);
    }

    #[test]
    fn a_pin_can_be_added_to() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let image = || {
            let record = ImageRecord {
                id: store.new_image_id(),
                layers: Vec::new(),
                config: crate::record::ImageConfig::default(),
                created_at: jiff::Timestamp::UNIX_EPOCH,
                origin: "test".to_owned(),
                digest: None,
            };
            store.put_image(&record).unwrap();
            record.id
        };
        let (first, second) = (image(), image());
        for id in [&first, &second, &first] {
            store.pin_also("deployment", id.clone()).unwrap();
        }
        assert!(matches!(
            store.pin_also("deployment", ImageId("nothing".to_owned())),
            Err(StoreError::UnknownImage { .. })
        ));
        let pins = store.pins();
        assert_eq!(pins[0].pinned.images, [first, second]);
    }

    #[test]
    fn what_is_not_there_cannot_be_pinned() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let pinned = Pinned::image(ImageId("nothing".to_owned()));
        assert!(matches!(
            store.pin("x", pinned),
            Err(StoreError::UnknownImage { .. })
        ));
    }
}
