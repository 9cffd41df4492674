//! What is known of the instance being watched, and when to look at it next.

use std::time::Duration;

use jiff::Timestamp;
use mainstay_diagnosis::facts::{ListeningSocket, ProbeDefinition, ProbeOutcome};
use mainstay_engine::InstanceStatus;
use tokio::time::Instant;

use super::suspicion::{Sign, Suspicion};
use crate::probe::{HttpProbe, ProbeTarget};
use crate::rollout::{instance_plan::InstancePlan, readiness::Readiness};

/// Looks between the probes of the definition, so that a quick app need not wait for a slow period. They come this part of the elapsed
/// time apart: whatever an app takes to start, it waits at most so much longer to be seen.
const QUICK_LOOK_PART: u32 = 32;
const QUICK_LOOK_MIN: Duration = Duration::from_millis(5);
const QUICK_LOOK_MAX: Duration = Duration::from_secs(1);
/// Its sockets are looked at in the same way while it does not answer, at other times: there is more to read.
const OBSERVE_FIRST: Duration = Duration::from_millis(100);
const OBSERVE_PART: u32 = 8;
const OBSERVE_MIN: Duration = Duration::from_millis(50);
const OBSERVE_MAX: Duration = Duration::from_millis(500);
/// A worker has no probe; it is ready when it stayed alive this long.
const WORKER_SETTLES: Duration = Duration::from_secs(3);

/// What is known of the instance being watched.
pub(super) struct Watch {
    pub(super) began: Instant,
    pub(super) readiness: Option<Readiness>,
    pub(super) liveness: Option<Readiness>,
    pub(super) ready: bool,
    /// Waiting for a worker to have stayed alive.
    pub(super) settling: bool,
    pub(super) settles_at: Instant,
    pub(super) next_probe: Instant,
    pub(super) next_counted: Instant,
    pub(super) next_liveness: Instant,
    pub(super) next_observation: Instant,
    pub(super) suspicion: Suspicion,
    pub(super) last_outcome: Option<ProbeOutcome>,
    pub(super) answering_paths: Option<Vec<String>>,
    pub(super) told: bool,
}

impl Watch {
    pub(super) fn new(plan: &InstancePlan, instance: &InstanceStatus, was_ready: bool) -> Self {
        let began = Instant::now();
        let delay = plan
            .readiness
            .as_ref()
            .map_or(Duration::ZERO, |probe| seconds(probe.initial_delay_seconds));
        let liveness_delay = plan
            .liveness
            .as_ref()
            .map_or(Duration::ZERO, |probe| seconds(probe.initial_delay_seconds));
        let adopted =
            was_ready && instance.started_at < Timestamp::now() - jiff::SignedDuration::from_secs(1);
        let readiness = plan.readiness.clone().map(|probe| Readiness::new(probe, adopted));
        Self {
            began,
            ready: adopted,
            settling: readiness.is_none() && !adopted,
            settles_at: began + WORKER_SETTLES,
            next_probe: began + delay,
            next_counted: began
                + delay
                + plan
                    .readiness
                    .as_ref()
                    .map_or(Duration::ZERO, |probe| seconds(probe.period_seconds)),
            liveness: plan.liveness.clone().map(|probe| Readiness::new(probe, true)),
            next_liveness: began + liveness_delay,
            readiness,
            next_observation: began + OBSERVE_FIRST,
            suspicion: Suspicion::default(),
            last_outcome: None,
            answering_paths: None,
            told: false,
        }
    }

    pub(super) fn ready_at_once(&self) -> bool {
        self.ready
    }

    /// A redirect is healthy, and worth a note: nobody follows it.
    pub(super) fn redirect(&self) -> Option<String> {
        let Some(ProbeOutcome::Response { status, headers, .. }) = &self.last_outcome else {
            return None;
        };
        let is_redirect = (300..400).contains(status);
        let to = headers
            .iter()
            .find(|(name, _)| name == "location")
            .map(|(_, value)| format!(" to {value}"))
            .unwrap_or_default();
        is_redirect.then(|| {
            format!("the health check was redirected ({status}{to}); that counts as healthy, and it is not followed")
        })
    }

