//! One run of a job, from its row in the store to its end.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use mainstay_diagnosis::{Reason, facts::StopReason};
use mainstay_shim::log::LogSource;
use mainstay_spec::ids::InvocationId;
use mainstay_store::{InvocationPhase, InvocationRow, StoreError, Trigger};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::copy::JobCopy;
use crate::{
    platform::Platform,
    rollout::{evidence, instance_plan::InstancePlan},
};

/// The store is all we have: while it cannot be written, nothing goes on.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How a run ended.
#[derive(Debug)]
pub(crate) enum JobEnd {
    Succeeded,
    Failed(Box<Reason>),
    /// It was called off before its end.
    Canceled,
}

/// What a run tells the actor when it ended.
#[derive(Debug)]
pub(crate) struct JobReport {
    pub invocation: InvocationId,
    pub job: String,
    pub end: JobEnd,
}

/// A run that is to be begun, or taken up.
pub(crate) struct JobRun {
    pub(super) platform: Arc<Platform>,
    pub(super) plan: Arc<InstancePlan>,
    pub(super) row: InvocationRow,
    /// Set when it has to end before its time.
    called_off: watch::Receiver<Option<StopReason>>,
}

impl JobRun {
    pub(crate) fn new(
        platform: Arc<Platform>,
        plan: Arc<InstancePlan>,
        row: InvocationRow,
        called_off: watch::Receiver<Option<StopReason>>,
    ) -> Self {
        Self {
            platform,
            plan,
            row,
            called_off,
        }
    }

    /// Runs it to its end, which is stored when this returns.
    pub(crate) async fn run(self) -> JobReport {
        let end = if let Some(end) = self.known_end() {
            end
        } else {
            let end = self.execute().await;
            self.store_end(&end).await;
            end
        };
        JobReport {
            invocation: self.row.id,
            job: self.row.job,
            end,
        }
    }

    /// Of a run that ended before a restart, when nobody could be told any more.
    fn known_end(&self) -> Option<JobEnd> {
        match self.row.phase {
            InvocationPhase::Pending | InvocationPhase::Running => None,
            InvocationPhase::Succeeded => Some(JobEnd::Succeeded),
            InvocationPhase::Failed => {
                let lost = || self.internal("reading how the job ended", &Lost);
                let known = self.row.reason.clone().map(Box::new);
                Some(JobEnd::Failed(known.unwrap_or_else(lost)))
            }
            InvocationPhase::Canceled | InvocationPhase::Skipped => Some(JobEnd::Canceled),
        }
    }

    async fn execute(&self) -> JobEnd {
        let started_at = self.row.started_at.unwrap_or_else(Timestamp::now);
        let store = &self.platform.store;
        persist(|| store.start_invocation(self.row.id, started_at)).await;
        let deadline = self.deadline(started_at);
        let mut called_off = self.called_off.clone();
        let (stop, _) = watch::channel(None);
        let mut copies: FuturesUnordered<_> = (0..self.plan.count)
            .map(|ordinal| JobCopy::new(self, ordinal, stop.subscribe()).run())
            .collect();
        let mut failed = None;
        let mut canceled = false;
        loop {
            let stopping = stop.borrow().is_some();
            tokio::select! {
                // Biased: an end of its own explains more than one that is about to be forced.
                biased;
                ended = copies.next() => match ended {
                    None => break,
                    Some(Ok(())) => {}
                    Some(Err(reason)) => {
                        failed.get_or_insert(reason);
                        // Of a job that failed no copy need go on.
                        stop.send_if_modified(|stop| {
                            let first = stop.is_none();
                            stop.get_or_insert(StopReason::DeploymentEnded);
                            first
                        });
                    }
                },
                reason = told_to_end(&mut called_off), if !stopping => {
                    canceled = true;
                    stop.send_replace(Some(reason));
                }
                () = sleep_until(deadline), if !stopping => {
                    stop.send_replace(Some(StopReason::TimeLimit));
                }
            }
        }
        match failed {
            Some(reason) => JobEnd::Failed(reason),
            None if canceled => JobEnd::Canceled,
            None => JobEnd::Succeeded,
        }
    }

    /// Counted from the first start, however often the server was restarted since.
    fn deadline(&self, started_at: Timestamp) -> Instant {
        let limit = self.plan.job.as_ref().map_or(0, |job| job.time_limit_seconds);
        let limit = SignedDuration::from_secs(i64::try_from(limit).unwrap_or(i64::MAX));
        let left = limit.saturating_sub(Timestamp::now().duration_since(started_at));
        Instant::now() + Duration::try_from(left).unwrap_or_default()
    }

    async fn store_end(&self, end: &JobEnd) {
        let (phase, reason) = match end {
            JobEnd::Succeeded => (InvocationPhase::Succeeded, None),
            JobEnd::Failed(reason) => (InvocationPhase::Failed, Some(&**reason)),
            JobEnd::Canceled => (InvocationPhase::Canceled, None),
        };
        match end {
            JobEnd::Succeeded => self.say(&format!("job {} succeeded", self.row.job)),
            JobEnd::Failed(_) => {}
            JobEnd::Canceled => self.say(&format!("job {} was called off", self.row.job)),
        }
        let now = Timestamp::now();
        persist(|| {
            self.platform
                .store
                .end_invocation(self.row.id, phase, now, reason)
        })
        .await;
    }

    /// A line of the platform's beside the job's own output.
    pub(super) fn say(&self, text: &str) {
        let log = log_name(&self.row);
        self.platform
            .logs
            .deploy_line(self.row.deployment, &log, LogSource::Platform, text);
    }

    pub(super) fn internal(&self, operation: &str, error: &dyn std::error::Error) -> Box<Reason> {
        evidence::internal(&self.plan.component, self.plan.kind, operation, error, 1)
    }
}

/// Where the platform's lines of a run are: a deployment's jobs have theirs in the deployment's log; other runs have a log each.
pub(crate) fn log_name(row: &InvocationRow) -> String {
    match row.trigger {
        Trigger::Deployment => row.job.clone(),
        Trigger::Schedule { .. } | Trigger::Manual { .. } => format!("{}@{}", row.job, row.id),
    }
}

/// Nothing may be acted upon that is not on disk: a store that refuses is asked again until it takes it.
pub(super) async fn persist<F>(write: impl Fn() -> F)
where
    F: Future<Output = Result<(), StoreError>>,
{
    while let Err(error) = write().await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "could not store what became of a job; will try again"
        );
        sleep(STORE_PAUSE).await;
    }
}

/// Never returns when nobody is left to call it off. Cancel safe.
pub(super) async fn told_to_end(stop: &mut watch::Receiver<Option<StopReason>>) -> StopReason {
    let told = stop.wait_for(Option::is_some).await.ok().and_then(|stop| *stop);
    match told {
        Some(reason) => reason,
        None => std::future::pending().await,
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the reason of a failed run is missing")]
struct Lost;
