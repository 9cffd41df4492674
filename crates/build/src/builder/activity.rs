//! Which builds go on, and which ended without anybody having taken their result yet.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use mainstay_images::{record::ImageId, store::Pinned};
use mainstay_spec::ids::{AppId, BuildId};

#[derive(Debug, Default)]
pub(super) struct Activity {
    builds: Mutex<Builds>,
}

#[derive(Debug, Default)]
pub(super) struct Builds {
    running: BTreeMap<BuildId, Running>,
    /// Their images stay until they are released.
    ended: BTreeMap<BuildId, ImageId>,
}

#[derive(Debug)]
struct Running {
    app: AppId,
    since: SystemTime,
}

/// A build that goes on until this is dropped.
pub(super) struct Going {
    activity: Arc<Activity>,
    build: BuildId,
}

impl Activity {
    pub(super) fn begin(self: &Arc<Self>, build: BuildId, app: AppId) -> Going {
        let since = SystemTime::now();
        self.builds().running.insert(build, Running { app, since });
        Going {
            activity: Arc::clone(self),
            build,
        }
    }

    /// Somebody has taken the result.
    pub(super) fn release(&self, build: BuildId) {
        self.builds().ended.remove(&build);
    }

    /// Locked: no build begins or ends meanwhile.
    pub(super) fn builds(&self) -> MutexGuard<'_, Builds> {
        self.builds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Builds {
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn is_running(&self, build: BuildId) -> bool {
        self.running.contains_key(&build)
    }

    /// What builds that ended made, as far as nobody has taken it.
    pub(super) fn results(&self) -> Pinned {
        Pinned {
            images: self.ended.values().cloned().collect(),
            layers: Vec::new(),
        }
    }

    pub(super) fn builds_for(&self, app: AppId) -> bool {
        self.running.values().any(|running| running.app == app)
    }

    /// The same by the short form of the app's id, which directories are named by.
    pub(super) fn builds_for_short(&self, app: &str) -> bool {
        self.running.values().any(|running| running.app.short() == app)
    }

    pub(super) fn oldest_since(&self) -> Option<SystemTime> {
        self.running.values().map(|running| running.since).min()
    }
}

impl Going {
    /// Its result waits to be taken, also when nothing goes on any more.
    pub(super) fn made(&self, image: ImageId) {
        self.activity.builds().ended.insert(self.build, image);
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.activity.builds().running.remove(&self.build);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_result_is_held_until_it_is_released() {
        let activity = Arc::new(Activity::default());
        let (build, app) = (
            BuildId::from_uuid(Uuid::from_u128(1)),
            AppId::from_uuid(Uuid::from_u128(2)),
        );
        let going = activity.begin(build, app);
        assert!(activity.builds().builds_for(app) && activity.builds().builds_for_short(&app.short()));
        assert!(activity.builds().oldest_since().is_some());
        let image = ImageId("1".to_owned());
        going.made(image.clone());
        drop(going);
        assert!(activity.builds().is_idle());
        assert_eq!(activity.builds().results().images, [image]);
        activity.release(build);
        assert_eq!(activity.builds().results(), Pinned::default());
    }

    #[test]
    fn a_build_that_is_cut_off_holds_nothing() {
        let activity = Arc::new(Activity::default());
        let build = BuildId::from_uuid(Uuid::from_u128(1));
        drop(activity.begin(build, AppId::from_uuid(Uuid::from_u128(2))));
        assert!(activity.builds().is_idle());
        assert_eq!(activity.builds().results(), Pinned::default());
    }
}
