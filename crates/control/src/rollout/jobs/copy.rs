//! One copy of a job: one instance that runs to its end.

use jiff::Timestamp;
use mainstay_diagnosis::{
    Reason,
    facts::{ExitRecord, StopReason},
};
use mainstay_engine::{EngineError, LogQuery, StartError};
use mainstay_spec::ids::InstanceId;
use mainstay_store::{InstanceRow, StoreError};
use tokio::sync::watch;

use super::run::{JobRun, persist, told_to_end};
use crate::rollout::{
    evidence::{Evidence, History},
    replica::lost_record,
};

pub(super) struct JobCopy<'a> {
    run: &'a JobRun,
    ordinal: u32,
    stop: watch::Receiver<Option<StopReason>>,
    history: History,
}

/// What there is of a copy.
enum Known {
    /// Nothing of it was ever begun; the row may be there already.
    Nothing(Option<InstanceId>),
    /// It was begun: it runs, or the engine knows its end.
    Begun(InstanceId),
    Ended(InstanceId, Box<ExitRecord>),
}

impl<'a> JobCopy<'a> {
    pub(super) fn new(run: &'a JobRun, ordinal: u32, stop: watch::Receiver<Option<StopReason>>) -> Self {
        Self {
            run,
            ordinal,
            stop,
            history: History::default(),
        }
    }

    /// Runs it to its end. `Err` when that was no good one.
    pub(super) async fn run(mut self) -> Result<(), Box<Reason>> {
        let known = self.known().await;
        let known = known.map_err(|error| self.run.internal("looking for the job's instance", &error))?;
        let (instance, record) = match known {
            Known::Ended(instance, record) => (instance, *record),
            Known::Begun(instance) => (instance, self.end_of(instance).await),
            Known::Nothing(row) => {
                let instance = self.start(row).await?;
                (instance, self.end_of(instance).await)
            }
        };
        self.conclude(instance, record).await
    }

    async fn known(&self) -> Result<Known, StoreError> {
        let rows = self
            .run
            .platform
            .store
            .instances_of_invocation(self.run.row.id)
            .await?;
        let Some(row) = rows.into_iter().find(|row| row.ordinal == self.ordinal) else {
            return Ok(Known::Nothing(None));
        };
        Ok(match row.exit {
            Some(exit) => Known::Ended(row.id, Box::new(exit)),
            None if self.has_traces(row.id).await => Known::Begun(row.id),
            None => Known::Nothing(Some(row.id)),
        })
    }

    /// Whether the engine ever began it. What cannot be asked counts as begun: nothing may run twice.
    async fn has_traces(&self, instance: InstanceId) -> bool {
        let engine = &self.run.platform.engine;
        let known = engine
            .status(instance)
            .await
            .map_or(true, |status| status.is_some());
        known || engine.logs(instance, LogQuery::default()).await.is_ok()
    }

    async fn start(&mut self, row: Option<InstanceId>) -> Result<InstanceId, Box<Reason>> {
        let plan = &self.run.plan;
        let id = row.unwrap_or_else(|| InstanceId::from_uuid(uuid::Uuid::new_v4()));
        let new = InstanceRow {
            id,
            app: plan.app,
            deployment: plan.deployment,
            component: plan.component.clone(),
            ordinal: self.ordinal,
            created_at: Timestamp::now(),
            removed: false,
            exit: None,
            restarts: 0,
            invocation: Some(self.run.row.id),
        };
        if row.is_none() {
            let stored = self.run.platform.store.insert_instance(&new).await;
            stored.map_err(|error| self.run.internal("storing the job's instance", &error))?;
        }
        self.run.say(&format!(
            "starting instance {}: {}",
            new.name(),
            plan.template.argv.join(" ")
        ));
        self.history.started_at = Some(Timestamp::now());
        let started = self
            .run
            .platform
            .engine
            .start(plan.instance(id, self.ordinal))
            .await;
        let reason = match started {
            Ok(_) => return Ok(id),
            Err(StartError::Refused(fault)) => self.evidence().refused(*fault),
            // Not tried again: how far it came is not known.
            Err(StartError::Engine(error)) => self.run.internal("starting the job's instance", &error),
        };
        self.run.say(&reason.message);
        Err(reason)
    }

    /// Waits for the end; ends it when told to.
    async fn end_of(&mut self, instance: InstanceId) -> ExitRecord {
        let engine = &self.run.platform.engine;
        let ended = tokio::select! {
            // Biased: an end of its own counts, even when it is to be stopped just then.
            biased;
            record = engine.wait(instance) => record,
            reason = told_to_end(&mut self.stop) => {
                engine.stop(instance, reason, self.run.plan.grace_period).await
            }
        };
        ended.unwrap_or_else(|error: EngineError| {
            tracing::error!(%instance, error = &error as &dyn std::error::Error, "lost the instance of a job");
            lost_record()
        })
    }

    async fn conclude(mut self, instance: InstanceId, record: ExitRecord) -> Result<(), Box<Reason>> {
        let store = &self.run.platform.store;
        persist(|| store.set_instance_exit(instance, &record)).await;
        self.history.exits.push(record);
        match self.evidence().reason(instance, None, false).await {
            None => Ok(()),
            Some(reason) => {
                self.run.say(&reason.message);
                Err(reason)
            }
        }
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            platform: &self.run.platform,
            plan: &self.run.plan,
            history: &self.history,
        }
    }
}
