//! The store: everything about images that is kept on disk.
//!
//! ```text
//!  <root>/lock                  held while a process has the store open
//!  <root>/layers/<id>/          a layer's files; complete and synced before there is a record
//!  <root>/copies/<id>/<kind>/   a copy of a layer, see `copies`
//!  <root>/drafts/<id>/          a layer in the making; whatever is left of one is removed at the next open
//!  <root>/records/layers/*.json what each layer is: its key, where it lies
//!  <root>/records/images/*.json image records
//!  <root>/records/pins/*.json   who needs what
//! ```
//!
//! A layer is committed in this order: files, rename into `layers/`, `syncfs`, record. So a record always has its files, and files
//! without a record belong to a commit that a crash cut short. Removal goes the other way round.
//!
//! Calls block for as long as the disk takes (a record: one fsync; a layer's commit: one `syncfs`).

mod collect;
mod copies;
mod draft;
mod error;
pub(crate) mod files;
mod key;
mod keyed;
mod layer;
mod pin;
mod usage;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use self::files::{LAYER_MODE, PASSAGE_MODE};
pub use self::{
    collect::{CollectPolicy, Collected, Released},
    copies::{HeldCopy, LayerCopy},
    draft::LayerDraft,
    error::StoreError,
    key::LayerKey,
    layer::{LayerLocation, LayerRecord},
    pin::{Pin, Pinned},
    usage::{DiskUsage, disk_bytes, free_bytes, tree_bytes},
};
use crate::record::{ImageId, ImageRecord, LayerId};

/// How long a killed process's tools may take to end.
const LEFTOVER_DEADLINE: Duration = Duration::from_secs(5);

/// The open store. Clones share it; one process has it at a time.
#[derive(Debug, Clone)]
pub struct ImageStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    catalogue: Mutex<Catalogue>,
    makers: keyed::Makers,
    swept: Vec<String>,
    /// Closing it frees the store for another process.
    _lock: File,
}

/// The records, as read at open and kept in step with the disk since.
#[derive(Debug, Default)]
struct Catalogue {
    layers: BTreeMap<LayerId, LayerRecord>,
    keys: HashMap<LayerKey, LayerId>,
    images: BTreeMap<ImageId, ImageRecord>,
    pins: BTreeMap<String, Pin>,
    /// Of layers that have been measured.
    sizes: BTreeMap<LayerId, u64>,
    /// Of copies that have been measured.
    copy_sizes: BTreeMap<LayerCopy, u64>,
}

impl ImageStore {
    /// Opens the store, creating it where there is none, and removes what a killed process left half done.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        for directory in ["layers", "drafts", "copies"] {
            files::create_directory(&root.join(directory), PASSAGE_MODE)?;
        }
        for directory in ["records/layers", "records/images", "records/pins"] {
            files::create_directory(&root.join(directory), 0o700)?;
        }
        let root = root
            .canonicalize()
            .map_err(|error| StoreError::file("open", root, error))?;
        let lock = lock(&root)?;
        let catalogue = Catalogue::read(&root)?;
        let swept = sweep(&root, &catalogue)?;
        Ok(Self {
            inner: Arc::new(Inner {
                root,
                catalogue: Mutex::new(catalogue),
                makers: keyed::Makers::default(),
                swept,
                _lock: lock,
            }),
        })
    }

    /// What the open removed: one line each, empty after a clean end.
    pub fn swept(&self) -> &[String] {
        &self.inner.swept
    }

    /// The directory of the store, without symbolic links.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.inner
            .catalogue
            .lock()
            .expect("no code panics while it holds the catalogue")
    }
}

impl Catalogue {
    fn read(root: &Path) -> Result<Self, StoreError> {
        let layers = files::read_records::<LayerRecord>(&root.join("records/layers"))?;
        let images = files::read_records::<ImageRecord>(&root.join("records/images"))?;
        let pins = files::read_records::<Pin>(&root.join("records/pins"))?;
        Ok(Self {
            keys: layers
                .iter()
                .filter_map(|layer| Some((layer.key.clone()?, layer.id.clone())))
                .collect(),
            layers: layers
                .into_iter()
                .map(|layer| (layer.id.clone(), layer))
                .collect(),
            images: images
                .into_iter()
                .map(|image| (image.id.clone(), image))
                .collect(),
            sizes: BTreeMap::new(),
            copy_sizes: BTreeMap::new(),
            pins: pins.into_iter().map(|pin| (pin.name.clone(), pin)).collect(),
        })
    }
}

/// Takes the store for this process. The kernel frees it when the process ends, however it ends.
fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| StoreError::file("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse {
            root: root.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(error)) => Err(StoreError::file("lock", &path, error)),
    }
}

/// Removes drafts, layer directories that have no record, and copies of no layer; detaches what is still mounted in a draft.
fn sweep(root: &Path, catalogue: &Catalogue) -> Result<Vec<String>, StoreError> {
    let mut swept = Vec::new();
    let drafts = root.join("drafts");
    for mount_point in crate::mounts::below(&drafts) {
        crate::mounts::detach(&mount_point);
        swept.push(format!("mount {}", mount_point.display()));
    }
    let known: BTreeSet<PathBuf> = catalogue
        .layers
        .keys()
        .map(|id| root.join("layers").join(&id.0))
        .collect();
    let orphans = files::list(&root.join("layers"))?
        .into_iter()
        .filter(|path| !known.contains(path))
        .chain(copies::orphans(root, catalogue)?);
    for path in files::list(&drafts)?.into_iter().chain(orphans) {
        remove_leftover(&path)?;
        swept.push(format!("directory {}", path.display()));
    }
    Ok(swept)
}

/// Removes a tree that tools of a killed process may still be writing to: the kernel ends them with it, but not before it.
fn remove_leftover(path: &Path) -> Result<(), StoreError> {
    let deadline = Instant::now() + LEFTOVER_DEADLINE;
    loop {
        match files::remove_tree(path) {
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::yield_now(),
            Ok(()) => return Ok(()),
        }
    }
}

/// A name for a layer or image: random, short (overlay's list of layers must fit into one page), a file name.
fn random_id() -> String {
    let mut id = uuid::Uuid::new_v4().simple().to_string();
    id.truncate(12);
    id
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_second_open_is_refused_while_the_first_lives() {
        let root = tempfile::tempdir().unwrap();
        let first = ImageStore::open(root.path()).unwrap();
        assert!(matches!(
            ImageStore::open(root.path()),
            Err(StoreError::InUse { .. })
        ));
        drop(first);
        ImageStore::open(root.path()).unwrap();
    }

    #[test]
    fn leftovers_of_a_killed_process_are_swept_and_layers_stay() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let kept = store.begin_layer().unwrap().commit(None).unwrap();
        for leftover in ["drafts/0123456789ab/layer/half", "layers/0123456789ab/whole"] {
            fs::create_dir_all(store.root().join(leftover)).unwrap();
        }
        drop(store);

        let store = ImageStore::open(root.path()).unwrap();
        assert_eq!(store.swept().len(), 2, "{:?}", store.swept());
        assert_eq!(
            files::list(&store.root().join("drafts")).unwrap(),
            Vec::<PathBuf>::new()
        );
        assert_eq!(
            files::list(&store.root().join("layers")).unwrap(),
            [store.layer_path(&kept).unwrap()]
        );
    }
}
