//! The clock on the wall, by which schedules go. Everything that only measures how long something took has the runtime's own.

#[cfg(test)]
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;

/// The machine's clock; in tests one that is put forward by hand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    ahead_seconds: Arc<AtomicI64>,
}

impl Clock {
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the clock of tests has a state")]
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    #[cfg(test)]
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now() + jiff::SignedDuration::from_secs(self.ahead_seconds.load(Ordering::SeqCst))
    }

    #[cfg(test)]
    pub(crate) fn put_forward(&self, by: std::time::Duration) {
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        self.ahead_seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}
