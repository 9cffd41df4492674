//! The course of an instance's life: memory over time, connects that failed, a recent reading of the CPU counters. All of it bounded, all of
//! it still known when the instance is gone.
//!
//! Refused connects are told by the kernel ([`super::taps`]). Those that nobody answers, and memory, have to be looked at: each second in
//! the first minute, when apps start and fail, then each ten seconds. The socket table is read only when the kernel's counter says that a
//! connect was repeated.

use std::{
    collections::VecDeque,
    net::IpAddr,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use mainstay_diagnosis::facts::{
    Course, CpuReading, MemorySample, OutboundFailure, OutboundResult, UnknownName,
};
use mainstay_shim::{cgroup::Cgroup, socket_table};

use super::taps::Refusal;

const LOOK_EVERY_FIRST: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_secs(10);
const YOUNG: Duration = Duration::from_mins(1);
/// Of the whole life. When there are more, every second one goes, and from then on half as many are kept.
const SAMPLES_MAX: usize = 40;
/// The last ones, all of them.
const RECENT_MAX: usize = 12;
/// Destinations that are remembered, and names.
const FAILURES_MAX: usize = 16;
/// "Lately" is at least so long.
const LATELY: usize = 5;

#[derive(Debug)]
pub(super) struct CourseWatch {
    began: Instant,
    next_look: Instant,
    looks: u32,
    /// Of so many looks one is kept.
    stride: u32,
    whole: Vec<MemorySample>,
    recent: VecDeque<MemorySample>,
    cpu: VecDeque<CpuReading>,
    repeated_connects: u64,
    failures: Vec<OutboundFailure>,
    unknown_names: Vec<UnknownName>,
}

impl CourseWatch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            next_look: now,
            looks: 0,
            stride: 1,
            whole: Vec::new(),
            recent: VecDeque::new(),
            cpu: VecDeque::new(),
            repeated_connects: 0,
            failures: Vec::new(),
            unknown_names: Vec::new(),
        }
    }

    pub(super) fn next_moment(&self) -> Instant {
        self.next_look
    }

    pub(super) fn look(&mut self, now: Instant, cgroup: &Cgroup, init: i32) {
        if now < self.next_look {
            return;
        }
        let every = if now.duration_since(self.began) < YOUNG {
            LOOK_EVERY_FIRST
        } else {
            LOOK_EVERY
        };
        self.next_look = now + every;
        let at = Timestamp::now();
        if let Some(bytes) = cgroup.resident_bytes() {
            self.note_memory(MemorySample { at, bytes });
        }
        let usage = cgroup.usage();
        self.note_cpu(CpuReading {
            at,
            usage_micros: usage.cpu_usage_micros.unwrap_or_default(),
            throttled_micros: usage.cpu_throttled_micros.unwrap_or_default(),
        });
        self.look_for_unanswered(at, init);
    }

    fn note_memory(&mut self, sample: MemorySample) {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(sample);
        if self.looks.is_multiple_of(self.stride) {
            self.whole.push(sample);
        }
        self.looks += 1;
        if self.whole.len() > SAMPLES_MAX {
            let mut place = 0;
            self.whole.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.stride = self.stride.saturating_mul(2);
        }
    }

    fn note_cpu(&mut self, reading: CpuReading) {
        if self.cpu.len() == LATELY {
            self.cpu.pop_front();
        }
        self.cpu.push_back(reading);
    }

    fn look_for_unanswered(&mut self, at: Timestamp, init: i32) {
        let Some(repeated) = socket_table::repeated_connects(init) else {
            return;
        };
        if repeated == self.repeated_connects {
            return;
        }
        self.repeated_connects = repeated;
        for (address, port) in socket_table::unanswered(init) {
            self.note_failure(at, (address, port, OutboundResult::TimedOut));
        }
    }

    /// Each destination once, the latest last.
    pub(super) fn note_failure(&mut self, at: Timestamp, (address, port, result): Refusal) {
        let address = canonical(address);
        self.failures
            .retain(|known| (known.address, known.port) != (address, port));
        if self.failures.len() == FAILURES_MAX {
            self.failures.remove(0);
        }
        self.failures.push(OutboundFailure {
            address,
            port,
            result,
            at,
        });
    }

    /// Each name once, the latest last.
    pub(super) fn note_unknown_name(&mut self, at: Timestamp, name: String) {
        self.unknown_names.retain(|known| known.name != name);
        if self.unknown_names.len() == FAILURES_MAX {
            self.unknown_names.remove(0);
        }
        self.unknown_names.push(UnknownName { name, at });
    }

    pub(super) fn course(&self) -> Course {
        let recent_from = self.recent.front().map_or(Timestamp::MAX, |sample| sample.at);
        let before = self.whole.iter().filter(|sample| sample.at < recent_from);
        Course {
            memory: before.chain(&self.recent).copied().collect(),
            outbound_failures: self.failures.clone(),
            unknown_names: self.unknown_names.clone(),
            cpu_before: self.cpu.front().copied(),
        }
    }
}

/// A v4 address in v6 clothes is the same place.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    #[test]
    fn a_long_life_keeps_its_beginning_its_end_and_few_samples() {
        let mut watch = CourseWatch::new(Instant::now());
        for second in 0..100_000 {
            let bytes = u64::try_from(second).unwrap();
            watch.note_memory(MemorySample {
                at: at(second),
                bytes,
            });
        }
        let memory = watch.course().memory;
        assert!(memory.len() <= SAMPLES_MAX + RECENT_MAX);
        assert!(memory.is_sorted_by_key(|sample| sample.at));
        assert_eq!(memory[0].at, at(0));
        let last: Vec<Timestamp> = memory
            .iter()
            .rev()
            .take(RECENT_MAX)
            .map(|sample| sample.at)
            .collect();
        assert_eq!((last[0], last[RECENT_MAX - 1]), (at(99_999), at(99_988)));
    }

    #[test]
    fn a_destination_is_remembered_once_and_the_oldest_give_way() {
        let mut watch = CourseWatch::new(Instant::now());
        let place: IpAddr = "10.0.0.9".parse().unwrap();
        for port in 0..100 {
            watch.note_failure(at(i64::from(port)), (place, port, OutboundResult::Refused));
        }
        watch.note_failure(at(200), (place, 90, OutboundResult::TimedOut));
        let failures = watch.course().outbound_failures;
        assert_eq!(failures.len(), FAILURES_MAX);
        let last = failures.last().unwrap();
        assert_eq!((last.port, last.result), (90, OutboundResult::TimedOut));
        assert_eq!(failures.iter().filter(|failure| failure.port == 90).count(), 1);
    }
}
