//! The end of an instance: recorded, explained, told, and only then removed, for removing may take long.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use mainstay_diagnosis::{
    Reason, exit_codes,
    facts::{ExitRecord, StopReason, Termination},
};
use mainstay_engine::{Engine, EngineError, InstanceState, InstanceStatus};
use mainstay_spec::ids::InstanceId;
use mainstay_store::{InstanceEvent, InstanceRow};
use tokio::time::sleep;

use super::{News, Replica};
use crate::rollout::retire::take_away;

/// Before the engine is asked again.
const ENGINE_PAUSE: Duration = Duration::from_secs(1);

/// Before it was ever ready, the same death this often ends the deployment.
const SAME_DEATHS_MAX: u32 = 3;

impl Replica {
    /// False when the deployment has to give up on it.
    pub(super) async fn after_exit(&mut self, instance: &InstanceStatus, record: ExitRecord) -> bool {
        // Asked for, or nobody's fault: it only has to be started again.
        let is_no_failure = record
            .stop
            .as_ref()
            .is_some_and(|stop| matches!(stop.reason, StopReason::Requested | StopReason::MachineRestarted));
        self.history.note_exit(record.clone(), self.answered);
        let explain = async {
            if is_no_failure {
                None
            } else {
                self.reason(instance, None).await
            }
        };
        let (stored, reason) = tokio::join!(
            self.platform.store.set_instance_exit(instance.id, &record),
            explain
        );
        if let Err(error) = stored {
            tracing::error!(instance = %instance.id, error = &error as &dyn std::error::Error, "could not store an exit");
        }
        let gives_up = !self.was_ready && self.same_deaths() >= SAME_DEATHS_MAX;
        let news = match reason.clone() {
            Some(reason) if gives_up => News::Failed { reason },
            reason => News::NotReady { reason },
        };
        let goes_on = !matches!(news, News::Failed { .. });
        self.say(&self.epitaph(&record, reason.as_deref()));
        self.tell(news).await;
        self.record(Some(instance.id), exited(&record, reason.as_deref()))
            .await;
        self.remove(instance.id).await;
        goes_on
    }

    /// The line of the log. The reason speaks of what began the trouble, which is not always this end.
    fn epitaph(&self, record: &ExitRecord, reason: Option<&Reason>) -> String {
        match reason {
            Some(reason) if self.history.exits.len() == 1 => reason.message.clone(),
            _ => format!("{} {}", self.name(), exit_codes::ending(record).story),
        }
    }

    /// How often in a row it has died the same way.
    fn same_deaths(&self) -> u32 {
        let deaths = self.history.exits.iter().rev().map(|exit| exit.termination);
        let last: Option<Option<Termination>> = deaths.clone().next();
        u32::try_from(deaths.take_while(|death| Some(*death) == last).count()).unwrap_or(u32::MAX)
    }

    /// Explains the end of an instance that ended while no server was there. False when the deployment has to give up.
    pub(super) async fn settle_unseen_end(&mut self, rows: &[InstanceRow]) -> bool {
        let unsettled = rows.iter().rfind(|row| !row.removed && row.exit.is_none());
        let Some(row) = unsettled else { return true };
        match self.platform.engine.status(row.id).await {
            Ok(Some(status)) => match status.exit.clone() {
                Some(record) => {
                    self.answered = self.was_ready;
                    self.after_exit(&status, record).await
                }
                None => true,
            },
            Ok(None) => true,
            Err(error) => {
                tracing::warn!(instance = %row.id, error = &error as &dyn std::error::Error, "could not ask for an instance");
                true
            }
        }
    }

    /// Nothing stays of a start that failed: while the deployment goes on, nobody else would look for it.
    pub(super) async fn abandon(&self, id: InstanceId) {
        let taken = take_away(&self.platform, id, StopReason::DeploymentEnded, Duration::ZERO).await;
        let Err(error) = taken else {
            return self.mark_removed(id).await;
        };
        tracing::warn!(instance = %id, error = &error as &dyn std::error::Error, "could not take away an instance that did not start");
        // It has ended as far as anybody is concerned: the actor's look after what has will find it.
        if let Err(error) = self.platform.store.set_instance_exit(id, &lost_record()).await {
            tracing::error!(instance = %id, error = &error as &dyn std::error::Error, "could not note that an instance did not start");
        }
    }

    pub(super) async fn mark_removed(&self, id: InstanceId) {
        if let Err(error) = self.platform.store.mark_instance_removed(id).await {
            tracing::error!(instance = %id, error = &error as &dyn std::error::Error, "could not mark an instance removed");
        }
    }

    async fn remove(&self, id: InstanceId) {
        match self.platform.engine.remove(id).await {
            Ok(()) => self.mark_removed(id).await,
            // The sweep of `retire` tries again.
            Err(error) => {
                tracing::warn!(instance = %id, error = &error as &dyn std::error::Error, "could not remove an instance");
            }
        }
    }
}

fn exited(record: &ExitRecord, reason: Option<&Reason>) -> InstanceEvent {
    let ending = exit_codes::ending(record);
    InstanceEvent::Exited {
        exit_code: ending.shown_code,
        code: reason.map(|reason| reason.code),
        cause: reason.map(|reason| reason.cause),
        message: ending.story,
    }
}

/// Waits for the end itself: an engine that cannot be asked is no sign of it.
pub(crate) async fn end_of(engine: Arc<dyn Engine>, id: InstanceId) -> Result<ExitRecord, EngineError> {
    loop {
        let error = match engine.wait(id).await {
            Ok(record) => return Ok(record),
            Err(error) => error,
        };
        // Before it is called lost: the engine, asked anew, must know of no such instance, or have it as ended.
        match engine.status(id).await {
            Ok(Some(status)) if status.state == InstanceState::Running => {}
            Ok(_) => return Err(error),
            Err(_) => {}
        }
        tracing::warn!(instance = %id, error = &error as &dyn std::error::Error, "could not wait for an instance's end; will try again");
        sleep(ENGINE_PAUSE).await;
    }
}

/// The record of an instance that ended; an empty one when even that was lost.
pub(super) fn exit_of(instance: &InstanceStatus, record: Result<ExitRecord, EngineError>) -> ExitRecord {
    record.unwrap_or_else(|error| {
        tracing::error!(instance = %instance.id, error = &error as &dyn std::error::Error, "lost an instance");
        lost_record()
    })
}

/// Stands for a record that was lost.
pub(in crate::rollout) fn lost_record() -> ExitRecord {
    ExitRecord {
        termination: None,
        started_at: None,
        ended_at: Timestamp::now(),
        stop: None,
        memory: mainstay_diagnosis::facts::MemoryRecord::default(),
        cpu_usage_micros: None,
        cpu_throttled_micros: None,
        pids_limit_hits: None,
        exec_fault: None,
        course: mainstay_diagnosis::facts::Course::default(),
    }
}
