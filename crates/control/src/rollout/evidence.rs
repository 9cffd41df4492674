//! Collecting the facts about an instance and having them diagnosed.

use jiff::Timestamp;
use mainstay_diagnosis::{
    HEALED_AFTER, Reason, diagnose, exit_codes,
    facts::{
        Changes, Course, CpuReading, ExecFault, ExecFaultKind, ExitRecord, Facts, InstanceFacts,
        InternalFacts, MemoryRecord, ProbeFacts, StopReason, Subject,
    },
};
use mainstay_engine::LogQuery;
use mainstay_spec::{ids::InstanceId, kind::ComponentKind};

use super::instance_plan::InstancePlan;
use crate::{databases, platform::Platform};

/// How many lines of the log travel with a reason.
const LOG_TAIL_LINES: usize = 50;

/// How many ends of an instance are remembered.
const EXITS_KEPT: usize = 20;

/// What a replica remembers over the restarts of its instance.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// The ends of the present trouble, oldest first: what began it stays the first.
    pub exits: Vec<ExitRecord>,
    /// In the same place.
    pub starts: u32,
    pub started_at: Option<Timestamp>,
    pub first_listen_at: Option<Timestamp>,
    /// Of the liveness check that made the platform end an instance.
    pub liveness: Option<ProbeFacts>,
}

impl History {
    /// An instance may crash for months: the first end and the last ones are kept. One that had healed, because it ran for long or because it
    /// `answered` and then ended in another way than before, begins a new trouble with its end.
    pub(crate) fn note_exit(&mut self, exit: ExitRecord, answered: bool) {
        let first = self.exits.first();
        let another = first.is_some_and(|first| !ended_alike(first, &exit));
        if ran_long(&exit) || answered && another {
            self.exits.clear();
            if !by_probes(&exit) {
                self.liveness = None;
            }
        }
        if self.exits.len() >= EXITS_KEPT {
            self.exits.remove(1);
        }
        self.exits.push(exit);
        self.first_listen_at = None;
    }

    pub(crate) fn restarts(&self) -> u32 {
        self.starts.saturating_sub(1)
    }

    /// How many ends there were in the present trouble; not exact beyond what is kept.
    pub(crate) fn troubles(&self) -> u32 {
        u32::try_from(self.exits.len()).unwrap_or(u32::MAX)
    }

    /// The liveness check speaks where it made the platform end an instance; else the check of now.
    fn telling_probe(&self, now: Option<ProbeFacts>) -> Option<ProbeFacts> {
        let killed = self.exits.first().is_some_and(by_probes);
        self.liveness.clone().filter(|_| killed || now.is_none()).or(now)
    }
}

fn ran_long(exit: &ExitRecord) -> bool {
    let ran = exit
        .started_at
        .map(|started| exit.ended_at.duration_since(started));
    ran.is_some_and(|ran| ran >= HEALED_AFTER)
}

fn ended_alike(one: &ExitRecord, other: &ExitRecord) -> bool {
    exit_codes::same_ends(&[one.clone(), other.clone()]) == 2
}

fn by_probes(exit: &ExitRecord) -> bool {
    let stop = exit.stop.as_ref();
    stop.is_some_and(|stop| stop.reason == StopReason::ProbesFailed)
}

/// What there is to look at.
pub(crate) struct Evidence<'a> {
    pub platform: &'a Platform,
    pub plan: &'a InstancePlan,
    pub history: &'a History,
}

