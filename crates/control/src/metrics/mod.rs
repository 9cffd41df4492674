//! How much of their sizes instances use, and how often they were restarted: all of them are looked at from time to time.
//!
//! ```text
//!  store: places of what serves ──▶ engine: the use of each ──▶ store: one transaction ──▶ alerts that begin to hold, or no longer do
//! ```
//!
//! Nothing is measured for a request: what is asked for is what was stored. The use of the CPU is that between two looks, so a server's first look
//! has none. What begins and ends between two looks is not seen, but for restarts, which count up.

mod look;
mod watch;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{MissedTickBehavior, interval};

use self::look::Looks;
use crate::app::{Application, Refusal};

/// Then it is forgotten.
pub(crate) const KEPT: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Between two times at which what is old is made less.
const THINNED_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    looks: Looks,
    thinned_at: Option<Timestamp>,
}

/// Looks for as long as the server runs.
pub(crate) async fn look_at_instances(application: Application) {
    let every = Duration::from_secs(application.platform.config.metrics.every_seconds);
    let mut turns = interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut metrics = Metrics::default();
    loop {
        turns.tick().await;
        if let Err(error) = metrics.look(&application).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what instances use could not be looked at"
            );
        }
    }
}

impl Metrics {
    /// One look at everything.
    pub(crate) async fn look(&mut self, application: &Application) -> Result<(), Refusal> {
        let platform = &application.platform;
        let now = platform.clock.now();
        let samples = self.looks.look(platform).await?;
        if !samples.is_empty() {
            platform.store.add_samples(now, &samples).await?;
        }
        let is_old = |at: Timestamp| now.duration_since(at) >= THINNED_EVERY;
        if self.thinned_at.is_none_or(is_old) {
            let since = now.checked_sub(KEPT).unwrap_or(Timestamp::UNIX_EPOCH);
            platform.store.thin_samples(now, since).await?;
            self.thinned_at = Some(now);
        }
        watch::watch(application, now).await
    }
}
