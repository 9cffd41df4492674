//! Dependency layers of a build.
//!
//! ```text
//!             the key is known                     it is not
//!  before     layer of an earlier build            fresh directory
//!  install    left out                             fills the directory; then it is sealed: it becomes a layer
//!  after      an empty writable layer lies over the dependencies; what is written to it becomes a small layer of its own
//! ```
//!
//! A sealed layer is known by its key only if the installation wrote nowhere else in the app: then showing the layer is the same as
//! installing again.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mainstay_engine::{Mount, MountKind};
use mainstay_images::{
    ImageStore,
    record::LayerId,
    store::{LayerDraft, LayerKey, StoreError},
};
use walkdir::WalkDir;

use super::workspace::make_owned;
use crate::plan::DependencyLayer;

/// All dependency layers of one build.
#[derive(Debug)]
pub(crate) struct Dependencies {
    store: ImageStore,
    places: Vec<DependencyPlace>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct DependencyPlace {
    key: LayerKey,
    /// In the container: "/workspace/api/node_modules".
    target: String,
    ignored: Vec<String>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Being filled.
    Fresh(LayerDraft),
    /// A finished layer, and the draft whose files lie over it.
    Covered { layer: LayerId, cover: LayerDraft },
}

impl Dependencies {
    /// Finds or begins each layer. `key_parts` is what all keys have in common: app, stack, tools, variables.
    pub(crate) fn prepare(
        store: &ImageStore,
        app_directory: &str,
        layers: &[DependencyLayer],
        key_parts: &[(String, String)],
        fresh: bool,
    ) -> Result<Self, StoreError> {
        let mut places = Vec::new();
        for layer in layers {
            let target = format!("{app_directory}/{}", layer.path);
            let key = key_of(&target, layer, key_parts);
            let known = store.layer_by_key(&key).filter(|_| !fresh);
            let state = match known {
                Some(layer) => State::Covered {
                    layer,
                    cover: begin(store, &target)?,
                },
                None => State::Fresh(begin(store, &target)?),
            };
            places.push(DependencyPlace {
                key,
                target,
                ignored: layer.ignored.clone(),
                state,
            });
        }
        Ok(Self {
            store: store.clone(),
            places,
        })
    }

    /// Whether there are some, and all come from earlier builds.
    pub(crate) fn are_reused(&self) -> bool {
        !self.places.is_empty()
            && self
                .places
                .iter()
                .all(|place| matches!(place.state, State::Covered { .. }))
    }

    pub(crate) fn mounts(&self) -> Result<Vec<Mount>, StoreError> {
        self.places.iter().map(|place| place.mount(&self.store)).collect()
    }

    /// Where the files are on this machine, to be looked for; writable layers not counted.
    pub(crate) fn directories(&self) -> Vec<(String, PathBuf)> {
        let directory = |place: &DependencyPlace| {
            let base = match &place.state {
                State::Fresh(draft) => Some(draft.path().to_owned()),
                State::Covered { layer, .. } => self.store.layer_path(layer).ok(),
            };
            Some((place.target.clone(), base?.join(inside(&place.target))))
        };
        self.places.iter().filter_map(directory).collect()
    }

    /// Directories that grow, for the disk budget.
    pub(crate) fn growing(&self) -> Vec<PathBuf> {
        let growing = |place: &DependencyPlace| match &place.state {
            State::Fresh(draft) | State::Covered { cover: draft, .. } => draft.path().to_owned(),
        };
        self.places.iter().map(growing).collect()
    }

    /// Makes fresh directories layers. `reusable` says whether later builds may take them by their key. Blocks.
    pub(crate) fn seal(&mut self, reusable: bool) -> Result<(), StoreError> {
        let mut sealed = Vec::new();
        for place in std::mem::take(&mut self.places) {
            let state = match place.state {
                State::Fresh(draft) => State::Covered {
                    layer: draft.commit(reusable.then(|| place.key.clone()))?,
                    cover: begin(&self.store, &place.target)?,
                },
                covered @ State::Covered { .. } => covered,
            };
            sealed.push(DependencyPlace { state, ..place });
        }
        self.places = sealed;
        Ok(())
    }

