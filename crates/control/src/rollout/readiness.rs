//! Counting probes: when an instance becomes ready, when it stops being so, and when its time is up. Pure.

use mainstay_diagnosis::facts::{ProbeAttempt, ProbeDefinition, ProbeFacts};

/// Attempts kept at the start and at the end of a transcript.
const FIRST_KEPT: usize = 5;
const LAST_KEPT: usize = 20;

/// What an attempt changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    BecameReady,
    BecameUnready,
    /// `failure_threshold` failures, and it was never ready.
    GaveUp,
}

/// One probe's history on one instance.
#[derive(Debug, Clone)]
pub(crate) struct Readiness {
    definition: ProbeDefinition,
    transcript: Vec<ProbeAttempt>,
    attempts: u32,
    successes_in_a_row: u32,
    failures_in_a_row: u32,
    ready: bool,
    was_ready: bool,
    gave_up: bool,
}

impl Readiness {
    pub(crate) fn new(definition: ProbeDefinition, was_ready: bool) -> Self {
        Self {
            definition,
            transcript: Vec::new(),
            attempts: 0,
            successes_in_a_row: 0,
            failures_in_a_row: 0,
            ready: was_ready,
            was_ready,
            gave_up: false,
        }
    }

    pub(crate) fn definition(&self) -> &ProbeDefinition {
        &self.definition
    }

    /// `counts` is false for the quick looks between two probes of the definition: their success is as good as any, their failure is not
    /// held against the instance.
    pub(crate) fn record(&mut self, attempt: ProbeAttempt, counts: bool) -> Change {
        let healthy = attempt.outcome.is_healthy();
        if healthy || counts || self.is_news(&attempt) {
            self.keep(attempt);
        }
        if healthy {
            self.failures_in_a_row = 0;
            self.successes_in_a_row += 1;
            return self.after_success();
        }
        self.successes_in_a_row = 0;
        if !counts {
            return Change::None;
        }
        self.failures_in_a_row += 1;
        self.after_failure()
    }

    /// Answers otherwise than the last attempt did.
    fn is_news(&self, attempt: &ProbeAttempt) -> bool {
        self.transcript
            .last()
            .is_none_or(|last| last.outcome != attempt.outcome)
    }

    fn after_success(&mut self) -> Change {
        if self.ready || self.successes_in_a_row < self.definition.success_threshold {
            return Change::None;
        }
        self.ready = true;
        self.was_ready = true;
        Change::BecameReady
    }

    fn after_failure(&mut self) -> Change {
        if self.failures_in_a_row < self.definition.failure_threshold {
            return Change::None;
        }
        if self.ready {
            self.ready = false;
            return Change::BecameUnready;
        }
        if self.was_ready || self.gave_up {
            return Change::None;
        }
        self.gave_up = true;
        Change::GaveUp
    }

    fn keep(&mut self, attempt: ProbeAttempt) {
        self.attempts += 1;
        if self.transcript.len() >= FIRST_KEPT + LAST_KEPT {
            self.transcript.remove(FIRST_KEPT);
        }
        self.transcript.push(attempt);
    }

    pub(crate) fn facts(&self, liveness: bool, answering_paths: Vec<String>) -> ProbeFacts {
        ProbeFacts {
            definition: self.definition.clone(),
            transcript: self.transcript.clone(),
            attempts: self.attempts,
            threshold_reached: self.gave_up || (self.was_ready && !self.ready),
            through_router: false,
            liveness,
            answering_paths,
        }
    }
}

#[cfg(test)]
mod tests {
    use mainstay_diagnosis::facts::ProbeOutcome;

    use super::*;

    fn readiness(success_threshold: u32, failure_threshold: u32) -> Readiness {
        let definition = ProbeDefinition {
            http_path: None,
            port: 8080,
            initial_delay_seconds: 0,
            period_seconds: 10,
            timeout_seconds: 1,
            success_threshold,
            failure_threshold,
        };
        Readiness::new(definition, false)
    }

    fn attempt(outcome: ProbeOutcome) -> ProbeAttempt {
        ProbeAttempt {
            at: jiff::Timestamp::UNIX_EPOCH,
            target: "connect".into(),
            elapsed_ms: 1,
            outcome,
        }
    }

    #[test]
    fn a_first_success_is_enough_by_default() {
        let mut readiness = readiness(1, 9);
        assert_eq!(
            readiness.record(attempt(ProbeOutcome::Connected), false),
            Change::BecameReady
        );
    }

    #[test]
    fn quick_failures_are_not_held_against_it() {
        let mut readiness = readiness(1, 2);
        for _ in 0..50 {
            assert_eq!(
                readiness.record(attempt(ProbeOutcome::Refused), false),
                Change::None
            );
        }
        assert_eq!(
            readiness.record(attempt(ProbeOutcome::Refused), true),
            Change::None
        );
        assert_eq!(
            readiness.record(attempt(ProbeOutcome::Refused), true),
            Change::GaveUp
        );
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let mut readiness = readiness(2, 2);
        readiness.record(attempt(ProbeOutcome::Refused), true);
        readiness.record(attempt(ProbeOutcome::Connected), true);
        assert_eq!(
            readiness.record(attempt(ProbeOutcome::Refused), true),
            Change::None
        );
        assert_eq!(
            readiness.record(attempt(ProbeOutcome::Connected), true),
            Change::None
        );
        assert_eq!(
            readiness.record(attempt(ProbeOutcome::Connected), true),
            Change::BecameReady
        );
    }

    #[test]
    fn once_ready_it_only_leaves_and_returns() {
        let mut readiness = readiness(1, 1);
        readiness.record(attempt(ProbeOutcome::Connected), true);
        assert_eq!(
            readiness.record(attempt(ProbeOutcome::TimedOut), true),
            Change::BecameUnready
        );
        assert_eq!(
            readiness.record(attempt(ProbeOutcome::TimedOut), true),
            Change::None
        );
        assert_eq!(
            readiness.record(attempt(ProbeOutcome::Connected), true),
            Change::BecameReady
        );
    }

    #[test]
    fn a_long_transcript_keeps_both_ends() {
        let mut readiness = readiness(1, 50);
        for index in 0..40 {
            let mut failed = attempt(ProbeOutcome::Refused);
            failed.elapsed_ms = index;
            readiness.record(failed, true);
        }
        let facts = readiness.facts(false, Vec::new());
        let kept: Vec<u64> = facts
            .transcript
            .iter()
            .map(|attempt| attempt.elapsed_ms)
            .collect();
        assert_eq!(facts.attempts, 40);
        assert_eq!(kept[..5], [0, 1, 2, 3, 4]);
        assert_eq!(kept[5..], (20..40).collect::<Vec<_>>());
    }
}
