//! Deleting what builds left for later ones: images that nobody pins, caches above their budget, Dockerfile stores.
//!
//! Builds go on meanwhile. What they use was used since they began, and everything used since then stays.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use mainstay_images::store::{CollectPolicy, Collected, StoreError, tree_bytes};
use mainstay_spec::ids::AppId;

use super::{BuilderError, Inner, activity::Builds};
use crate::{CollectReport, KeepPolicy, Source};

/// Caches that nobody used for so long go even if there is room.
const CACHES_KEPT: Duration = Duration::from_hours(30 * 24);
/// Caches on their way out begin so: no app or component is named like it.
const TRASH: &str = ".trash-";
const FORMER_BUILD_PIN: &str = "build ";
/// A clock's grain, and the time between the decision and the moment that it is made for.
const UNUSED_MIN: Duration = Duration::from_secs(1);

/// A tool cache or a git mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cache {
    used_at: SystemTime,
    bytes: u64,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Of a component; `app` is the short form of its id.
    Tools {
        app: String,
        path: PathBuf,
    },
    Mirror {
        name: String,
    },
}

impl Inner {
    pub(super) async fn collect(
        self: &Arc<Self>,
        policy: &KeepPolicy,
    ) -> Result<CollectReport, BuilderError> {
        let (unused_since, results) = {
            // Together: a build that goes on now counts by its begin, one that has ended by its result.
            let builds = self.activity.builds();
            (unused_since(&builds, policy.unused_for), builds.results())
        };
        let mut report = CollectReport::default();
        report.removed.extend(self.sweep_containers().await);
        let inner = Arc::clone(self);
        let (cache_bytes_max, caches) = (policy.cache_bytes_max, policy.cache_bytes_max / 2);
        let collected = tokio::task::spawn_blocking(move || {
            let (freed, left) = inner.collect_caches(unused_since, caches);
            let layers = CollectPolicy {
                unused_since,
                cache_bytes: cache_bytes_max.saturating_sub(left),
            };
            let collected = inner.store.collect(&results, &layers)?;
            Ok::<_, StoreError>((freed, collected))
        });
        let (freed, collected) = collected
            .await
            .map_err(|_| StoreError::Interrupted)
            .and_then(|collected| collected)
            .map_err(BuilderError::Store)?;
        report.freed_bytes += freed;
        report.note(&collected);
        self.collect_dockerfile(policy, &mut report).await?;
        match self.index.remove_stale(&self.store) {
            0 => {}
            count => report
                .removed
                .push(format!("{count} entries of builds whose image is gone")),
        }
        Ok(report)
    }

    /// All images of the store count as in use: those that nobody needs left it just before.
    async fn collect_dockerfile(
        &self,
        policy: &KeepPolicy,
        report: &mut CollectReport,
    ) -> Result<(), BuilderError> {
        let Some(dockerfile) = &self.dockerfile else {
            return Ok(());
        };
        let in_use = self.store.external_layers().into_iter().collect();
        let collected = dockerfile
            .collect(&in_use, policy.dockerfile_cache_bytes_max)
            .await
            .map_err(BuilderError::Dockerfile)?;
        report.removed.extend(collected.removed);
        report.freed_bytes += collected.freed_bytes;
        Ok(())
    }

    /// Earlier versions pinned what a build made until its deployment did.
    pub(super) fn sweep_pins(&self) -> Vec<String> {
        let pins = self.store.pins().into_iter();
        pins.filter(|pin| pin.name.starts_with(FORMER_BUILD_PIN) && self.store.unpin(&pin.name).is_ok())
            .map(|pin| format!("pin {}", pin.name))
            .collect()
    }

    // === tool caches and git mirrors ===

    /// Deletes old caches, then those used longest ago until the rest fits; says how much went and how much is left. Blocks.
    fn collect_caches(&self, unused_since: SystemTime, bytes_max: u64) -> (u64, u64) {
        self.empty_trash();
        let caches = self.caches();
        let total: u64 = caches.iter().map(|cache| cache.bytes).sum();
        let freed = dispensable(caches, unused_since, bytes_max)
            .into_iter()
            .filter(|cache| self.remove_cache(&cache.place))
            .map(|cache| cache.bytes)
            .sum();
        self.empty_trash();
        (freed, total - freed)
    }

    fn caches(&self) -> Vec<Cache> {
        let mirrors = self.sources.mirrors().into_iter().map(|mirror| Cache {
            used_at: mirror.used_at,
            bytes: tree_bytes(&mirror.path).unwrap_or(0),
            place: Place::Mirror { name: mirror.name },
        });
        let apps = directories(&self.state_dir.join("caches"));
        let tools = apps.into_iter().flat_map(|(app, path)| {
            let components = directories(&path).into_iter();
            components.filter_map(move |(_, path)| {
                Some(Cache {
                    used_at: fs::metadata(&path).and_then(|data| data.modified()).ok()?,
                    bytes: tree_bytes(&path).unwrap_or(0),
                    place: Place::Tools {
                        app: app.clone(),
                        path,
                    },
                })
            })
        });
        mirrors.chain(tools).collect()
    }