impl Evidence<'_> {
    /// The reason for what the instance does or did; `None` when nothing is wrong with it.
    pub(crate) async fn reason(
        &self,
        instance: InstanceId,
        probe: Option<ProbeFacts>,
        was_ready: bool,
    ) -> Option<Box<Reason>> {
        let facts = self.facts(instance, probe, was_ready).await;
        diagnose(&facts).into_reason()
    }

    /// The kernel or the pre-flight refused the command: nothing ran.
    pub(crate) fn refused(&self, mut fault: ExecFault) -> Box<Reason> {
        if let (ExecFaultKind::NoRunCommand { looked_for }, Some(builder)) =
            (&mut fault.kind, &self.plan.builder)
        {
            // The engine sees no command; who built the image knows where one could have been.
            looked_for.clone_from(&builder.start_looked_for);
        }
        let mut subject = self.subject(false);
        subject.refused = Some(fault);
        let facts = self.wrap(Subject::Instance(subject), Vec::new());
        reason_of(&facts)
    }

    async fn facts(&self, instance: InstanceId, probe: Option<ProbeFacts>, was_ready: bool) -> Facts {
        let engine = &self.platform.engine;
        let mut subject = self.subject(was_ready);
        subject.sockets = engine.sockets(instance).await.ok();
        match engine.stats(instance).await {
            Ok(stats) => {
                subject.memory = stats.memory;
                let now = CpuReading {
                    at: stats.at,
                    usage_micros: stats.cpu_usage_micros,
                    throttled_micros: stats.cpu_throttled_micros,
                };
                self.lived(&mut subject, &stats.course, Some(now));
            }
            Err(_) => {
                // What began the trouble is what is explained.
                if let Some(exit) = self.history.exits.first() {
                    subject.memory = exit.memory.clone();
                    self.lived(&mut subject, &exit.course, last_reading(exit));
                }
            }
        }
        subject.probe = self.history.telling_probe(probe);
        if !subject.exits.is_empty() {
            subject.databases = databases::used_by(self.platform, self.plan.asker()).await;
        }
        let tail = self.log_tail(instance).await;
        self.wrap(Subject::Instance(subject), tail)
    }

    /// What was seen while it lived, `now` being the last reading of its CPU counters.
    fn lived(&self, subject: &mut InstanceFacts, course: &Course, now: Option<CpuReading>) {
        subject.outbound_failures.clone_from(&course.outbound_failures);
        subject.unknown_names.clone_from(&course.unknown_names);
        subject.memory_course.clone_from(&course.memory);
        // A young instance has no earlier reading than its start.
        let at_start = subject.started_at.map(|at| CpuReading {
            at,
            usage_micros: 0,
            throttled_micros: 0,
        });
        let Some((before, now)) = course.cpu_before.or(at_start).zip(now) else {
            return;
        };
        subject.cpu_share = cpu_share(before, now, self.plan.size.cpu_millis);
        subject.cpu_throttled_share = throttled_share(before, now);
    }

    fn subject(&self, was_ready: bool) -> InstanceFacts {
        InstanceFacts {
            command: self.plan.command.clone(),
            size: self.plan.size.clone(),
            refused: None,
            exits: self.history.exits.clone(),
            restarts: self.history.restarts(),
            was_ready,
            started_at: self.history.started_at,
            first_listen_at: self.history.first_listen_at,
            sockets: None,
            outbound_failures: Vec::new(),
            unknown_names: Vec::new(),
            memory: MemoryRecord::default(),
            memory_course: Vec::new(),
            cpu_share: None,
            cpu_throttled_share: None,
            probe: None,
            variables: self.plan.template.env.keys().cloned().collect(),
            job: self.plan.job.clone(),
            builder: self.plan.builder.clone(),
            databases: Vec::new(),
        }
    }

    fn wrap(&self, subject: Subject, log_tail: Vec<String>) -> Facts {
        Facts {
            component: self.plan.component.clone(),
            kind: self.plan.kind,
            observed_at: Timestamp::now(),
            subject,
            log_tail,
            changes: self.plan.changes.clone(),
        }
    }

    async fn log_tail(&self, instance: InstanceId) -> Vec<String> {
        let query = LogQuery {
            tail: Some(LOG_TAIL_LINES),
            ..LogQuery::default()
        };
        let Ok(lines) = self.platform.engine.logs(instance, query).await else {
            return Vec::new();
        };
        futures_util::StreamExt::collect::<Vec<_>>(lines)
            .await
            .into_iter()
            .filter_map(|line| Some(self.plan.mask(&line.ok()?.text)))
            .collect()
    }
}

