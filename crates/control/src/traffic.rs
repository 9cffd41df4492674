//! What visitors of apps were sent: counted by the router, kept by day.
//!
//! Bytes belong to the day on which they are collected: those of an answer to the one on which it ended, or the next if it was the last minute.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::tz::TimeZone;
use tokio::time::{sleep, timeout};

use crate::platform::{Platform, PlatformError};

/// At the end of the server, for the last time.
const LAST_WITHIN: Duration = Duration::from_secs(3);

/// What the router gave away and could not be stored, by app: it says everything once.
#[derive(Debug, Default)]
pub(crate) struct Unstored(Mutex<BTreeMap<String, u64>>);

impl Unstored {
    fn add(&self, bytes: BTreeMap<String, u64>) {
        let mut unstored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (app, bytes) in bytes {
            let sum = unstored.entry(app).or_default();
            *sum = sum.saturating_add(bytes);
        }
    }

    fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Collects for as long as the server runs.
pub(crate) async fn count_traffic(platform: Arc<Platform>) {
    let every = Duration::from_secs(platform.config.metrics.every_seconds);
    loop {
        sleep(every).await;
        report(collect(&platform).await);
    }
}

/// For the end of the server, or of the router.
pub(crate) async fn collect_last(platform: &Platform) {
    if let Ok(collected) = timeout(LAST_WITHIN, collect(platform)).await {
        report(collected);
    } else {
        tracing::warn!("what visitors were sent could not be collected in time");
    }
}

/// Adds what was sent since the last time to what is known of today. What cannot be stored now is with the next time.
pub(crate) async fn collect(platform: &Platform) -> Result<(), PlatformError> {
    let unstored = &platform.unstored_traffic;
    unstored.add(platform.routes.take_traffic().await?);
    let bytes = unstored.take();
    let today = platform.clock.now().to_zoned(TimeZone::UTC).date();
    let stored = platform.store.add_traffic(today, &bytes).await;
    if stored.is_err() {
        unstored.add(bytes);
    }
    Ok(stored?)
}

fn report(collected: Result<(), PlatformError>) {
    if let Err(error) = collected {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "what visitors were sent could not be collected"
        );
    }
}
