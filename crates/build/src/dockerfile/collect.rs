//! Which images of the stores can go. Every changed step leaves one behind, so a component's store grows with each build; the shared store
//! grows with each base image that was ever named.
//!
//! An image stays while its top layer is in use (buildah then keeps all layers below), and while the last build used it: that is the step
//! cache. Only a store above its budget loses the cache too. A base image stays while any layer of any component's store lies on it. Pure
//! but for reading the stores' lists.

use std::{
    collections::{BTreeSet, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    buildah::write_private,
    storage::{self, StorageError, StoredImage},
};

const FILE: &str = "last-build.json";

/// What the last successful build of a store used and made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastBuild {
    /// The result: perhaps not yet known to whoever says what is in use.
    pub image: String,
    /// The step cache: images of cached and of new steps, cache stages included.
    pub cache: BTreeSet<String>,
}

impl LastBuild {
    /// The default when there was none, or its note is lost: then the cache is.
    pub(crate) fn read(store_root: &Path) -> Self {
        fs::read(store_root.join(FILE))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    pub(crate) fn write(&self, store_root: &Path) -> io::Result<()> {
        let text = serde_json::to_string(self).map_err(io::Error::other)?;
        write_private(&store_root.join(FILE), &text)
    }
}

/// Ids of the images to remove.
pub(crate) fn removable(
    store_root: &Path,
    in_use: &HashSet<PathBuf>,
    last: &LastBuild,
    cache_bytes_max: u64,
) -> Result<Vec<String>, StorageError> {
    let images = storage::images(store_root)?;
    let sizes = storage::layer_sizes(store_root)?;
    let is_needed = |image: &StoredImage| {
        image.id == last.image
            || image
                .layer_directory(store_root)
                .is_some_and(|directory| in_use.contains(&directory))
    };
    let total: u64 = sizes.values().sum();
    let keep_cache = total <= cache_bytes_max;
    let is_cache = |image: &StoredImage| keep_cache && last.cache.contains(&image.id);
    Ok(images
        .into_iter()
        .filter(|image| !is_needed(image) && !is_cache(image))
        .map(|image| image.id)
        .collect())
}

/// Ids of the base images to remove. Imported ones stay: nobody could pull them again.
pub(crate) fn removable_bases(
    shared_root: &Path,
    component_roots: &[PathBuf],
    in_use: &HashSet<PathBuf>,
    cache_bytes_max: u64,
) -> Result<Vec<String>, StorageError> {
    let mut built_on = HashSet::new();
    for root in component_roots {
        built_on.extend(storage::lain_on(root)?);
    }
    let is_needed = |image: &StoredImage| {
        let layers = storage::layers_of(shared_root, image).unwrap_or_default();
        let has_child = layers.iter().any(|(id, _)| built_on.contains(id));
        has_child || layers.iter().any(|(_, directory)| in_use.contains(directory))
    };
    let total: u64 = storage::layer_sizes(shared_root)?.values().sum();
    let is_cache = |image: &StoredImage| total <= cache_bytes_max && !image.names.is_empty();
    let is_imported = |image: &StoredImage| image.names.iter().any(|name| name.starts_with("localhost/"));
    Ok(storage::images(shared_root)?
        .into_iter()
        .filter(|image| !is_imported(image) && !is_cache(image) && !is_needed(image))
        .map(|image| image.id)
        .collect())
}

/// The step cache of a build that has just ended: what it took from the cache and what is new in the store.
pub(crate) fn cache_of(
    before: &BTreeSet<String>,
    after: Vec<StoredImage>,
    cached: &[String],
) -> BTreeSet<String> {
    after
        .into_iter()
        .map(|image| image.id)
        .filter(|id| !before.contains(id))
        .chain(cached.iter().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("overlay-images")).unwrap();
        fs::create_dir_all(dir.path().join("overlay-layers")).unwrap();
        fs::write(
            dir.path().join("overlay-images/images.json"),
            r#"[{"id":"running","layer":"a"},{"id":"new","layer":"b"},{"id":"step","layer":"c"},{"id":"old","layer":"d"},{"id":"bare"}]"#,
        )
        .unwrap();
        fs::write(
            dir.path().join("overlay-layers/layers.json"),
            r#"[{"id":"a","diff-size":10},{"id":"b","diff-size":10},{"id":"c","diff-size":10},{"id":"d","diff-size":10}]"#,
        )
        .unwrap();
        dir
    }

    fn gone(cache_bytes_max: u64) -> Vec<String> {
        let store = store();
        let in_use = HashSet::from([store.path().join("overlay/a/diff")]);
        let last = LastBuild {
            image: "new".to_owned(),
            cache: BTreeSet::from(["step".to_owned()]),
        };
        removable(store.path(), &in_use, &last, cache_bytes_max).unwrap()
    }

    #[test]
    fn what_runs_the_last_result_and_its_cache_stay() {
        assert_eq!(gone(40), ["old", "bare"]);
    }

    #[test]
    fn above_the_budget_the_cache_goes_too() {
        assert_eq!(gone(39), ["step", "old", "bare"]);
    }

    /// A shared store with a used base, an unused one, an imported one and one whose tag has moved on; and a store built on the first.
    fn stores() -> (tempfile::TempDir, PathBuf, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let (shared, own) = (dir.path().join("shared"), dir.path().join("own"));
        for (root, images, layers) in [
            (
                &shared,
                r#"[{"id":"used","layer":"u2","names":["docker.io/library/node:22"]},{"id":"idle","layer":"i","names":["docker.io/library/go:1"]},
                    {"id":"imported","layer":"m","names":["localhost/base:latest"]},{"id":"moved","layer":"v"}]"#,
                r#"[{"id":"u1","diff-size":10},{"id":"u2","parent":"u1","diff-size":10},{"id":"i","diff-size":10},{"id":"m","diff-size":10},{"id":"v","diff-size":10}]"#,
            ),
            (
                &own,
                r#"[{"id":"app","layer":"a"},{"id":"plain","layer":"u2"}]"#,
                r#"[{"id":"a","parent":"u2"}]"#,
            ),
        ] {
            for (directory, file, text) in [
                ("overlay-images", "images.json", images),
                ("overlay-layers", "layers.json", layers),
            ] {
                fs::create_dir_all(root.join(directory)).unwrap();
                fs::write(root.join(directory).join(file), text).unwrap();
            }
        }
        (dir, shared, vec![own])
    }

    #[test]
    fn base_images_stay_while_something_lies_on_them() {
        let (_dir, shared, components) = stores();
        let gone = |components: &[PathBuf], in_use: &HashSet<PathBuf>, budget| {
            removable_bases(&shared, components, in_use, budget).unwrap()
        };
        let nothing = HashSet::new();
        assert_eq!(gone(&components, &nothing, 50), ["moved"]);
        assert_eq!(gone(&components, &nothing, 49), ["idle", "moved"]);
        assert_eq!(gone(&[], &nothing, 49), ["used", "idle", "moved"]);
        let in_use = HashSet::from([shared.join("overlay/u1/diff")]);
        assert_eq!(gone(&[], &in_use, 49), ["idle", "moved"]);
    }

    #[test]
    fn the_note_of_the_last_build_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(LastBuild::read(dir.path()), LastBuild::default());
        let last = LastBuild {
            image: "i".to_owned(),
            cache: cache_of(&BTreeSet::new(), Vec::new(), &["c".to_owned()]),
        };
        last.write(dir.path()).unwrap();
        assert_eq!(LastBuild::read(dir.path()), last);
    }
}
