//! The rules: one file per engine. Each looks at typed facts alone and either recognises its failure or passes on.
//! Precedence, strongest first: a timer of ours, memory kill, exec failure, exit, probes.

mod build;
mod build_fault;
mod database;
mod exec;
mod exit;
mod internal;
mod job;
mod memory;
mod probe_sockets;
mod probe_status;
mod probes;
pub(crate) mod quota;

pub(crate) use self::database::of_unknown as of_unknown_database;

use jiff::{SignedDuration, Timestamp};

use crate::{
    Blame, Cause, Code, Evidence, NextStep, Reason, Retry, Verdict,
    exit_codes::{self, EndedBy},
    facts::{Changes, ExitRecord, Facts, InstanceFacts, Subject},
};

/// An instance that ran this long counts as healed; the back-off of restarts begins anew then, too.
pub const HEALED_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// At most this many lines of the log go into a reason.
const LOG_TAIL_LINES_MAX: usize = 50;

/// What the facts amount to. Total and deterministic: every set of facts has exactly one verdict.
pub fn diagnose(facts: &Facts) -> Verdict {
    match &facts.subject {
        Subject::Build(build) => build::diagnose(facts, build),
        Subject::Instance(instance) => diagnose_instance(facts, instance),
        Subject::Database(database) => database::diagnose(facts, database),
        Subject::Quota(quota) => quota::diagnose(facts, quota),
        Subject::Internal(internal) => Verdict::Failure(internal::fault(facts, internal).into_reason(facts)),
    }
}

fn diagnose_instance(facts: &Facts, instance: &InstanceFacts) -> Verdict {
    if instance.job.is_some() && instance.refused.is_none() && ended_well(instance) {
        return Verdict::NoFailure;
    }
    let found = exit::time_limit(facts, instance)
        .or_else(|| memory::instance(facts, instance))
        .or_else(|| exec::instance(facts, instance))
        .or_else(|| exit::instance(facts, instance));
    if let Some(finding) = found {
        let finding = finding.consequence(job::consequence(instance));
        return Verdict::Failure(finding.into_reason(facts));
    }
    if let Some(verdict) = probes::diagnose(facts, instance) {
        return verdict;
    }
    exit::killed_after_grace(facts, instance).map_or(Verdict::NoFailure, |finding| {
        Verdict::Note(finding.into_reason(facts))
    })
}

fn ended_well(instance: &InstanceFacts) -> bool {
    instance.exits.last().is_some_and(|exit| {
        exit.exec_fault.is_none()
            && exit
                .termination
                .is_some_and(crate::facts::Termination::is_success)
    })
}

/// The end that decides: the first of the present trouble that the platform did not ask for. What followed hangs below it.
fn decisive_exit<'a>(facts: &Facts, instance: &'a InstanceFacts) -> Option<&'a ExitRecord> {
    present_trouble(facts, instance).iter().find(|exit| {
        let success = exit
            .termination
            .is_some_and(crate::facts::Termination::is_success);
        let ended_by = exit_codes::ending(exit).ended_by;
        let is_job = instance.job.is_some();
        let is_no_failure = match ended_by {
            EndedBy::AskedToStop | EndedBy::GracePeriodPassed => true,
            // What should run is started again; a job is not.
            EndedBy::MachineRestart => !is_job,
            _ => false,
        };
        !(is_no_failure || is_job && success)
    })
}

/// The ends since it last ran for long enough to count as healed.
pub(super) fn present_trouble<'a>(facts: &Facts, instance: &'a InstanceFacts) -> &'a [ExitRecord] {
    let exits = instance.exits.as_slice();
    let runs = exits
        .last()
        .zip(instance.started_at)
        .is_some_and(|(last, started)| started > last.ended_at);
    if runs && ran_long(instance.started_at, facts.observed_at) {
        return &[];
    }
    let first = exits
        .iter()
        .rposition(|exit| ran_long(exit.started_at, exit.ended_at))
        .unwrap_or(0);
    &exits[first..]
}

