//! Layers that are made once per key, however many ask for them at the same time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::OwnedMutexGuard;

use super::{ImageStore, LayerCopy, LayerDraft, LayerKey, StoreError};
use crate::record::LayerId;

/// One lock per key that is being made right now.
#[derive(Debug, Default)]
pub(super) struct Makers {
    locks: Mutex<HashMap<LayerKey, Arc<tokio::sync::Mutex<()>>>>,
}

impl Makers {
    fn lock(&self, key: &LayerKey) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self
            .locks
            .lock()
            .expect("no code panics while it holds the locks");
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(key.clone()).or_default().clone()
    }
}

impl ImageStore {
    /// Waits until nobody else makes what `key` stands for, and keeps others out until the guard is dropped.
    pub(crate) async fn hold(&self, key: &LayerKey) -> OwnedMutexGuard<()> {
        self.inner.makers.lock(key).lock_owned().await
    }

    /// Keeps others out who want to make the same copy. Blocks while one of them does; not for the threads of a runtime.
    pub(super) fn hold_copy(&self, copy: &LayerCopy) -> OwnedMutexGuard<()> {
        let key = LayerKey::new("copy", [("layer", copy.layer.0.as_str()), ("kind", &copy.kind)]);
        self.inner.makers.lock(&key).blocking_lock_owned()
    }

    /// The layer for `key`; if there is none, `make` fills a draft which becomes it. Others who ask for the same key meanwhile wait, and
    /// try themselves if it fails. Cancel safe: a dropped future drops the draft.
    pub async fn layer_for<E, F>(&self, key: &LayerKey, make: F) -> Result<LayerId, E>
    where
        E: From<StoreError>,
        F: AsyncFnOnce(&LayerDraft) -> Result<(), E>,
    {
        if let Some(id) = self.layer_by_key(key) {
            return Ok(id);
        }
        let _held = self.hold(key).await;
        if let Some(id) = self.layer_by_key(key) {
            return Ok(id);
        }
        let draft = self.begin_layer()?;
        make(&draft).await?;
        let key = key.clone();
        let committed = tokio::task::spawn_blocking(move || draft.commit(Some(key))).await;
        Ok(committed.map_err(|_| StoreError::Interrupted)??)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_layer_is_made_once_for_all_who_ask() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let key = LayerKey::new("test", []);
        let made = AtomicU32::new(0);
        let ask = || {
            store.layer_for::<StoreError, _>(&key, async |_| {
                made.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok(())
            })
        };
        let (first, second, third) = tokio::join!(ask(), ask(), ask());
        assert_eq!(first.unwrap(), second.unwrap());
        third.unwrap();
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failed_try_leaves_nothing_and_can_be_repeated() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let key = LayerKey::new("test", []);
        let failed = store
            .layer_for(&key, async |_| Err(StoreError::Interrupted))
            .await;
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(root.path().join("drafts")).unwrap().count(), 0);
        store
            .layer_for::<StoreError, _>(&key, async |_| Ok(()))
            .await
            .unwrap();
    }
}
