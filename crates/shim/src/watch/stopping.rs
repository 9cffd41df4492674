//! A graceful stop: the stop signal, the grace period, the kill.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use mainstay_diagnosis::facts::{StopReason, StopRecord};
use mainstay_shim::cgroup::Cgroup;

use crate::system;

/// A fork that raced with the killing is killed by the next round.
const KILL_ROUND: Duration = Duration::from_millis(10);

/// Nothing, a stop that was asked for, or the killing after it.
#[derive(Debug, Default)]
pub(super) struct Stopping {
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    record: StopRecord,
    deadline: Instant,
    next_round: Option<Instant>,
}

impl Stopping {
    /// The first reason stays; a later call can only shorten the grace period.
    pub(super) fn ask(&mut self, reason: StopReason, grace_period: Duration, init: i32, stop_signal: i32) {
        let deadline = Instant::now() + grace_period;
        if let Some(asked) = &mut self.asked {
            if deadline < asked.deadline {
                asked.deadline = deadline;
                asked.record.grace_period_seconds = whole_seconds(grace_period);
            }
            return;
        }
        self.asked = Some(Asked {
            record: StopRecord {
                reason,
                asked_at: Timestamp::now(),
                grace_period_seconds: whole_seconds(grace_period),
                killed_at: None,
            },
            deadline,
            next_round: None,
        });
        // An init that is gone needs no signal.
        let _ = system::kill(init, stop_signal);
    }

    pub(super) fn record(&self) -> Option<StopRecord> {
        self.asked.as_ref().map(|asked| asked.record.clone())
    }

    /// Whether the platform killed the main process.
    pub(super) fn killed(&self) -> bool {
        self.asked
            .as_ref()
            .is_some_and(|asked| asked.record.killed_at.is_some())
    }

    pub(super) fn next_moment(&self) -> Option<Instant> {
        self.asked
            .as_ref()
            .map(|asked| asked.next_round.unwrap_or(asked.deadline))
    }

    /// Kills what is left when the grace period has passed. What outlives a main process that ended in time is killed too, but
    /// that is not the app's failure to stop.
    pub(super) fn act(&mut self, now: Instant, cgroup: &Cgroup, main_ended: bool) {
        let Some(asked) = &mut self.asked else {
            return;
        };
        if now < asked.next_round.unwrap_or(asked.deadline) {
            return;
        }
        if asked.record.killed_at.is_none() && !main_ended {
            asked.record.killed_at = Some(Timestamp::now());
        }
        asked.next_round = Some(now + KILL_ROUND);
        cgroup.kill_once();
    }
}

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
