//! Garbage collection: images that nobody pins go, then layers that no image and no pin needs. Layers with a key are a cache: they stay,
//! the ones used last first, up to a budget.
//!
//! Nothing that was used since a given moment is touched: a build may hold layers which no image has yet, so the moment has to lie before
//! the start of the oldest build that goes on.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    Catalogue, ImageStore, LayerCopy, LayerLocation, LayerRecord, Pinned, StoreError, files, random_id,
};
use crate::record::{ImageId, LayerId};

/// What may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectPolicy {
    /// Images and layers used at that time or later stay. A moment, no age: the decision is made some time after the policy.
    pub unused_since: SystemTime,
    /// How much layers that nothing needs may take together, as a cache.
    pub cache_bytes: u64,
}

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    pub images: Vec<ImageId>,
    pub layers: Vec<LayerId>,
    /// Layers of other stores that are needed no more: their owners may delete them.
    pub released: Vec<Released>,
    /// Copies whose layers stay.
    pub copies: Vec<LayerCopy>,
    /// Of our own layers and of copies.
    pub freed_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    pub path: PathBuf,
    /// As it was said when the layer was adopted.
    pub owner: String,
}

impl ImageStore {
    /// Removes what is not needed. `in_use` is held like a pin: what runs right now. Blocks for the time of the deletions; a crash on the
    /// way leaves directories for the next open to sweep.
    pub fn collect(&self, in_use: &Pinned, policy: &CollectPolicy) -> Result<Collected, StoreError> {
        let sizes = Sizes {
            layers: self.disk_usage()?.layers.into_iter().collect(),
            copies: self.copy_sizes()?.into_iter().collect(),
        };
        let mut collected = Collected::default();
        let mut trash = Vec::new();
        {
            let mut catalogue = self.catalogue();
            for id in old_images(self, &catalogue, in_use, policy) {
                files::remove_file(&self.image_record_path(&id))?;
                catalogue.images.remove(&id);
                collected.images.push(id);
            }
            let candidates = self.candidates(&catalogue, in_use, &sizes);
            for candidate in unneeded(candidates, policy) {
                trash.extend(self.forget_layer(&mut catalogue, candidate, &mut collected)?);
            }
            for (copy, place) in self.forget_copies(&mut catalogue, policy)? {
                collected.freed_bytes += sizes.copies.get(&copy).copied().unwrap_or(0);
                collected.copies.push(copy);
                trash.push(place);
            }
        }
        trash.iter().try_for_each(|path| files::remove_tree(path))?;
        Ok(collected)
    }

    /// Layers that nothing needs.
    fn candidates(&self, catalogue: &Catalogue, in_use: &Pinned, sizes: &Sizes) -> Vec<Candidate> {
        let mut needed = catalogue.needed_layers();
        needed.extend(in_use.layers.iter().cloned());
        let images = in_use.images.iter().filter_map(|id| catalogue.images.get(id));
        needed.extend(images.flat_map(|image| image.layers.clone()));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let is_mounted = |layer: &LayerRecord| mounts.contains(&self.place(layer).display().to_string());
        catalogue
            .layers
            .values()
            .filter(|layer| {
                !needed.contains(&layer.id) && !is_mounted(layer) && !self.has_copy_in_use(&layer.id)
            })
            .map(|layer| Candidate {
                // A layer that is newer than the measurement is too young to go anyway.
                bytes: sizes.layers.get(&layer.id).copied().unwrap_or(0),
                copy_bytes: sizes.of_copies(&layer.id),
                used_at: used_at(&self.layer_record_path(&layer.id)),
                layer: layer.clone(),
            })
            .collect()
    }

    /// Takes a layer out of the records, then out of its place. Gives what is left to delete.
    fn forget_layer(
        &self,
        catalogue: &mut Catalogue,
        candidate: Candidate,
        collected: &mut Collected,
    ) -> Result<Vec<PathBuf>, StoreError> {
        let Candidate {
            layer,
            bytes,
            copy_bytes,
            ..
        } = candidate;
        files::remove_file(&self.layer_record_path(&layer.id))?;
        catalogue.layers.remove(&layer.id);
        catalogue.sizes.remove(&layer.id);
        catalogue.keys.retain(|_, id| *id != layer.id);
        collected.layers.push(layer.id.clone());
        let mut trash = self.forget_copies_of(catalogue, &layer.id)?;
        collected.freed_bytes += copy_bytes;
        let place = self.place(&layer);
        if let LayerLocation::External { path, owner } = layer.location {
            collected.released.push(Released { path, owner });
            return Ok(trash);
        }
        let gone = self.root().join("drafts").join(random_id());
        fs::rename(&place, &gone).map_err(|error| StoreError::file("move away", &place, error))?;
        collected.freed_bytes += bytes;
        trash.push(gone);
        Ok(trash)
    }
}

