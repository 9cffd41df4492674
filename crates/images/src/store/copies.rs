//! Copies of layers that differ from them in something that the store knows nothing about, such as the owners of files: made once per
//! layer and kind, kept beside the layer, gone with it or when nobody has used them for a while.
//!
//! `<root>/copies/<layer>/<kind>/files`. The time of the directory above `files` is the copy's last use. A copy is given out with a
//! shared lock (flock(2)) on `files`; another process may take such a lock too, before the first one is freed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use super::{
    Catalogue, CollectPolicy, ImageStore, LayerRecord, PASSAGE_MODE, StoreError, files, random_id,
    usage::tree_bytes,
};
use crate::record::LayerId;

/// The name of the copied layer itself.
const FILES: &str = "files";

/// A copy, or a place in one, that is not removed as long as this or another shared lock on `copy` is held.
#[derive(Debug)]
pub struct HeldCopy {
    pub path: PathBuf,
    /// The copy's own directory.
    pub copy: PathBuf,
    /// Freed with it.
    _lock: File,
}

/// Names a copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LayerCopy {
    pub layer: LayerId,
    pub kind: String,
}

impl ImageStore {
    /// The place in a copy of `path`, which is a layer of this store or lies in one; `None` when it does not. If there is no such copy,
    /// `make` is called with the layer and an empty directory to fill; others who ask for the same copy meanwhile wait. `kind` becomes a
    /// file name. Blocks.
    pub fn copy_of<E: From<StoreError>>(
        &self,
        path: &Path,
        kind: &str,
        make: impl FnOnce(&Path, &Path) -> Result<(), E>,
    ) -> Result<Option<HeldCopy>, E> {
        let Some((layer, inside)) = self.layer_with(path) else {
            return Ok(None);
        };
        let copy = LayerCopy {
            layer: layer.id.clone(),
            kind: kind.to_owned(),
        };
        if let Some(held) = self.use_copy(&copy, &inside)? {
            return Ok(Some(held));
        }
        let _others_wait = self.hold_copy(&copy);
        if let Some(held) = self.use_copy(&copy, &inside)? {
            return Ok(Some(held));
        }
        let draft = self.begin_layer()?;
        make(&self.place(&layer), draft.path())?;
        files::sync_file_system(draft.path())?;
        Ok(Some(self.keep_copy(&copy, draft.path(), &inside)?))
    }

    /// The layer that is or holds `path`, and the way from there.
    fn layer_with(&self, path: &Path) -> Option<(LayerRecord, PathBuf)> {
        let path = path.canonicalize().ok()?;
        self.catalogue().layers.values().find_map(|layer| {
            let inside = path.strip_prefix(self.place(layer)).ok()?;
            Some((layer.clone(), inside.to_owned()))
        })
    }

    /// Under the catalogue's lock, as a collection is: it removes nothing between the look and the lock.
    fn use_copy(&self, copy: &LayerCopy, inside: &Path) -> Result<Option<HeldCopy>, StoreError> {
        let _catalogue = self.catalogue();
        let directory = self.copy_directory(copy);
        let files = directory.join(FILES);
        if !files.is_dir() {
            return Ok(None);
        }
        super::collect::mark_used(&directory);
        hold(files, inside).map(Some)
    }

    fn keep_copy(&self, copy: &LayerCopy, made: &Path, inside: &Path) -> Result<HeldCopy, StoreError> {
        let catalogue = self.catalogue();
        if !catalogue.layers.contains_key(&copy.layer) {
            return Err(StoreError::UnknownLayer {
                id: copy.layer.clone(),
            });
        }
        let directory = self.copy_directory(copy);
        files::create_directory(&directory, PASSAGE_MODE)?;
        let files = directory.join(FILES);
        fs::rename(made, &files).map_err(|error| StoreError::file("move into place", &files, error))?;
        files::sync_directory(&directory)?;
        hold(files, inside)
    }

    fn copy_directory(&self, copy: &LayerCopy) -> PathBuf {
        copies(self.root()).join(&copy.layer.0).join(&copy.kind)
    }

    /// All copies.
    pub fn copies(&self) -> Result<Vec<LayerCopy>, StoreError> {
        list(self.root())
    }

    /// The bytes that all copies take on disk, and those of each.
    pub(super) fn copy_sizes(&self) -> Result<Vec<(LayerCopy, u64)>, StoreError> {
        let mut sizes = Vec::new();
        for copy in self.copies()? {
            let known = self.catalogue().copy_sizes.get(&copy).copied();
            let bytes = match known {
                Some(bytes) => bytes,
                None => self.measure_copy(&copy)?,
            };
            sizes.push((copy, bytes));
        }
        Ok(sizes)
    }

    fn measure_copy(&self, copy: &LayerCopy) -> Result<u64, StoreError> {
        let directory = self.copy_directory(copy);
        let bytes = tree_bytes(&directory).map_err(|error| StoreError::file("measure", &directory, error))?;
        self.catalogue().copy_sizes.insert(copy.clone(), bytes);
        Ok(bytes)
    }

