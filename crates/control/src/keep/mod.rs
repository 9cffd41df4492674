//! What is kept and what is collected.
//!
//! One task looks after the disk: at start, after each deployment that ended, after an app went, from time to time, and when the disk gets
//! full. Each collection is level-triggered: it asks the store what is still needed and deletes the rest, so that nothing has to be
//! remembered from one to the next.
//!
//! ```text
//!  pins       images that somebody may still start                          ◀─ store: which deployments are held
//!  uploads    folders that no spec names
//!  builder    images without a pin, layers, tool caches, mirrors, Dockerfile stores
//!  evidence   logs and records by age, then by bytes; then their rows
//! ```
//!
//! When the disk is nearly full, caches give way first, then logs, the oldest of the largest app first. What explains the newest failure of an
//! app, and what serves, stays.

mod choice;
#[cfg(test)]
mod choice_tests;
mod evidence;
pub(crate) mod pins;
#[cfg(test)]
mod pins_tests;

use std::{sync::Arc, time::Duration};

pub(crate) use evidence::LogUse;
use jiff::{SignedDuration, Timestamp};
use mainstay_build::KeepPolicy;
use mainstay_images::store::free_bytes;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    platform::{Platform, PlatformError},
    uploads,
};

/// A collection that takes longer goes on with the next one.
const COLLECTS_WITHIN: Duration = Duration::from_mins(10);
/// What ends together is collected together.
const SETTLES: Duration = Duration::from_secs(2);
/// How often the free space is looked at.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Between two collections for want of space: one that could not help does not help again at once.
const PRESSED_EVERY: Duration = Duration::from_mins(5);
/// With a nearly full disk, what is not used right now goes.
const UNUSED_WHEN_PRESSED: Duration = Duration::from_mins(1);

/// Says that there may be something to collect.
#[derive(Debug, Default)]
pub(crate) struct Nudge {
    notify: Notify,
}

impl Nudge {
    pub(crate) fn nudge(&self) {
        self.notify.notify_one();
    }
}

/// What went.
#[derive(Debug, Default)]
pub(crate) struct Freed {
    pub bytes: u64,
    /// "12 logs".
    pub what: Vec<String>,
}

impl Freed {
    pub(crate) fn count(&mut self, count: usize, what: &str) {
        if count > 0 {
            self.what.push(format!("{count} {what}"));
        }
    }

    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.what.extend(other.what);
    }
}

/// Collects for as long as the server runs.
pub(crate) async fn keep_house(platform: Arc<Platform>) {
    loop {
        let freed = collect(&platform, Instant::now() + COLLECTS_WITHIN).await;
        if !freed.what.is_empty() {
            tracing::info!(bytes = freed.bytes, what = freed.what.join(", "), "collected");
        }
        wait(&platform, Instant::now()).await;
    }
}

/// Until there may be something to do.
async fn wait(platform: &Platform, last: Instant) {
    let next = last + Duration::from_secs(platform.config.keep.every_seconds);
    loop {
        tokio::select! {
            () = platform.nudge.notify.notified() => return sleep(SETTLES).await,
            () = sleep_until(next) => return,
            () = sleep(LOOK_EVERY) => {
                if shortage(platform) > 0 && last.elapsed() >= PRESSED_EVERY {
                    return;
                }
            }
        }
    }
}

/// Every part is tried, whatever becomes of the others.
async fn collect(platform: &Arc<Platform>, deadline: Instant) -> Freed {
    let mut freed = Freed::default();
    let rollbacks = platform.config.keep.rollback_deployments;
    let pins = pins::drop_retired(&platform.store, &platform.images, rollbacks);
    if let Some(count) = within(deadline, "let go of images", pins).await {
        freed.count(count, "deployments' hold on images");
    }
    if let Some(count) = within(deadline, "forget old entries of the audit log", audit(platform)).await {
        freed.count(count, "entries of the audit log");
    }
    let parts = [
        within(deadline, "collect uploads", uploads::collect(platform, rollbacks)).await,
        within(deadline, "collect images and caches", build(platform)).await,
        within(
            deadline,
            "collect logs",
            evidence::collect(platform, shortage(platform), deadline),
        )
        .await,
    ];
    parts.into_iter().flatten().for_each(|part| freed.add(part));
    let missing = shortage(platform);
    if missing > 0 {
        tracing::warn!(
            missing_bytes = missing,
            "the disk is nearly full, and nothing more of the platform's can go"
        );
    }
    freed
}

async fn within<T>(
    deadline: Instant,
    operation: &str,
    part: impl Future<Output = Result<T, PlatformError>>,
) -> Option<T> {
    match timeout_at(deadline, part).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "could not {operation}");
            None
        }
        Err(_) => {
            tracing::warn!("there was no time left to {operation}; it goes on with the next collection");
            None
        }
    }
}

async fn audit(platform: &Platform) -> Result<usize, PlatformError> {
    let config = &platform.config.keep;
    let kept_for = SignedDuration::from_secs(config.audit_seconds.try_into().unwrap_or(i64::MAX));
    // What reaches back to before the first time is for good.
    let before = Timestamp::now().checked_sub(kept_for).unwrap_or(Timestamp::MIN);
    let gone = platform.store.forget_audit(before, config.audit_rows_max).await?;
    Ok(usize::try_from(gone).unwrap_or(usize::MAX))
}

async fn build(platform: &Platform) -> Result<Freed, PlatformError> {
    let config = &platform.config.keep;
    let policy = match shortage(platform) {
        0 => KeepPolicy {
            unused_for: Duration::from_secs(config.unused_seconds),
            cache_bytes_max: config.cache_bytes_max,
            dockerfile_cache_bytes_max: config.dockerfile_cache_bytes_max,
        },
        _ => KeepPolicy {
            unused_for: UNUSED_WHEN_PRESSED.min(Duration::from_secs(config.unused_seconds)),
            cache_bytes_max: 0,
            dockerfile_cache_bytes_max: 0,
        },
    };
    let report = platform.builder.collect(&policy).await?;
    Ok(Freed {
        bytes: report.freed_bytes,
        what: report.removed,
    })
}

/// Bytes that are missing to the free space that has to stay. A disk that cannot be asked has none missing.
fn shortage(platform: &Platform) -> u64 {
    let wanted = platform.config.keep.disk_free_bytes_min;
    match free_bytes(&platform.config.data_dir) {
        Ok(free) => wanted.saturating_sub(free),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not ask for the free space"
            );
            0
        }
    }
}