fn last_reading(exit: &ExitRecord) -> Option<CpuReading> {
    Some(CpuReading {
        at: exit.ended_at,
        usage_micros: exit.cpu_usage_micros?,
        throttled_micros: exit.cpu_throttled_micros.unwrap_or(0),
    })
}

/// Used CPU as a share of what the limit allowed between two readings.
fn cpu_share(before: CpuReading, now: CpuReading, limit_millis: u32) -> Option<f64> {
    let used = now.usage_micros.saturating_sub(before.usage_micros);
    let elapsed = now.at.duration_since(before.at).as_micros();
    share(used, elapsed.checked_mul(i128::from(limit_millis))? / 1000)
}

fn throttled_share(before: CpuReading, now: CpuReading) -> Option<f64> {
    let held_back = now.throttled_micros.saturating_sub(before.throttled_micros);
    share(held_back, now.at.duration_since(before.at).as_micros())
}

fn share(part: u64, whole: i128) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    (whole > 0).then(|| (part as f64 / whole as f64).clamp(0.0, 1.0))
}

/// A fault of the platform's own, with the chain in the platform's log.
pub(crate) fn internal(
    component: &str,
    kind: ComponentKind,
    operation: &str,
    error: &dyn std::error::Error,
    attempts: u32,
) -> Box<Reason> {
    let incident_id = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    let error_chain = chain(error);
    tracing::error!(incident = incident_id, component, operation, chain = ?error_chain, "internal error");
    let facts = Facts {
        component: component.to_owned(),
        kind,
        observed_at: Timestamp::now(),
        subject: Subject::Internal(InternalFacts {
            incident_id,
            operation: operation.to_owned(),
            error_chain,
            attempts,
        }),
        log_tail: Vec::new(),
        changes: Changes::default(),
    };
    reason_of(&facts)
}

/// For facts that are a failure by construction.
pub(crate) fn reason_of(facts: &Facts) -> Box<Reason> {
    diagnose(facts)
        .into_reason()
        .expect("a refusal, a failed build and an internal fault always have a reason")
}

pub(crate) fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    texts
}

#[cfg(test)]
mod tests {
    use mainstay_diagnosis::facts::Termination;

    use super::*;

    fn ran(seconds: i64) -> ExitRecord {
        let started = Timestamp::UNIX_EPOCH;
        ExitRecord {
            termination: Some(Termination::Exited {
                code: i32::try_from(seconds).unwrap(),
            }),
            started_at: Some(started),
            ended_at: started + jiff::SignedDuration::from_secs(seconds),
            stop: None,
            memory: MemoryRecord::default(),
            cpu_usage_micros: None,
            cpu_throttled_micros: None,
            pids_limit_hits: None,
            exec_fault: None,
            course: Course::default(),
        }
    }

    #[test]
    fn what_began_the_trouble_stays_the_first() {
        let mut history = History::default();
        history.note_exit(ran(1), true);
        for _ in 0..3 * EXITS_KEPT {
            history.note_exit(ran(2), false);
        }
        assert_eq!(history.exits.len(), EXITS_KEPT);
        assert_eq!(history.exits[0], ran(1));
    }

    #[test]
    fn an_end_after_a_long_run_begins_a_new_trouble() {
        let mut history = History::default();
        history.note_exit(ran(1), false);
        history.note_exit(ran(601), false);
        history.note_exit(ran(2), false);
        assert_eq!(history.exits, [ran(601), ran(2)]);
        assert_eq!(history.troubles(), 2);
    }

    #[test]
    fn another_end_after_it_answered_begins_a_new_trouble_and_the_same_goes_on() {
        let mut history = History::default();
        history.note_exit(ran(1), true);
        history.note_exit(ran(1), true);
        assert_eq!(history.troubles(), 2);
        history.note_exit(ran(2), true);
        assert_eq!(history.exits, [ran(2)]);
    }
}