    /// Whether somebody works with a copy of the layer.
    pub(super) fn has_copy_in_use(&self, layer: &LayerId) -> bool {
        let of_layer = list(self.root()).unwrap_or_default();
        of_layer
            .iter()
            .filter(|copy| copy.layer == *layer)
            .any(|copy| self.is_in_use(copy))
    }

    fn is_in_use(&self, copy: &LayerCopy) -> bool {
        let Ok(file) = File::open(self.copy_directory(copy).join(FILES)) else {
            return false;
        };
        // Freed at once, with the descriptor.
        matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock))
    }

    /// Moves the copies that may go out of their places; what is left to delete, and what it was.
    pub(super) fn forget_copies(
        &self,
        catalogue: &mut Catalogue,
        policy: &CollectPolicy,
    ) -> Result<Vec<(LayerCopy, PathBuf)>, StoreError> {
        let mut gone = Vec::new();
        for copy in list(self.root())? {
            let is_old = super::collect::used_at(&self.copy_directory(&copy)) < policy.unused_since;
            if is_old && !self.is_in_use(&copy) {
                let place = self.move_copy_away(catalogue, &copy)?;
                gone.push((copy, place));
            }
        }
        Ok(gone)
    }

    /// All copies of a layer that goes itself.
    pub(super) fn forget_copies_of(
        &self,
        catalogue: &mut Catalogue,
        layer: &LayerId,
    ) -> Result<Vec<PathBuf>, StoreError> {
        let mut gone = Vec::new();
        for copy in list(self.root())?.into_iter().filter(|copy| copy.layer == *layer) {
            gone.push(self.move_copy_away(catalogue, &copy)?);
        }
        // Empty now.
        files::remove_tree(&copies(self.root()).join(&layer.0))?;
        Ok(gone)
    }

    fn move_copy_away(&self, catalogue: &mut Catalogue, copy: &LayerCopy) -> Result<PathBuf, StoreError> {
        let directory = self.copy_directory(copy);
        let gone = self.root().join("drafts").join(random_id());
        fs::rename(&directory, &gone).map_err(|error| StoreError::file("move away", &directory, error))?;
        catalogue.copy_sizes.remove(copy);
        Ok(gone)
    }
}

fn copies(root: &Path) -> PathBuf {
    root.join("copies")
}

fn hold(files: PathBuf, inside: &Path) -> Result<HeldCopy, StoreError> {
    let lock = File::open(&files)
        .and_then(|file| file.try_lock_shared().map(|()| file).map_err(Into::into))
        .map_err(|error| StoreError::file("lock", &files, error))?;
    // An empty path would end the other in a slash.
    let path = if inside.as_os_str().is_empty() {
        files.clone()
    } else {
        files.join(inside)
    };
    Ok(HeldCopy {
        path,
        copy: files,
        _lock: lock,
    })
}