fn ran_long(from: Option<Timestamp>, to: Timestamp) -> bool {
    from.is_some_and(|from| to.duration_since(from) >= HEALED_AFTER)
}

/// A recognised failure, before it becomes a reason.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) code: Code,
    pub(crate) cause: Cause,
    message: String,
    evidence: Vec<Evidence>,
    next_steps: Vec<NextStep>,
    warnings: Vec<String>,
    retry: Retry,
    blame: Blame,
}

impl Finding {
    /// `message` is one sentence that names the component and holds the decisive fact.
    pub(crate) fn new(code: Code, cause: Cause, message: impl Into<String>) -> Self {
        Self {
            code,
            cause,
            message: message.into(),
            evidence: Vec::new(),
            next_steps: Vec::new(),
            warnings: Vec::new(),
            retry: code.retry(),
            blame: cause.blame(),
        }
    }

    /// A sentence on what the failure keeps from happening.
    fn consequence(mut self, sentence: Option<String>) -> Self {
        if let Some(sentence) = sentence {
            self.message.push(' ');
            self.message.push_str(&sentence);
        }
        self
    }

    pub(crate) fn evidence(mut self, evidence: Evidence) -> Self {
        self.evidence.push(evidence);
        self
    }

    pub(crate) fn evidence_if(mut self, evidence: Option<Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    pub(crate) fn next(mut self, step: NextStep) -> Self {
        self.next_steps.push(step);
        self
    }

    pub(crate) fn next_all(mut self, steps: impl IntoIterator<Item = NextStep>) -> Self {
        self.next_steps.extend(steps);
        self
    }

    pub(crate) fn warn_all(mut self, warnings: impl IntoIterator<Item = String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    pub(crate) fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    pub(crate) fn blame(mut self, blame: Blame) -> Self {
        self.blame = blame;
        self
    }

    /// Adds what every reason has: what changed, and the end of the log.
    pub(crate) fn into_reason(mut self, facts: &Facts) -> Box<Reason> {
        if facts.changes != Changes::default() {
            self.evidence.push(Evidence::Changes(facts.changes.clone()));
        }
        if !facts.log_tail.is_empty() {
            let from = facts.log_tail.len().saturating_sub(LOG_TAIL_LINES_MAX);
            self.evidence.push(Evidence::LogTail {
                lines: facts.log_tail[from..].to_vec(),
            });
        }
        if self.next_steps.is_empty() {
            self.next_steps.push(NextStep::new(self.cause.page().next_step));
        }
        Box::new(Reason {
            code: self.code,
            cause: self.cause,
            component: facts.component.clone(),
            kind: facts.kind,
            title: self.cause.page().title.to_owned(),
            message: self.message,
            evidence: self.evidence,
            next_steps: self.next_steps,
            warnings: self.warnings,
            retry: self.retry,
            blame: self.blame,
            observed_at: facts.observed_at,
            resolved_at: None,
        })
    }
}

/// `None` for nothing, so that empty evidence is never shown.
fn variables(names: &[String]) -> Option<Evidence> {
    (!names.is_empty()).then(|| Evidence::Variables {
        names: names.to_vec(),
    })
}

fn outbound_failures(instance: &InstanceFacts) -> Option<Evidence> {
    (!instance.outbound_failures.is_empty()).then(|| Evidence::OutboundFailures {
        failures: instance.outbound_failures.clone(),
    })
}

fn unknown_names(instance: &InstanceFacts) -> Option<Evidence> {
    (!instance.unknown_names.is_empty()).then(|| Evidence::UnknownNames {
        names: instance.unknown_names.clone(),
    })
}

fn command(instance: &InstanceFacts) -> Option<Evidence> {
    (!instance.command.argv.is_empty()).then(|| Evidence::Command(instance.command.clone()))
}