    pub(super) fn probe_counts(&self) -> bool {
        self.ready || Instant::now() >= self.next_counted
    }

    pub(super) fn schedule(&mut self, counted: bool) {
        let Some(readiness) = &self.readiness else { return };
        let period = seconds(readiness.definition().period_seconds);
        let now = Instant::now();
        if counted {
            self.next_counted = now + period;
        }
        if self.ready {
            self.next_probe = now + period;
            return;
        }
        self.next_probe = (now + quick_look_after(now - self.began)).min(self.next_counted.max(now));
    }

    pub(super) fn schedule_observation(&mut self, now: Instant) {
        self.next_observation = now + observe_after(now - self.began);
    }

    /// What shows that it will not answer, if anything does.
    pub(super) fn sign(&self, sockets: &[ListeningSocket]) -> Option<Sign> {
        let port = self.readiness.as_ref()?.definition().port;
        let is_asked = |socket: &ListeningSocket| socket.port == port && !socket.is_loopback();
        if !sockets.is_empty() && !sockets.iter().any(is_asked) {
            let places = sockets.iter().map(|socket| (socket.address, socket.port));
            return Some(Sign::ListensAt(places.collect()));
        }
        match self.last_outcome {
            Some(ProbeOutcome::Response { status, .. }) if !(200..400).contains(&status) => {
                Some(Sign::Answers(status))
            }
            _ => None,
        }
    }

    pub(super) fn target(&self, plan: &InstancePlan, instance: &InstanceStatus) -> ProbeTarget {
        let readiness = self
            .readiness
            .as_ref()
            .expect("only called while there is a readiness probe");
        target(plan, instance, readiness.definition())
    }
}

/// The pause before the next quick look at an instance that is watched for so long.
fn quick_look_after(elapsed: Duration) -> Duration {
    (elapsed / QUICK_LOOK_PART).clamp(QUICK_LOOK_MIN, QUICK_LOOK_MAX)
}

/// The pause before the next look at the sockets of an instance that is watched for so long.
fn observe_after(elapsed: Duration) -> Duration {
    (elapsed / OBSERVE_PART).clamp(OBSERVE_MIN, OBSERVE_MAX)
}

/// Whom and what `definition` asks.
pub(super) fn target(
    plan: &InstancePlan,
    instance: &InstanceStatus,
    definition: &ProbeDefinition,
) -> ProbeTarget {
    let address = instance.address.unwrap_or(std::net::Ipv4Addr::LOCALHOST);
    let address = std::net::SocketAddr::from((address, definition.port));
    let http = definition.http_path.clone().map(|path| HttpProbe {
        path,
        host: plan.probe_host.clone().unwrap_or_else(|| address.to_string()),
        headers: Vec::new(),
    });
    ProbeTarget {
        address,
        http,
        timeout: seconds(definition.timeout_seconds),
    }
}

pub(super) fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often an instance is looked at, and how late an answer that it could give after `started` is seen at worst.
    fn looks(started: Duration) -> (u32, Duration) {
        let (mut elapsed, mut count) = (Duration::ZERO, 0);
        while elapsed < started {
            elapsed += quick_look_after(elapsed);
            count += 1;
        }
        (count, elapsed.saturating_sub(started))
    }

    #[test]
    fn an_answer_is_seen_soon_and_a_slow_start_is_not_asked_all_the_time() {
        for (milliseconds, late_most, looks_most) in [
            (20, 5, 5),
            (400, 13, 65),
            (10_000, 313, 170),
            (120_000, 1000, 295),
        ] {
            let (count, late) = looks(Duration::from_millis(milliseconds));
            assert!(
                late <= Duration::from_millis(late_most),
                "{milliseconds} ms: seen {late:?} late"
            );
            assert!(count <= looks_most, "{milliseconds} ms: looked {count} times");
        }
    }
}