fn list(root: &Path) -> Result<Vec<LayerCopy>, StoreError> {
    let mut found = Vec::new();
    for of_layer in files::list(&copies(root))? {
        for copy in files::list(&of_layer)? {
            found.push(LayerCopy {
                layer: LayerId(name_of(&of_layer)),
                kind: name_of(&copy),
            });
        }
    }
    Ok(found)
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// What no layer of the records needs, or what a crash left half moved.
pub(super) fn orphans(root: &Path, catalogue: &Catalogue) -> Result<Vec<PathBuf>, StoreError> {
    let mut orphans = Vec::new();
    for of_layer in files::list(&copies(root))? {
        if !catalogue.layers.contains_key(&LayerId(name_of(&of_layer))) {
            orphans.push(of_layer);
            continue;
        }
        let half = files::list(&of_layer)?
            .into_iter()
            .filter(|copy| !copy.join(FILES).is_dir());
        orphans.extend(half);
    }
    Ok(orphans)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::store::{Collected, Pinned};

    const DAY: Duration = Duration::from_hours(24);

    struct World {
        root: tempfile::TempDir,
        store: ImageStore,
        layer: LayerId,
        made: u32,
    }

    impl World {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let store = ImageStore::open(root.path()).unwrap();
            let draft = store.begin_layer().unwrap();
            fs::create_dir(draft.path().join("bin")).unwrap();
            fs::write(draft.path().join("bin/tool"), vec![1; 8192]).unwrap();
            let layer = draft.commit(None).unwrap();
            Self {
                root,
                store,
                layer,
                made: 0,
            }
        }

        fn path(&self) -> PathBuf {
            self.store.layer_path(&self.layer).unwrap()
        }

        fn copy_of(&mut self, path: &Path, kind: &str) -> Option<PathBuf> {
            let made = self.store.copy_of(path, kind, |layer, to| {
                self.made += 1;
                fs::create_dir(to.join("bin")).unwrap();
                fs::copy(layer.join("bin/tool"), to.join("bin/tool")).unwrap();
                Ok::<(), StoreError>(())
            });
            // Nobody holds it, as when whoever asked has ended.
            made.unwrap().map(|held| held.path)
        }

        fn directory(&self, kind: &str) -> PathBuf {
            self.root.path().join("copies").join(&self.layer.0).join(kind)
        }

        fn set_age(&self, kind: &str, age: Duration) {
            let directory = File::open(self.directory(kind)).unwrap();
            directory.set_modified(SystemTime::now() - age).unwrap();
        }

        fn collect(&self, in_use: &Pinned) -> Collected {
            let policy = CollectPolicy {
                unused_since: SystemTime::now() - Duration::from_hours(1),
                cache_bytes: 0,
            };
            self.store.collect(in_use, &policy).unwrap()
        }

        fn pin(&self) {
            let pinned = Pinned {
                images: vec![],
                layers: vec![self.layer.clone()],
            };
            self.store.pin("test", pinned).unwrap();
        }
    }

    #[test]
    fn a_copy_is_made_once_and_survives() {
        let mut world = World::new();
        let path = world.path();
        let whole = world.copy_of(&path, "one").unwrap();
        let inside = world.copy_of(&path.join("bin"), "one").unwrap();
        assert_eq!(inside, whole.join("bin"));
        assert!(inside.join("tool").is_file());
        assert_ne!(world.copy_of(&path, "two").unwrap(), whole);
        assert_eq!(world.made, 2);
        assert_eq!(
            world.copy_of(world.root.path().join("drafts").as_path(), "one"),
            None
        );

        let root = world.root.path().to_owned();
        drop(world.store);
        world.store = ImageStore::open(&root).unwrap();
        assert_eq!(world.store.swept(), [""; 0]);
        assert_eq!(world.copy_of(&path, "one").unwrap(), whole);
        assert_eq!(world.made, 2);
    }

    #[test]
    fn a_copy_stays_from_the_moment_it_is_given_out() {
        let mut world = World::new();
        world.pin();
        let path = world.path();
        world.copy_of(&path, "one");
        let held = world
            .store
            .copy_of(&path, "one", |_, _| Err(StoreError::Interrupted))
            .unwrap()
            .unwrap();
        world.set_age("one", DAY);
        assert_eq!(world.collect(&Pinned::default()), Collected::default());
        drop(held);
        assert_eq!(world.collect(&Pinned::default()).copies.len(), 1);
    }

    #[test]
    fn a_copy_that_failed_leaves_nothing() {
        let world = World::new();
        let failed = world
            .store
            .copy_of(&world.path(), "one", |_, _| Err(StoreError::Interrupted));
        assert!(failed.is_err());
        assert_eq!(world.store.copies().unwrap(), []);
        assert_eq!(
            files::list(&world.root.path().join("drafts")).unwrap(),
            Vec::<PathBuf>::new()
        );
    }

    #[test]
    fn copies_count_as_disk_use() {
        let mut world = World::new();
        let before = world.store.disk_usage().unwrap();
        world.copy_of(&world.path(), "one");
        let usage = world.store.disk_usage().unwrap();
        assert!(usage.copy_bytes >= 8192, "{usage:?}");
        assert_eq!(usage.total_bytes, before.total_bytes + usage.copy_bytes);
    }

    #[test]
    fn old_copies_go_and_those_in_use_stay() {
        let mut world = World::new();
        world.pin();
        let held = world.copy_of(&world.path(), "held").unwrap();
        world.copy_of(&world.path(), "young");
        world.copy_of(&world.path(), "old");
        world.set_age("held", DAY);
        world.set_age("old", DAY);
        let lock = File::open(&held).unwrap();
        lock.lock_shared().unwrap();

        let collected = world.collect(&Pinned::default());
        let old = LayerCopy {
            layer: world.layer.clone(),
            kind: "old".to_owned(),
        };
        assert_eq!((collected.copies, collected.layers), (vec![old], vec![]));
        assert!(collected.freed_bytes >= 8192);
        assert!(held.is_dir() && !world.directory("old").exists());
        drop(lock);
        assert_eq!(world.collect(&Pinned::default()).copies.len(), 1);
        assert!(!held.exists());
    }

    #[test]
    fn copies_go_with_their_layer_and_one_in_use_keeps_it() {
        let mut world = World::new();
        let copy = world.copy_of(&world.path(), "one").unwrap();
        let record = world.store.layer_record_path(&world.layer);
        File::open(record)
            .unwrap()
            .set_modified(SystemTime::now() - DAY)
            .unwrap();
        let lock = File::open(&copy).unwrap();
        lock.lock_shared().unwrap();
        assert_eq!(world.collect(&Pinned::default()), Collected::default());
        drop(lock);
        assert_eq!(world.collect(&Pinned::default()).layers, [world.layer.clone()]);
        assert_eq!(
            files::list(&world.root.path().join("copies")).unwrap(),
            Vec::<PathBuf>::new()
        );
    }

    #[test]
    fn what_a_crash_left_of_copies_is_swept() {
        let world = World::new();
        let root = world.root.path().to_owned();
        for left in [
            format!("{}/half", world.layer),
            "0123456789ab/one/files".to_owned(),
        ] {
            fs::create_dir_all(root.join("copies").join(left)).unwrap();
        }
        drop(world.store);
        let store = ImageStore::open(&root).unwrap();
        assert_eq!(store.swept().len(), 2, "{:?}", store.swept());
        assert_eq!(store.copies().unwrap(), []);
    }
}
