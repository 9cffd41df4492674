//! The facts of a build while they are gathered.

use jiff::Timestamp;
use mainstay_diagnosis::facts::{
    BuildFacts, BuildOutcome, MemoryRecord, StepFacts, StepOrigin, Termination, ToolFinding,
};

use crate::{
    BuildRequest,
    execute::{BuildEnd, Clock},
};

/// Facts until now.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) facts: BuildFacts,
}

impl Record {
    pub(super) fn begin(request: &BuildRequest, clock: &Clock) -> Self {
        Self {
            facts: BuildFacts {
                source: None,
                builder: None,
                detection: Vec::new(),
                tools: Vec::new(),
                version_reasons: Vec::new(),
                steps: Vec::new(),
                memory: MemoryRecord {
                    limit_bytes: Some(request.limits.memory_bytes),
                    ..MemoryRecord::default()
                },
                started_at: clock.started_at,
                ended_at: clock.started_at,
                time_limit_seconds: clock.limit_seconds,
                findings: Vec::new(),
                variables: request.variables.keys().cloned().collect(),
                run_time_variables: Vec::new(),
                outcome: BuildOutcome::Canceled,
            },
        }
    }

    /// Begins a step of ours; it has no termination until [`Self::platform_step_done`].
    pub(super) fn platform_step(&mut self, text: &str) {
        self.facts.steps.push(StepFacts {
            text: text.to_owned(),
            origin: StepOrigin::Platform,
            line: None,
            started_at: Timestamp::now(),
            elapsed_ms: 0,
            termination: None,
            memory: MemoryRecord::default(),
            last_output_at: None,
            disk_full: false,
            pids_limit_hits: None,
        });
    }

    /// Ends the latest step: it took until now, and succeeded or not.
    pub(super) fn platform_step_done(&mut self, succeeded: bool) {
        if let Some(step) = self.facts.steps.last_mut() {
            let passed = Timestamp::now().duration_since(step.started_at);
            step.elapsed_ms = u64::try_from(passed.as_millis()).unwrap_or(0);
            step.termination = succeeded.then_some(Termination::Exited { code: 0 });
        }
    }

    /// Adds a user's step; its memory counts for the build, its findings only if it failed.
    pub(super) fn step(&mut self, step: StepFacts, findings: Vec<ToolFinding>) {
        add_memory(&mut self.facts.memory, &step.memory);
        if step
            .termination
            .is_none_or(|termination| !termination.is_success())
        {
            self.facts.findings.extend(findings);
        }
        self.facts.steps.push(step);
    }

    pub(super) fn finish(mut self, outcome: BuildOutcome) -> BuildFacts {
        self.facts.ended_at = Timestamp::now();
        self.facts.outcome = outcome;
        self.facts
    }
}

pub(super) fn add_memory(whole: &mut MemoryRecord, part: &MemoryRecord) {
    whole.peak_bytes = whole.peak_bytes.max(part.peak_bytes);
    whole.kills.extend(part.kills.iter().cloned());
}

impl From<BuildEnd> for BuildOutcome {
    fn from(end: BuildEnd) -> Self {
        match end {
            BuildEnd::StepFailed => Self::StepFailed,
            BuildEnd::TimedOut => Self::TimedOut,
            BuildEnd::Canceled => Self::Canceled,
            BuildEnd::Failed(fault) => Self::Failed(fault),
        }
    }
}