impl Catalogue {
    /// Layers of images and pins.
    pub(super) fn needed_layers(&self) -> BTreeSet<LayerId> {
        let of_images = self.images.values().flat_map(|image| image.layers.iter());
        let of_pins = self.pins.values().flat_map(|pin| pin.pinned.layers.iter());
        of_images.chain(of_pins).cloned().collect()
    }
}

/// A layer that nothing needs.
#[derive(Debug)]
struct Candidate {
    layer: LayerRecord,
    bytes: u64,
    /// They go with the layer.
    copy_bytes: u64,
    used_at: SystemTime,
}

/// As measured before the collection.
#[derive(Debug)]
struct Sizes {
    layers: BTreeMap<LayerId, u64>,
    copies: BTreeMap<LayerCopy, u64>,
}

impl Sizes {
    fn of_copies(&self, layer: &LayerId) -> u64 {
        let copies = self.copies.iter().filter(|(copy, _)| copy.layer == *layer);
        copies.map(|(_, bytes)| bytes).sum()
    }
}

fn old_images(
    store: &ImageStore,
    catalogue: &Catalogue,
    in_use: &Pinned,
    policy: &CollectPolicy,
) -> Vec<ImageId> {
    let pinned = catalogue.pins.values().flat_map(|pin| pin.pinned.images.iter());
    let held: BTreeSet<&ImageId> = pinned.chain(&in_use.images).collect();
    let is_old = |id: &&ImageId| used_at(&store.image_record_path(id)) < policy.unused_since;
    catalogue
        .images
        .keys()
        .filter(|id| !held.contains(id))
        .filter(is_old)
        .cloned()
        .collect()
}

/// Which of the candidates go: all old ones without a key, and old ones with a key once the budget is spent on those used later.
fn unneeded(mut candidates: Vec<Candidate>, policy: &CollectPolicy) -> Vec<Candidate> {
    candidates.sort_by_key(|candidate| Reverse(candidate.used_at));
    let mut cached = 0_u64;
    candidates.retain(|candidate| {
        let is_old = candidate.used_at < policy.unused_since;
        let is_cache = candidate.layer.key.is_some();
        let bytes = candidate.bytes + candidate.copy_bytes;
        let fits = cached.saturating_add(bytes) <= policy.cache_bytes;
        let stays = !is_old || (is_cache && fits);
        if stays && is_cache {
            cached = cached.saturating_add(bytes);
        }
        !stays
    });
    candidates
}

/// When a record was used last: its file's time, see `mark_used`.
pub(super) fn used_at(record: &Path) -> SystemTime {
    fs::metadata(record)
        .and_then(|metadata| metadata.modified())
        .unwrap_or_else(|_| SystemTime::now())
}

