//! Removing what `collect` finds, store by store.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use super::{
    DockerfileEngine, DockerfileEngineError, collect,
    layout::Store,
    storage::{self, StorageError},
};

/// Keeps a command line well below the kernel's limit.
const IMAGES_PER_CALL: usize = 500;

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectedImages {
    /// In words, a line for each store.
    pub removed: Vec<String>,
    pub freed_bytes: u64,
}

impl DockerfileEngine {
    /// Removes images that nothing needs. `in_use` holds the layer directories of all images that somebody may still run
    /// ([`super::DockerfileImage::layers`]); what else is kept is each component's last result and, in a store of at most `cache_bytes_max`,
    /// its step cache. A store that is building is left out; base images wait until nothing builds.
    pub async fn collect(
        &self,
        in_use: &HashSet<PathBuf>,
        cache_bytes_max: u64,
    ) -> Result<CollectedImages, DockerfileEngineError> {
        let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        let in_use = &in_use.iter().map(real).collect();
        let mut collected = CollectedImages::default();
        let shared = self.layout.shared();
        let stores = self.layout.stores();
        let components = stores.iter().filter(|store| **store != shared);
        for store in components.clone() {
            let lock = self.lock(&store.root);
            let Ok(_guard) = lock.try_lock() else { continue };
            let last = collect::LastBuild::read(&store.root);
            let removable = collect::removable(&store.root, in_use, &last, cache_bytes_max);
            self.remove_images(store, removable, &mut collected).await?;
        }
        if let Ok(_nothing_builds) = self.bases.try_write() {
            let roots: Vec<PathBuf> = components.map(|store| store.root.clone()).collect();
            let removable = collect::removable_bases(&shared.root, &roots, in_use, cache_bytes_max);
            self.remove_images(&shared, removable, &mut collected).await?;
        }
        Ok(collected)
    }

    async fn remove_images(
        &self,
        store: &Store,
        images: Result<Vec<String>, StorageError>,
        collected: &mut CollectedImages,
    ) -> Result<(), DockerfileEngineError> {
        let operation = format!("collecting the images of {}", store.root.display());
        let images = images.map_err(|error| DockerfileEngineError::new(&operation, error))?;
        if images.is_empty() {
            return Ok(());
        }
        let before = bytes(&store.root);
        for some in images.chunks(IMAGES_PER_CALL) {
            self.short_call(&operation, &self.buildah(store).remove_images(some))
                .await?;
        }
        let freed = before.saturating_sub(bytes(&store.root));
        collected.freed_bytes += freed;
        let line = format!("{} images of {}", images.len(), store.root.display());
        collected.removed.push(line);
        Ok(())
    }
}

fn bytes(root: &Path) -> u64 {
    storage::layer_sizes(root).map_or(0, |sizes| sizes.values().sum())
}
