//! What visitors of apps were sent: counted by the router, kept by day.
//!
//! Bytes belong to the day on which they are collected: those of an answer to the one on which it ended, or the next if it was the last minute.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use tokio::time::{sleep, timeout};

use crate::platform::{Platform, PlatformError};

/// At the end of the server, for the last time.
const LAST_WITHIN: Duration = Duration::from_secs(3);

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

/// Adds what was sent since the last time to what is known of today.
pub(crate) async fn collect(platform: &Platform) -> Result<(), PlatformError> {
    let bytes = platform.routes.take_traffic().await?;
    let today = platform.clock.now().to_zoned(TimeZone::UTC).date();
    Ok(platform.store.add_traffic(today, &bytes).await?)
}

fn report(collected: Result<(), PlatformError>) {
    if let Err(error) = collected {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "what visitors were sent could not be collected"
        );
    }
}
