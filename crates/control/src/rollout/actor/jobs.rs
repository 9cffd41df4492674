//! The app's job runs: begun for a deployment, taken up after a restart, called off, and what follows from their ends.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use mainstay_deploy::{Event, Failure, Phase, State};
use mainstay_diagnosis::facts::{Changes, StopReason};
use mainstay_spec::{
    AppSpec, ComponentRef,
    ids::{DeploymentId, InvocationId},
    kind::ComponentKind,
};
use mainstay_store::{DeploymentRow, InvocationPhase, InvocationRow, NewInvocation, Trigger};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{Actor, Message, current::Current};
use crate::{
    platform::PlatformError,
    rollout::{
        builds, evidence,
        jobs::{JobEnd, JobRefusal, JobReport, JobRun, clear_away, log_name},
    },
};

/// Runs of a job that are remembered.
const RUNS_KEPT: u32 = 100;
/// The grace period of a job may be long; whoever cancels one need not wait for all of it.
const CANCEL_ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// A job run that has not ended.
#[derive(Debug)]
pub(super) struct Running {
    /// Set for a job that a deployment waits for.
    deployment: Option<DeploymentId>,
    called_off: watch::Sender<Option<StopReason>>,
}

impl Actor {
    /// Runs a job of the deployment at work, or goes on with the run that an earlier server began.
    pub(super) async fn run_job(&mut self, job: &str) -> Result<(), PlatformError> {
        self.take_up_new_routes().await?;
        let Some(current) = &self.current else {
            return Ok(());
        };
        let deployment = Arc::clone(&current.row);
        let changes = self.changes(&deployment).await?;
        let row = self
            .begin(&deployment, job, Trigger::Deployment, false, None)
            .await?;
        self.spawn_run(&deployment, row, &changes).await
    }

    /// After a restart amid POST_DEPLOY jobs the routes are kept in line with the new instances.
    async fn take_up_new_routes(&mut self) -> Result<(), PlatformError> {
        let after_switch = self
            .current
            .as_ref()
            .is_some_and(|current| current.state.phase == Phase::PostDeploying);
        if after_switch {
            self.take_up_fleet().await?;
            self.show_routes_of_new().await;
        }
        Ok(())
    }

    pub(super) async fn spawn_run(
        &mut self,
        deployment: &DeploymentRow,
        row: InvocationRow,
        changes: &Changes,
    ) -> Result<(), PlatformError> {
        let plan = match builds::instance_plan(&self.platform, deployment, &row.job, changes).await {
            Ok(plan) => plan,
            Err(error) => {
                let operation = "planning the job's run";
                let reason = evidence::internal(&row.job, ComponentKind::Job, operation, &error, 1);
                let (now, failed) = (Timestamp::now(), InvocationPhase::Failed);
                self.platform
                    .store
                    .end_invocation(row.id, failed, now, Some(&reason))
                    .await?;
                return Err(error);
            }
        };
        let (called_off, told) = watch::channel(None);
        let running = Running {
            deployment: (row.trigger == Trigger::Deployment).then_some(row.deployment),
            called_off,
        };
        self.running.insert(row.id, running);
        let (id, outbox) = (deployment.id, self.outbox.clone());
        let run = JobRun::new(Arc::clone(&self.platform), Arc::new(plan), row, told);
        self.platform.tasks.spawn(async move {
            let report = run.run().await;
            drop(outbox.send((id, Message::Job(report))).await);
        });
        Ok(())
    }

    /// Runs that nobody is at, after a restart mostly: those that belong to no deployment at work go on or are closed, the others are asked for by
    /// their deployment.
    pub(super) async fn take_up_jobs(&mut self) {
        let open = match self.platform.store.open_invocations(self.app).await {
            Ok(open) => open,
            Err(error) => {
                tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not list an app's job runs");
                return;
            }
        };
        let current = self.current.as_ref().map(|current| &current.row);
        let at_work: HashSet<DeploymentId> = self.waiting.iter().chain(current).map(|row| row.id).collect();
        for row in open {
            let is_awaited = row.trigger == Trigger::Deployment && at_work.contains(&row.deployment);
            if is_awaited || self.running.contains_key(&row.id) {
                continue;
            }
            let (id, job) = (row.id, row.job.clone());
            if let Err(error) = self.take_up_job(row).await {
                tracing::error!(invocation = %id, job, error = &error as &dyn std::error::Error, "could not take up a job run");
            }
        }
    }

    async fn take_up_job(&mut self, row: InvocationRow) -> Result<(), PlatformError> {
        // Its deployment ended while it was being called off: `retire` sees to its instances.
        if row.trigger == Trigger::Deployment {
            let (now, canceled) = (Timestamp::now(), InvocationPhase::Canceled);
            return Ok(self
                .platform
                .store
                .end_invocation(row.id, canceled, now, None)
                .await?);
        }
        let deployment = self.platform.store.deployment(row.deployment).await?;
        let missing = || PlatformError::missing(format!("deployment {}", row.deployment));
        let deployment = deployment.ok_or_else(missing)?;
        self.spawn_run(&deployment, row, &Changes::default()).await
    }

