//! When a sign is believed that an instance will not answer. Pure.
//!
//! Some healthy apps open a helper port first, or answer 503 until they are warm. So a sign counts once it has stood for a while; for less
//! where the instance sleeps, for then nothing more is to be expected of it.

use std::{net::IpAddr, time::Duration};

use tokio::time::Instant;

/// A sign that stands for so long is believed.
const BELIEVE_AFTER: Duration = Duration::from_secs(1);
/// What listens elsewhere and has nothing to do for so long has finished its start.
const BELIEVE_WHEN_QUIET_FOR: Duration = Duration::from_millis(300);
/// An instance is quiet that wants less than this part of one processor.
const QUIET_PART: u32 = 20;

/// What an instance shows that answers no probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sign {
    /// It listens, but nowhere where it is asked.
    ListensAt(Vec<(IpAddr, u16)>),
    /// It answers with a status that is not healthy.
    Answers(u16),
}

/// A sign that was seen, and for how long.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    sign: Sign,
    since: Instant,
    /// Since when it has had nothing to do.
    quiet_since: Instant,
    last: Instant,
    demand: Option<Duration>,
}

impl Suspicion {
    /// Takes in what one look showed. `demand` is the processor time that the instance has ever wanted. True once the sign is believed.
    pub(super) fn look(&mut self, now: Instant, sign: Option<Sign>, demand: Option<Duration>) -> bool {
        let Some(sign) = sign else {
            self.seen = None;
            return false;
        };
        match &mut self.seen {
            Some(seen) if seen.sign == sign => {
                seen.look(now, demand);
                seen.is_believed(now)
            }
            _ => {
                self.seen = Some(Seen {
                    sign,
                    since: now,
                    quiet_since: now,
                    last: now,
                    demand,
                });
                false
            }
        }
    }
}

impl Seen {
    fn look(&mut self, now: Instant, demand: Option<Duration>) {
        let wanted = demand
            .zip(self.demand)
            .map(|(now, before)| now.saturating_sub(before));
        let quiet = wanted.is_some_and(|wanted| wanted * QUIET_PART < now - self.last);
        if !quiet {
            self.quiet_since = now;
        }
        self.last = now;
        self.demand = demand;
    }

    fn is_believed(&self, now: Instant) -> bool {
        let quiet =
            matches!(self.sign, Sign::ListensAt(_)) && now - self.quiet_since >= BELIEVE_WHEN_QUIET_FOR;
        quiet || now - self.since >= BELIEVE_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(50);

    fn port(port: u16) -> Sign {
        Sign::ListensAt(vec![("0.0.0.0".parse().unwrap(), port)])
    }

    /// After how long the sign is believed that `sign` shows and `demand` goes with, each told by the milliseconds that have passed.
    fn believed_after(
        sign: impl Fn(u64) -> Option<Sign>,
        demand: impl Fn(u64) -> Option<u64>,
    ) -> Option<u64> {
        let mut suspicion = Suspicion::default();
        let start = Instant::now();
        (0..100).find_map(|look| {
            let elapsed = EVERY * look;
            let milliseconds = u64::try_from(elapsed.as_millis()).unwrap();
            let demand = demand(milliseconds).map(Duration::from_millis);
            suspicion
                .look(start + elapsed, sign(milliseconds), demand)
                .then_some(milliseconds)
        })
    }

    #[test]
    fn what_sleeps_behind_another_port_has_started() {
        assert_eq!(believed_after(|_| Some(port(3000)), |_| Some(80)), Some(300));
    }

    #[test]
    fn what_works_may_still_open_its_port() {
        assert_eq!(believed_after(|_| Some(port(3000)), Some), Some(1000));
        let works_first = |passed: u64| Some(passed.min(400));
        assert_eq!(believed_after(|_| Some(port(3000)), works_first), Some(700));
        let waits_for_a_busy_machine = |passed: u64| Some(passed / 10);
        assert_eq!(
            believed_after(|_| Some(port(3000)), waits_for_a_busy_machine),
            Some(1000)
        );
    }

    #[test]
    fn without_statistics_it_takes_the_longer_time() {
        assert_eq!(believed_after(|_| Some(port(3000)), |_| None), Some(1000));
    }

    #[test]
    fn what_changes_is_looked_at_anew() {
        let moves = |passed: u64| Some(port(if passed < 250 { 3000 } else { 4000 }));
        assert_eq!(believed_after(moves, |_| Some(80)), Some(550));
        assert_eq!(
            believed_after(|passed| (passed % 250 != 0).then(|| port(3000)), |_| Some(80)),
            None
        );
        let ever_another = |passed: u64| Some(port(u16::try_from(passed).unwrap()));
        assert_eq!(believed_after(ever_another, |_| Some(80)), None);
    }

    #[test]
    fn a_bad_answer_has_its_time_to_become_good() {
        let warms_up = |passed: u64| (passed < 950).then_some(Sign::Answers(503));
        assert_eq!(believed_after(warms_up, |_| Some(80)), None);
        assert_eq!(
            believed_after(|_| Some(Sign::Answers(503)), |_| Some(80)),
            Some(1000)
        );
    }
}
