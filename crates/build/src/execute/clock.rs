//! One timer for a whole build.

use std::time::Duration;

use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};

/// When the build began and when it has to be over; and whether somebody wants it to end.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    pub(crate) started_at: Timestamp,
    pub(crate) limit_seconds: u64,
    deadline: Instant,
    cancel: watch::Receiver<bool>,
}

/// Why a wait was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interruption {
    TimedOut,
    Canceled,
}

impl Clock {
    pub(crate) fn start(limit_seconds: u64, cancel: watch::Receiver<bool>) -> Self {
        Self {
            started_at: Timestamp::now(),
            limit_seconds,
            deadline: Instant::now() + Duration::from_secs(limit_seconds),
            cancel,
        }
    }

    /// Whole seconds that are left.
    pub(crate) fn seconds_left(&self) -> u64 {
        self.deadline.saturating_duration_since(Instant::now()).as_secs()
    }

    pub(crate) fn cancel(&self) -> watch::Receiver<bool> {
        self.cancel.clone()
    }

    /// Returns when the time is over or the build is canceled. Cancel safe.
    pub(crate) async fn interrupted(&self) -> Interruption {
        let mut cancel = self.cancel.clone();
        let canceled = async {
            // Without a sender nobody can cancel any more.
            if cancel.wait_for(|canceled| *canceled).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            // A timer that fired is the stronger reason.
            biased;
            () = tokio::time::sleep_until(self.deadline) => Interruption::TimedOut,
            () = canceled => Interruption::Canceled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_limit_counts_from_the_start() {
        let (_sender, receiver) = watch::channel(false);
        let clock = Clock::start(60, receiver);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(clock.seconds_left(), 40);
        assert_eq!(clock.interrupted().await, Interruption::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancel_interrupts_and_a_dropped_sender_does_not() {
        let (sender, receiver) = watch::channel(false);
        let clock = Clock::start(60, receiver);
        sender.send_replace(true);
        assert_eq!(clock.interrupted().await, Interruption::Canceled);
        let (sender, receiver) = watch::channel(false);
        let clock = Clock::start(60, receiver);
        drop(sender);
        assert_eq!(clock.interrupted().await, Interruption::TimedOut);
    }
}
