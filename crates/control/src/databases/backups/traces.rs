//! What a run has begun and must not outlive it. Whatever becomes of the run, its owner clears them away; after `kill -9` the next server's
//! sweep does, for it knows none of these instances and none of these files.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mainstay_diagnosis::facts::StopReason;
use mainstay_spec::ids::InstanceId;

use crate::{platform::Platform, rollout::take_away};

#[derive(Debug, Default)]
pub(super) struct Traces {
    instances: Mutex<Vec<InstanceId>>,
    files: Mutex<Vec<PathBuf>>,
}

impl Traces {
    /// Of an instance that is about to be started.
    pub(super) fn new_instance(&self) -> InstanceId {
        let id = InstanceId::from_uuid(uuid::Uuid::new_v4());
        lock(&self.instances).push(id);
        id
    }

    /// A file that is about to be made.
    pub(super) fn add_file(&self, path: &Path) {
        lock(&self.files).push(path.to_owned());
    }

    /// The file has another owner now.
    pub(super) fn hand_over(&self, path: &Path) {
        lock(&self.files).retain(|file| file != path);
    }

    /// Ends and removes it all, instances before the files that they use. What cannot go now is tried again by the next call.
    pub(super) async fn clear(&self, platform: &Platform) {
        let instances = lock(&self.instances).clone();
        for id in instances {
            match end(platform, id).await {
                Ok(()) => lock(&self.instances).retain(|known| *known != id),
                Err(error) => {
                    tracing::warn!(instance = %id, error = &error as &dyn std::error::Error, "could not end an instance of a backup");
                }
            }
        }
        let files = lock(&self.files).clone();
        for path in files {
            match tokio::fs::remove_file(&path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "could not remove a file of a backup");
                }
                _ => self.hand_over(&path),
            }
        }
    }
}

async fn end(platform: &Platform, id: InstanceId) -> Result<(), crate::platform::PlatformError> {
    take_away(platform, id, StopReason::Requested, Duration::ZERO).await?;
    platform.engine.forget(id).await?;
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