    /// Runs a job of what serves, because somebody asked.
    pub(super) async fn run_by_hand(&mut self, job: &str, by: String) -> Result<InvocationId, JobRefusal> {
        let Some(serving) = &self.serving else {
            return Err(JobRefusal::NothingServes);
        };
        let deployment = Arc::clone(&serving.row);
        if !matches!(deployment.spec.component(job), Some(ComponentRef::Job(_))) {
            return Err(JobRefusal::NoJob(job.to_owned()));
        }
        let by_hand = Trigger::Manual { by };
        let row = self.begin(&deployment, job, by_hand, false, None).await?;
        let id = row.id;
        self.spawn_run(&deployment, row, &Changes::default()).await?;
        Ok(id)
    }

    /// Stores a run, and forgets the oldest ones of the job.
    pub(super) async fn begin(
        &self,
        deployment: &DeploymentRow,
        job: &str,
        trigger: Trigger,
        skipped: bool,
        note: Option<String>,
    ) -> Result<InvocationRow, PlatformError> {
        let new = NewInvocation {
            id: InvocationId::from_uuid(uuid::Uuid::new_v4()),
            app: self.app,
            deployment: deployment.id,
            job: job.to_owned(),
            trigger,
            created_at: self.platform.clock.now(),
            skipped,
            note,
        };
        let store = &self.platform.store;
        let row = store.ensure_invocation(&new).await?;
        for old in store.forget_invocations(self.app, job, RUNS_KEPT).await? {
            if old.trigger != Trigger::Deployment {
                self.platform.logs.forget_run(old.deployment, &log_name(&old));
            }
        }
        Ok(row)
    }

    /// Answers when the run ended, so that whoever asked sees how.
    pub(super) fn cancel_invocation(
        &mut self,
        id: InvocationId,
        canceled: oneshot::Sender<Result<(), JobRefusal>>,
    ) {
        let Some(running) = self.running.get(&id) else {
            drop(canceled.send(Err(JobRefusal::Ended)));
            return;
        };
        let failing = self
            .current
            .as_ref()
            .is_some_and(|current| matches!(current.state.phase, Phase::Failing { .. }));
        if running.deployment.is_some() && !failing {
            drop(canceled.send(Err(JobRefusal::Awaited)));
            return;
        }
        running.called_off.send_replace(Some(StopReason::Requested));
        let mut ended = running.called_off.subscribe();
        self.platform.tasks.spawn(async move {
            // The run drops its side when it ended, the actor the other one: the change never comes.
            drop(timeout(CANCEL_ANSWERS_WITHIN, ended.changed()).await);
            drop(canceled.send(Ok(())));
        });
    }

    pub(super) async fn hear_job(&mut self, deployment: DeploymentId, report: JobReport) {
        let running = self.running.remove(&report.invocation);
        self.platform.nudge.nudge();
        self.platform.alerts.nudge();
        self.clear_away(report.invocation);
        let awaited = running.is_some_and(|running| running.deployment.is_some());
        if !awaited {
            self.show_run(deployment, &report).await;
        }
        // A job that was called off along with its deployment ends when that has moved on already.
        let is_awaited = |current: &Current| {
            let mut jobs = current.state.running_jobs().into_iter();
            current.row.id == deployment && jobs.any(|plan| plan.name == report.job)
        };
        if !awaited || !self.current.as_ref().is_some_and(is_awaited) {
            return;
        }
        let component = report.job;
        let event = match report.end {
            JobEnd::Succeeded => Event::JobSucceeded { component },
            JobEnd::Failed(reason) => Event::ComponentFailed {
                failure: Failure {
                    component: Some(component),
                    reason,
                },
            },
            JobEnd::Canceled => Event::JobCanceled { component },
        };
        self.advance(event).await;
    }

    fn clear_away(&mut self, invocation: InvocationId) {
        let platform = Arc::clone(&self.platform);
        self.chores.spawn(async move {
            clear_away(&platform, invocation).await;
            None
        });
    }

    /// Ends what runs for the deployment.
    pub(super) fn call_off_jobs(&mut self, deployment: DeploymentId) {
        for running in self.running.values() {
            if running.deployment == Some(deployment) {
                running.called_off.send_replace(Some(StopReason::DeploymentEnded));
            }
        }
    }

    /// Before the app goes: afterwards no start of theirs is under way any more.
    pub(super) async fn end_all_jobs(&mut self) {
        for running in self.running.values() {
            running.called_off.send_replace(Some(StopReason::Requested));
        }
        while !self.running.is_empty() {
            let Some((_, message)) = self.messages.recv().await else {
                return;
            };
            if let Message::Job(report) = message {
                self.running.remove(&report.invocation);
            }
        }
    }
}

/// Minutes that the jobs of this phase may take by their own limits.
pub(super) fn minutes_max(state: &State, spec: &AppSpec) -> u64 {
    let of_job = |name: &str| match spec.component(name) {
        Some(ComponentRef::Job(job)) => {
            job.timeout_seconds() + u64::from(job.termination().grace_period_seconds())
        }
        _ => 0,
    };
    let seconds = state.running_jobs().iter().map(|plan| of_job(&plan.name)).max();
    seconds.unwrap_or(0).div_ceil(60)
}
