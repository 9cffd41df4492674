//! Collecting the facts about an instance and having them diagnosed.

use jiff::Timestamp;
use mainstay_diagnosis::{
    Reason, diagnose,
    facts::{ExecFault, ExitRecord, Facts, InstanceFacts, InternalFacts, MemoryRecord, ProbeFacts, Subject},
};
use mainstay_engine::LogQuery;
use mainstay_spec::{ids::InstanceId, kind::ComponentKind};

use super::instance_plan::InstancePlan;
use crate::platform::Platform;

/// How many lines of the log travel with a reason.
const LOG_TAIL_LINES: usize = 50;

/// How many ends of an instance are remembered.
const EXITS_KEPT: usize = 20;

/// What a replica remembers over the restarts of its instance.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// Oldest first.
    pub exits: Vec<ExitRecord>,
    pub restarts: u32,
    pub started_at: Option<Timestamp>,
    pub first_listen_at: Option<Timestamp>,
    pub liveness: Option<ProbeFacts>,
}

impl History {
    /// An instance may crash for months: the first end and the last ones are kept.
    pub(crate) fn note_exit(&mut self, exit: ExitRecord) {
        if self.exits.len() >= EXITS_KEPT {
            self.exits.remove(1);
        }
        self.exits.push(exit);
        self.restarts = self.restarts.saturating_add(1);
    }
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
    pub(crate) fn refused(&self, fault: ExecFault) -> Box<Reason> {
        let mut subject = self.subject(false);
        subject.refused = Some(fault);
        let facts = self.wrap(Subject::Instance(subject), Vec::new());
        reason_of(&facts)
    }

    async fn facts(&self, instance: InstanceId, probe: Option<ProbeFacts>, was_ready: bool) -> Facts {
        let engine = &self.platform.engine;
        let mut subject = self.subject(was_ready);
        subject.sockets = engine.sockets(instance).await.ok();
        subject.outbound_failures = engine.outbound_failures(instance).await.unwrap_or_default();
        if let Ok(stats) = engine.stats(instance).await {
            subject.memory = stats.memory;
            subject.cpu_share = cpu_share(
                subject.started_at,
                stats.at,
                stats.cpu_usage_micros,
                self.plan.size.cpu_millis,
            );
        } else if let Some(exit) = self.history.exits.last() {
            subject.memory = exit.memory.clone();
        }
        subject.probe = self.history.liveness.clone().or(probe);
        let tail = self.log_tail(instance).await;
        self.wrap(Subject::Instance(subject), tail)
    }

    fn subject(&self, was_ready: bool) -> InstanceFacts {
        InstanceFacts {
            command: self.plan.command.clone(),
            size: self.plan.size.clone(),
            refused: None,
            exits: self.history.exits.clone(),
            restarts: self.history.restarts,
            was_ready,
            started_at: self.history.started_at,
            first_listen_at: self.history.first_listen_at,
            sockets: None,
            outbound_failures: Vec::new(),
            memory: MemoryRecord::default(),
            cpu_share: None,
            probe: None,
            variables: self.plan.template.env.keys().cloned().collect(),
            may_end: self.plan.kind == ComponentKind::Job,
            time_limit_seconds: None,
            builder: self.plan.builder.clone(),
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

/// Used CPU as a share of what the limit allowed since the start.
fn cpu_share(
    started_at: Option<Timestamp>,
    now: Timestamp,
    used_micros: u64,
    limit_millis: u32,
) -> Option<f64> {
    let elapsed = now.duration_since(started_at?).as_micros();
    let allowed = elapsed.checked_mul(i128::from(limit_millis))? / 1000;
    if allowed <= 0 {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share of CPU needs no more than 52 bits"
    )]
    Some((used_micros as f64 / allowed as f64).clamp(0.0, 1.0))
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
        changes: Vec::new(),
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
