//! What a replica tells: news to the actor, lines to the deployment's log, events to the store, reasons from the evidence.

use jiff::Timestamp;
use mainstay_diagnosis::{Reason, facts::ExecFault};
use mainstay_engine::{EngineError, InstanceStatus};
use mainstay_shim::log::LogSource;
use mainstay_spec::ids::InstanceId;
use mainstay_store::{InstanceEvent, NewInstanceEvent};

use super::{News, Replica, Report, watching::Watch};
use crate::rollout::evidence::{Evidence, internal};

/// Of each app. A crash loop at its slowest fills that in a day; what began it is kept with its reason.
const EVENTS_KEPT: u32 = 1000;

impl Replica {
    /// "web-0".
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.plan.component, self.ordinal)
    }

    pub(super) async fn ready(&mut self, instance: &InstanceStatus, watch: &Watch) {
        let Some(address) = instance.address else { return };
        let returned = if self.was_ready { " again" } else { "" };
        self.was_ready = true;
        self.answered = true;
        self.say(&format!("instance {} is ready{returned}", self.name()));
        if let Some(note) = watch.redirect() {
            self.say(&note);
        }
        self.tell(News::Ready {
            instance: instance.id,
            address,
        })
        .await;
        self.record(Some(instance.id), InstanceEvent::Ready).await;
    }

    /// Was ready before its replica was there: nothing new to anybody but the actor.
    pub(super) async fn taken_up(&self, instance: &InstanceStatus) {
        let Some(address) = instance.address else { return };
        self.tell(News::Ready {
            instance: instance.id,
            address,
        })
        .await;
    }

    /// It runs and does not answer, for a reason that is known already or not.
    pub(super) async fn not_ready(&mut self, instance: &InstanceStatus, reason: Option<Box<Reason>>) {
        self.tell(News::NotReady {
            reason: reason.clone(),
        })
        .await;
        let Some(reason) = reason else { return };
        self.say(&reason.message);
        let event = InstanceEvent::NotReady {
            code: reason.code,
            cause: reason.cause,
            message: reason.message,
        };
        self.record(Some(instance.id), event).await;
    }

    pub(super) async fn could_not_start(&mut self, reason: Box<Reason>) {
        let event = InstanceEvent::StartFailed {
            code: reason.code,
            cause: reason.cause,
            message: reason.message.clone(),
        };
        self.tell(News::NotReady { reason: Some(reason) }).await;
        self.record(None, event).await;
    }

    pub(super) async fn reason(
        &self,
        instance: &InstanceStatus,
        watch: Option<&Watch>,
    ) -> Option<Box<Reason>> {
        let probe = watch.and_then(|watch| {
            let paths = watch.answering_paths.clone().unwrap_or_default();
            watch
                .readiness
                .as_ref()
                .map(|readiness| readiness.facts(false, paths))
        });
        self.evidence().reason(instance.id, probe, self.was_ready).await
    }

    pub(super) fn refused(&self, fault: ExecFault) -> Box<Reason> {
        let reason = self.evidence().refused(fault);
        self.say(&reason.message);
        reason
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            platform: &self.platform,
            plan: &self.plan,
            history: &self.history,
        }
    }

    pub(super) fn internal(&self, operation: &str, error: &EngineError, attempts: u32) -> Box<Reason> {
        internal(&self.plan.component, self.plan.kind, operation, error, attempts)
    }

    pub(super) fn say(&self, text: &str) {
        self.platform.logs.deploy_line(
            self.plan.deployment,
            &self.plan.component,
            LogSource::Platform,
            text,
        );
    }

    /// The actor is gone only when the server is going: nobody is left to tell.
    pub(super) async fn tell(&self, news: News) {
        let report = Report {
            component: self.plan.component.clone(),
            ordinal: self.ordinal,
            news,
        };
        drop(self.reports.send(report).await);
    }

    /// An event that cannot be stored is no reason to stop an instance.
    pub(super) async fn record(&self, instance: Option<InstanceId>, event: InstanceEvent) {
        let new = NewInstanceEvent {
            app: self.plan.app,
            deployment: self.plan.deployment,
            component: self.plan.component.clone(),
            ordinal: self.ordinal,
            instance,
            at: Timestamp::now(),
            event,
        };
        if let Err(error) = self.platform.store.append_instance_event(&new, EVENTS_KEPT).await {
            tracing::warn!(deployment = %new.deployment, error = &error as &dyn std::error::Error, "could not store an instance event");
        }
    }
}