    fn remove_cache(&self, place: &Place) -> bool {
        match place {
            Place::Mirror { name } => self.sources.remove_mirror(name),
            Place::Tools { app, path } => {
                let trash = self.trash();
                // Locked: a build that begins after this finds no cache and makes another.
                let builds = self.activity.builds();
                !builds.builds_for_short(app) && fs::rename(path, trash).is_ok()
            }
        }
    }

    fn trash(&self) -> PathBuf {
        let name = format!("{TRASH}{}", uuid::Uuid::new_v4().simple());
        self.state_dir.join("caches").join(name)
    }

    /// What cannot be removed now is tried again with the next collection.
    fn empty_trash(&self) {
        let entries = fs::read_dir(self.state_dir.join("caches")).into_iter().flatten();
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(TRASH) {
                drop(fs::remove_dir_all(entry.path()));
            }
        }
    }

    // === an app that goes ===

    pub(super) async fn remove_app(&self, app: AppId, sources: &[Source]) -> Result<(), BuilderError> {
        let caches = self.app_caches(app);
        let trash = self.trash();
        {
            let builds = self.activity.builds();
            if builds.builds_for(app) {
                return Err(BuilderError::Building { app });
            }
            match fs::rename(&caches, &trash) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    let path = caches;
                    return Err(BuilderError::Directory { path, source });
                }
                _ => {}
            }
        }
        if let Some(dockerfile) = &self.dockerfile {
            let removed = dockerfile.remove_app(app).await;
            removed.map_err(BuilderError::Dockerfile)?;
        }
        for source in sources {
            if let Source::Git { url, .. } = source {
                self.sources.forget(url);
            }
        }
        match tokio::fs::remove_dir_all(&trash).await {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(BuilderError::Directory { path: trash, source })
            }
            _ => Ok(()),
        }
    }
}

/// What was used since then stays: at least everything that a build which goes on has used.
fn unused_since(builds: &Builds, unused_for: Duration) -> SystemTime {
    let now = SystemTime::now();
    let by_age = now.checked_sub(unused_for.max(UNUSED_MIN)).unwrap_or(now);
    let oldest = builds.oldest_since();
    oldest.map_or(by_age, |began| (began - UNUSED_MIN).min(by_age))
}

impl CollectReport {
    fn note(&mut self, collected: &Collected) {
        self.freed_bytes += collected.freed_bytes;
        if !collected.images.is_empty() {
            self.removed.push(format!("{} images", collected.images.len()));
        }
        if !collected.layers.is_empty() {
            self.removed.push(format!("{} layers", collected.layers.len()));
        }
    }
}

/// Names and paths of the directories in a directory, without trash.
fn directories(parent: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| !name.starts_with(TRASH))
        .collect()
}

/// Old ones, and of the others the ones used longest ago until the rest fits. What was used since `unused_since` is in use.
fn dispensable(mut caches: Vec<Cache>, unused_since: SystemTime, bytes_max: u64) -> Vec<Cache> {
    caches.sort_by_key(|cache| cache.used_at);
    let mut left: u64 = caches.iter().map(|cache| cache.bytes).sum();
    let old = SystemTime::now().checked_sub(CACHES_KEPT);
    caches.retain(|cache| {
        let is_old = old.is_some_and(|old| cache.used_at < old);
        let goes = cache.used_at < unused_since && (is_old || left > bytes_max);
        if goes {
            left -= cache.bytes;
        }
        goes
    });
    caches
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn cache(name: &str, age: Duration, bytes: u64) -> Cache {
        Cache {
            used_at: SystemTime::now() - age,
            bytes,
            place: Place::Mirror {
                name: name.to_owned(),
            },
        }
    }

    fn gone(bytes_max: u64) -> Vec<String> {
        let caches = vec![
            cache("now", Duration::ZERO, 50),
            cache("recent", 2 * HOUR, 20),
            cache("older", 3 * HOUR, 20),
            cache("ancient", CACHES_KEPT + HOUR, 1),
        ];
        dispensable(caches, SystemTime::now() - HOUR, bytes_max)
            .into_iter()
            .map(|cache| match cache.place {
                Place::Mirror { name } => name,
                Place::Tools { app, .. } => app,
            })
            .collect()
    }

    #[test]
    fn caches_go_by_age_then_by_their_last_use_until_the_rest_fits() {
        assert_eq!(gone(100), ["ancient"]);
        assert_eq!(gone(75), ["ancient", "older"]);
        assert_eq!(gone(60), ["ancient", "older", "recent"]);
        assert_eq!(gone(0), ["ancient", "older", "recent"], "what is in use stays");
    }
}
