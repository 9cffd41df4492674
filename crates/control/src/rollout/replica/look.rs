//! Looking at a running instance: probes, its sockets, its liveness.

use jiff::Timestamp;
use mainstay_diagnosis::facts::{ProbeAttempt, ProbeOutcome, StopReason};
use mainstay_engine::InstanceStatus;
use mainstay_store::InstanceEvent;
use tokio::time::Instant;

use super::{
    Replica, Watched,
    watching::{Watch, seconds, target},
};
use crate::{
    probe::probe,
    rollout::{instance_plan::InstancePlan, readiness::Change},
};

impl Replica {
    /// Judges what came of a probe; `counts` unless it was one between those of the definition.
    pub(super) async fn judge(
        &mut self,
        instance: &InstanceStatus,
        watch: &mut Watch,
        mut attempt: ProbeAttempt,
        counts: bool,
    ) -> Option<Watched> {
        mask(&self.plan, &mut attempt.outcome);
        if counts && !attempt.outcome.is_healthy() {
            self.say(&format!("{}: {}", attempt.target, outcome_text(&attempt.outcome)));
        }
        let not_found = matches!(attempt.outcome, ProbeOutcome::Response { status: 404, .. });
        watch.last_outcome = Some(attempt.outcome.clone());
        let change = watch.readiness.as_mut()?.record(attempt, counts);
        watch.schedule(counts);
        if not_found && watch.answering_paths.is_none() {
            watch.answering_paths = Some(self.scan(instance, watch).await);
        }
        match change {
            Change::None => {}
            Change::BecameReady => {
                watch.ready = true;
                self.ready(instance, watch).await;
            }
            Change::BecameUnready => {
                watch.ready = false;
                let reason = self.reason(instance, Some(watch)).await;
                self.not_ready(instance, reason).await;
            }
            Change::GaveUp => {
                let reason = self.reason(instance, Some(watch)).await?;
                return Some(Watched::GaveUp(reason));
            }
        }
        None
    }

    /// After a 404: which of the usual paths would have answered. Asked once.
    pub(super) async fn scan(&self, instance: &InstanceStatus, watch: &Watch) -> Vec<String> {
        let mut answering = Vec::new();
        for path in ["/", "/health", "/healthz", "/ping", "/api/health", "/status"] {
            let mut target = watch.target(&self.plan, instance);
            let Some(http) = &mut target.http else { break };
            if http.path == path {
                continue;
            }
            path.clone_into(&mut http.path);
            if probe(&target).await.outcome.is_healthy() {
                answering.push(path.to_owned());
            }
        }
        answering
    }

    /// While it does not answer: look at its sockets, and say what is wrong as soon as it can be seen.
    pub(super) async fn observe(&mut self, instance: &InstanceStatus, watch: &mut Watch) {
        let engine = &self.platform.engine;
        let (sockets, demand) =
            tokio::join!(engine.sockets(instance.id), engine.processor_demand(instance.id));
        let sockets = sockets.unwrap_or_default();
        if !sockets.is_empty() && self.history.first_listen_at.is_none() {
            self.history.first_listen_at = Some(Timestamp::now());
        }
        let now = Instant::now();
        watch.schedule_observation(now);
        let sign = watch.sign(&sockets);
        let believed = watch.suspicion.look(now, sign, demand.unwrap_or_default());
        if believed && !watch.told {
            watch.told = true;
            let reason = self.reason(instance, Some(watch)).await;
            self.not_ready(instance, reason).await;
        }
    }

    pub(super) async fn probe_liveness(&mut self, instance: &InstanceStatus, watch: &mut Watch) {
        let Some(mut liveness) = watch.liveness.take() else {
            return;
        };
        let definition = liveness.definition().clone();
        let mut attempt = probe(&target(&self.plan, instance, &definition)).await;
        mask(&self.plan, &mut attempt.outcome);
        watch.next_liveness = Instant::now() + seconds(definition.period_seconds);
        let change = liveness.record(attempt, true);
        if change == Change::BecameUnready {
            let message = format!(
                "liveness check of {} failed {} times in a row: the platform ends it and starts another",
                self.name(),
                definition.failure_threshold
            );
            self.say(&message);
            self.history.liveness = Some(liveness.facts(true, Vec::new()));
            self.record(Some(instance.id), InstanceEvent::LivenessFailed { message })
                .await;
            let grace = self.plan.grace_period;
            let stopped = self
                .platform
                .engine
                .stop(instance.id, StopReason::ProbesFailed, grace)
                .await;
            if let Err(error) = stopped {
                tracing::error!(instance = %instance.id, error = &error as &dyn std::error::Error, "could not stop an instance");
            }
        }
        watch.liveness = Some(liveness);
    }
}

/// An app may answer with what it was given.
fn mask(plan: &InstancePlan, outcome: &mut ProbeOutcome) {
    let ProbeOutcome::Response {
        headers, body_start, ..
    } = outcome
    else {
        return;
    };
    *body_start = plan.mask(body_start);
    for (_, value) in headers {
        *value = plan.mask(value);
    }
}

fn outcome_text(outcome: &ProbeOutcome) -> String {
    match outcome {
        ProbeOutcome::Connected => "connected".into(),
        ProbeOutcome::Response { status, .. } => format!("answered {status}"),
        ProbeOutcome::Refused => "connection refused".into(),
        ProbeOutcome::TimedOut => "timed out".into(),
        ProbeOutcome::Unreachable => "unreachable".into(),
        ProbeOutcome::Broken { message } => message.clone(),
    }
}