/// Notes that a layer or an image is used now. Only a hint for the order of collection: nothing waits for the disk, failing is fine.
pub(super) fn mark_used(record: &Path) {
    let marked = fs::File::open(record).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = marked {
        tracing::debug!(%error, record = %record.display(), "cannot note the use of a record");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        record::{ImageConfig, ImageRecord},
        store::LayerKey,
    };

    const HOUR: Duration = Duration::from_hours(1);

    /// A store whose things were all used a day ago, unless a test says otherwise.
    struct World {
        root: tempfile::TempDir,
        store: ImageStore,
    }

    impl World {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            Self {
                store: ImageStore::open(root.path()).unwrap(),
                root,
            }
        }

        fn layer(&self, key: Option<&str>, age: Duration) -> LayerId {
            let draft = self.store.begin_layer().unwrap();
            fs::write(draft.path().join("file"), vec![1; 8192]).unwrap();
            let id = draft.commit(key.map(|key| LayerKey::new(key, []))).unwrap();
            set_age(&self.store.layer_record_path(&id), age);
            id
        }

        fn image(&self, layers: &[&LayerId], age: Duration) -> ImageId {
            let image = ImageRecord {
                id: self.store.new_image_id(),
                layers: layers.iter().map(|id| (*id).clone()).collect(),
                config: ImageConfig::default(),
                created_at: jiff::Timestamp::UNIX_EPOCH,
                origin: "test".to_owned(),
                digest: None,
            };
            self.store.put_image(&image).unwrap();
            set_age(&self.store.image_record_path(&image.id), age);
            image.id
        }

        fn collect(&self, in_use: &Pinned, cache_bytes: u64) -> Collected {
            self.store
                .collect(
                    in_use,
                    &CollectPolicy {
                        unused_since: SystemTime::now() - HOUR,
                        cache_bytes,
                    },
                )
                .unwrap()
        }
    }

    fn set_age(record: &Path, age: Duration) {
        fs::File::open(record)
            .unwrap()
            .set_modified(SystemTime::now() - age)
            .unwrap();
    }

    #[test]
    fn what_nobody_needs_goes_and_what_a_pin_holds_stays() {
        let world = World::new();
        let (shared, only, lost) = (
            world.layer(None, 9 * HOUR),
            world.layer(None, 9 * HOUR),
            world.layer(None, 9 * HOUR),
        );
        let kept = world.image(&[&shared], 9 * HOUR);
        let gone = world.image(&[&shared, &only], 9 * HOUR);
        world
            .store
            .pin("deployment", Pinned::image(kept.clone()))
            .unwrap();

        let collected = world.collect(&Pinned::default(), 0);
        assert_eq!(collected.images, [gone]);
        assert_eq!(
            collected.layers.iter().collect::<BTreeSet<_>>(),
            BTreeSet::from([&only, &lost])
        );
        assert!(collected.freed_bytes >= 16384);
        assert!(world.store.image(&kept).is_ok());

        let root = world.root.path().to_owned();
        drop(world.store);
        let store = ImageStore::open(&root).unwrap();
        assert_eq!(store.swept(), [] as [String; 0]);
        assert_eq!(fs::read_dir(root.join("layers")).unwrap().count(), 1);
        assert_eq!(
            store.layer_path(&shared).unwrap().file_name().unwrap().to_str(),
            Some(shared.0.as_str())
        );
    }

    #[test]
    fn what_runs_stays_without_a_pin() {
        let world = World::new();
        let layer = world.layer(None, 9 * HOUR);
        let image = world.image(&[&layer], 9 * HOUR);
        assert_eq!(
            world.collect(&Pinned::image(image.clone()), 0),
            Collected::default()
        );
        assert_eq!(
            world
                .collect(
                    &Pinned {
                        images: vec![],
                        layers: vec![layer.clone()]
                    },
                    0
                )
                .images,
            [image]
        );
        assert!(world.store.layer(&layer).is_ok());
    }

    #[test]
    fn young_things_stay() {
        let world = World::new();
        let layer = world.layer(None, Duration::ZERO);
        world.image(&[&layer], Duration::ZERO);
        world.layer(Some("key"), Duration::ZERO);
        assert_eq!(world.collect(&Pinned::default(), 0), Collected::default());
    }

    #[test]
    fn the_cache_keeps_what_was_used_last() {
        let world = World::new();
        let old = world.layer(Some("old"), 9 * HOUR);
        let older = world.layer(Some("older"), 10 * HOUR);
        let recent = world.layer(Some("recent"), 2 * HOUR);
        assert_eq!(world.collect(&Pinned::default(), 1 << 20), Collected::default());
        assert_eq!(
            world.collect(&Pinned::default(), 2 * 8192).layers,
            std::slice::from_ref(&older)
        );
        // Asking for a key is a use.
        world.store.layer_by_key(&LayerKey::new("old", [])).unwrap();
        set_age(&world.store.layer_record_path(&recent), 3 * HOUR);
        assert_eq!(world.collect(&Pinned::default(), 8192).layers, [recent]);
        assert!(world.store.layer(&old).is_ok());
        assert_eq!(world.store.layer_by_key(&LayerKey::new("older", [])), None);
    }

    #[test]
    fn external_layers_are_left_to_their_owners() {
        let world = World::new();
        let other = tempfile::tempdir().unwrap();
        let id = world
            .store
            .adopt_layer(other.path(), "buildah app", None)
            .unwrap();
        set_age(&world.store.layer_record_path(&id), 9 * HOUR);
        let collected = world.collect(&Pinned::default(), 0);
        let released = Released {
            path: other.path().canonicalize().unwrap(),
            owner: "buildah app".to_owned(),
        };
        assert_eq!(collected.released, [released]);
        assert_eq!(collected.freed_bytes, 0);
        assert!(other.path().exists());
    }

    #[test]
    fn an_external_layer_whose_directory_is_gone_hinders_nothing() {
        let world = World::new();
        let other = tempfile::tempdir().unwrap();
        let id = world
            .store
            .adopt_layer(other.path(), "buildah app", None)
            .unwrap();
        world.image(&[&id], 9 * HOUR);
        set_age(&world.store.layer_record_path(&id), 9 * HOUR);
        drop(other);
        assert_eq!(world.collect(&Pinned::default(), 0).layers, [id]);
    }
}