    /// The layers for the image, bottom first. Blocks.
    pub(crate) fn into_layers(mut self) -> Result<Vec<LayerId>, StoreError> {
        self.seal(false)?;
        let mut layers = Vec::new();
        for place in self.places {
            let State::Covered { layer, cover } = place.state else {
                continue;
            };
            layers.push(layer);
            let files = cover.path().join(inside(&place.target));
            let failed = |source| StoreError::File {
                operation: "look through",
                path: files.clone(),
                source,
            };
            drop_ignored(&files, &place.ignored).map_err(failed)?;
            if has_content(&files).map_err(failed)? {
                layers.push(cover.commit(None)?);
            }
        }
        Ok(layers)
    }
}

impl DependencyPlace {
    fn mount(&self, store: &ImageStore) -> Result<Mount, StoreError> {
        let inside = inside(&self.target);
        let kind = match &self.state {
            State::Fresh(draft) => MountKind::Writable {
                source: draft.path().join(inside),
            },
            State::Covered { layer, cover } => MountKind::Overlay {
                lower: vec![store.layer_path(layer)?.join(inside)],
                upper: cover.path().join(inside),
                work: cover.scratch("work")?,
            },
        };
        Ok(Mount {
            target: self.target.clone(),
            kind,
        })
    }
}

fn begin(store: &ImageStore, target: &str) -> Result<LayerDraft, StoreError> {
    let draft = store.begin_layer()?;
    make_owned(draft.path(), inside(target))?;
    Ok(draft)
}

/// A path of the container as one below a layer's directory.
fn inside(target: &str) -> &str {
    target.trim_start_matches('/')
}

fn key_of(target: &str, layer: &DependencyLayer, key_parts: &[(String, String)]) -> LayerKey {
    let parts = key_parts
        .iter()
        .chain(&layer.key)
        .map(|(name, value)| (name.as_str(), value.as_str()));
    LayerKey::new("dependencies", [("path", target)].into_iter().chain(parts))
}

fn drop_ignored(directory: &Path, ignored: &[String]) -> io::Result<()> {
    for name in ignored {
        let path = directory.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&path)?,
            _ => {}
        }
    }
    Ok(())
}

/// Whether something was written or removed: files, links, overlay's whiteouts (devices). Directories alone were only looked at or
/// touched, unless they hide what lies below.
fn has_content(directory: &Path) -> io::Result<bool> {
    for entry in WalkDir::new(directory).min_depth(1) {
        let entry = entry?;
        let kind = entry.file_type();
        if !kind.is_dir() || is_opaque(entry.path()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_opaque(directory: &Path) -> bool {
    let mut value = [0; 4];
    rustix::fs::lgetxattr(directory, "trusted.overlay.opaque", &mut value)
        .is_ok_and(|length| value[..length] == *b"y")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> DependencyLayer {
        DependencyLayer {
            path: "node_modules".to_owned(),
            key: vec![("package-lock.json".to_owned(), "1".to_owned())],
            ignored: vec![".cache".to_owned()],
        }
    }

    fn prepare(store: &ImageStore, app: &str) -> Dependencies {
        let parts = [("app".to_owned(), app.to_owned())];
        Dependencies::prepare(store, "/workspace", &[layer()], &parts, false).unwrap()
    }

    fn fill(dependencies: &Dependencies, path: &str) {
        let file = dependencies.growing()[0]
            .join("workspace/node_modules")
            .join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "").unwrap();
    }

    #[test]
    fn a_sealed_layer_is_taken_by_the_next_build_of_the_app_only() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let mut first = prepare(&store, "a");
        assert!(!first.are_reused());
        fill(&first, "express/index.js");
        first.seal(true).unwrap();
        let layers = first.into_layers().unwrap();
        assert_eq!(layers.len(), 1);
        let second = prepare(&store, "a");
        assert!(second.are_reused());
        assert_eq!(second.into_layers().unwrap(), layers);
        assert!(!prepare(&store, "b").are_reused());
    }

    #[test]
    fn an_installation_that_wrote_elsewhere_is_not_taken_again() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let mut first = prepare(&store, "a");
        first.seal(false).unwrap();
        assert!(!prepare(&store, "a").are_reused());
    }

    #[test]
    fn later_writes_become_a_layer_and_caches_do_not() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let mut dependencies = prepare(&store, "a");
        dependencies.seal(true).unwrap();
        fill(&dependencies, ".cache/x");
        let layers = dependencies.into_layers().unwrap();
        assert_eq!(layers.len(), 1);
        let dependencies = prepare(&store, "a");
        fill(&dependencies, ".prisma/client.js");
        assert_eq!(dependencies.into_layers().unwrap().len(), 2);
    }
}
