//! One instance slot of a component: starts the instance, waits until it answers, restarts it when it ends, for as long as its
//! deployment should run.

mod look;
mod watching;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use mainstay_diagnosis::{
    Reason,
    facts::{ExecFault, ExitRecord, StopReason, Termination},
};
use mainstay_engine::{EngineError, InstanceStatus, StartError};
use mainstay_shim::log::LogSource;
use mainstay_spec::ids::InstanceId;
use mainstay_store::InstanceRow;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

use self::watching::Watch;
use super::{
    evidence::{Evidence, History},
    instance_plan::InstancePlan,
};
use crate::platform::Platform;

/// Before it was ever ready, the same death this often ends the deployment.
const SAME_DEATHS_MAX: u32 = 3;
const RESTART_DELAY_FIRST: Duration = Duration::from_secs(1);
const RESTART_DELAY_MAX: Duration = Duration::from_mins(5);
/// An instance that ran this long has earned a fresh count.
const RESTART_DELAY_RESET_AFTER: Duration = Duration::from_mins(10);
const ENGINE_ATTEMPTS: u32 = 3;

/// What a replica tells the actor.
#[derive(Debug)]
pub(crate) struct Report {
    pub component: String,
    pub ordinal: u32,
    pub news: News,
}

#[derive(Debug)]
pub(crate) enum News {
    Ready {
        instance: InstanceId,
        address: std::net::Ipv4Addr,
    },
    /// It is not (or no longer) answering; known already, or `None`.
    NotReady { reason: Option<Box<Reason>> },
    /// It never became ready and never will; the instance may still run.
    Failed { reason: Box<Reason> },
}

pub(crate) struct Replica {
    platform: Arc<Platform>,
    plan: Arc<InstancePlan>,
    ordinal: u32,
    reports: mpsc::Sender<Report>,
    /// Turns true when another takes over the instance: the replica ends, the instance goes on.
    released: watch::Receiver<bool>,
    history: History,
    was_ready: bool,
}

/// Why watching an instance ended.
enum Watched {
    Exited(Box<ExitRecord>),
    GaveUp(Box<Reason>),
    Released,
}

impl Replica {
    pub(crate) fn new(
        platform: Arc<Platform>,
        plan: Arc<InstancePlan>,
        ordinal: u32,
        was_ready: bool,
        reports: mpsc::Sender<Report>,
        released: watch::Receiver<bool>,
    ) -> Self {
        Self {
            platform,
            plan,
            ordinal,
            reports,
            released,
            history: History::default(),
            was_ready,
        }
    }

    /// Runs until released, or until it is certain that the instance never becomes ready.
    pub(crate) async fn run(mut self, adopted: Option<InstanceStatus>) {
        let mut adopted = adopted;
        let mut delay = RESTART_DELAY_FIRST;
        loop {
            let instance = match adopted.take() {
                Some(status) => status,
                None => match self.start().await {
                    Ok(status) => status,
                    Err(reason) if self.was_ready => {
                        self.tell(News::NotReady { reason: Some(reason) }).await;
                        if self.pause(&mut delay).await {
                            continue;
                        }
                        return;
                    }
                    Err(reason) => return self.tell(News::Failed { reason }).await,
                },
            };
            let began = Instant::now();
            match self.watch(&instance).await {
                Watched::Released => return,
                Watched::GaveUp(reason) => return self.tell(News::Failed { reason }).await,
                Watched::Exited(record) => {
                    if !self.after_exit(&instance, *record).await {
                        return;
                    }
                }
            }
            if began.elapsed() >= RESTART_DELAY_RESET_AFTER {
                delay = RESTART_DELAY_FIRST;
            }
            if !self.pause(&mut delay).await {
                return;
            }
        }
    }

    /// Waits before a restart, longer each time. False when released meanwhile.
    async fn pause(&mut self, delay: &mut Duration) -> bool {
        let wait = *delay;
        *delay = (*delay * 2).min(RESTART_DELAY_MAX);
        tokio::select! {
            () = sleep(wait) => true,
            () = until_true(&mut self.released) => false,
        }
    }

    async fn start(&mut self) -> Result<InstanceStatus, Box<Reason>> {
        let mut attempt = 1;
        loop {
            match self.start_once().await {
                Ok(status) => return Ok(status),
                Err(StartError::Refused(fault)) => return Err(self.refused(*fault)),
                Err(StartError::Engine(error)) if attempt < ENGINE_ATTEMPTS => {
                    tracing::warn!(
                        attempt,
                        error = &error as &dyn std::error::Error,
                        "an instance could not be started"
                    );
                    attempt += 1;
                }
                Err(StartError::Engine(error)) => {
                    return Err(self.internal("starting the instance", &error, attempt));
                }
            }
        }
    }

    async fn start_once(&mut self) -> Result<InstanceStatus, StartError> {
        let id = InstanceId::from_uuid(uuid::Uuid::new_v4());
        let row = InstanceRow {
            id,
            app: self.plan.app,
            deployment: self.plan.deployment,
            component: self.plan.component.clone(),
            ordinal: self.ordinal,
            created_at: Timestamp::now(),
            removed: false,
            exit: None,
            restarts: 0,
        };
        self.platform.store.insert_instance(&row).await.map_err(|error| {
            StartError::Engine(EngineError {
                operation: "store the instance".into(),
                source: Some(Box::new(error)),
            })
        })?;
        self.say(&format!(
            "starting instance {}: {}",
            row.name(),
            self.plan.template.argv.join(" ")
        ));
        self.history.started_at = Some(Timestamp::now());
        self.platform
            .engine
            .start(self.plan.instance(id, self.ordinal))
            .await
    }

    /// Follows one running instance.
    async fn watch(&mut self, instance: &InstanceStatus) -> Watched {
        let engine = Arc::clone(&self.platform.engine);
        let mut ended = Box::pin(async move { engine.wait(instance.id).await });
        let mut released = self.released.clone();
        let mut watch = Watch::new(&self.plan, instance, self.was_ready);
        if watch.ready_at_once() {
            self.ready(instance).await;
        }
        loop {
            tokio::select! {
                // Biased: an end explains a failed probe, never the other way round.
                biased;
                record = &mut ended => return Watched::Exited(Box::new(exit_of(instance, record))),
                () = until_true(&mut released) => return Watched::Released,
                () = sleep_until(watch.next_probe), if watch.readiness.is_some() => {
                    if let Some(watched) = self.probe(instance, &mut watch).await {
                        return watched;
                    }
                }
                () = sleep_until(watch.settles_at), if watch.settling => {
                    watch.settling = false;
                    self.ready(instance).await;
                }
                _ = watch.observe.tick(), if !watch.ready => self.observe(instance, &mut watch).await,
                () = sleep_until(watch.next_liveness), if watch.liveness.is_some() && watch.ready => {
                    self.probe_liveness(instance, &mut watch).await;
                }
            }
        }
    }

    async fn ready(&mut self, instance: &InstanceStatus) {
        self.was_ready = true;
        let Some(address) = instance.address else { return };
        self.say(&format!(
            "instance {}-{} is ready",
            self.plan.component, self.ordinal
        ));
        self.tell(News::Ready {
            instance: instance.id,
            address,
        })
        .await;
    }

    /// Records the end, tells the reason. False when the deployment has to give up on it.
    async fn after_exit(&mut self, instance: &InstanceStatus, record: ExitRecord) -> bool {
        if let Err(error) = self.platform.store.set_instance_exit(instance.id, &record).await {
            tracing::error!(instance = %instance.id, error = &error as &dyn std::error::Error, "could not store an exit");
        }
        let asked_by_user = record
            .stop
            .as_ref()
            .is_some_and(|stop| stop.reason == StopReason::Requested);
        self.history.note_exit(record);
        let reason = if asked_by_user {
            None
        } else {
            self.reason(instance, None).await
        };
        if let Some(reason) = &reason {
            self.say(&reason.message);
        }
        self.remove(instance.id).await;
        if !self.was_ready
            && self.same_deaths() >= SAME_DEATHS_MAX
            && let Some(reason) = reason
        {
            self.tell(News::Failed { reason }).await;
            return false;
        }
        self.tell(News::NotReady { reason }).await;
        true
    }

    /// How often in a row it has died the same way.
    fn same_deaths(&self) -> u32 {
        let deaths = self.history.exits.iter().rev().map(|exit| exit.termination);
        let last: Option<Option<Termination>> = deaths.clone().next();
        u32::try_from(deaths.take_while(|death| Some(*death) == last).count()).unwrap_or(u32::MAX)
    }

    async fn remove(&self, id: InstanceId) {
        match self.platform.engine.remove(id).await {
            Ok(()) => {
                if let Err(error) = self.platform.store.mark_instance_removed(id).await {
                    tracing::error!(instance = %id, error = &error as &dyn std::error::Error, "could not mark an instance removed");
                }
            }
            // The sweep of `retire` tries again.
            Err(error) => {
                tracing::warn!(instance = %id, error = &error as &dyn std::error::Error, "could not remove an instance");
            }
        }
    }

    async fn reason(&self, instance: &InstanceStatus, watch: Option<&Watch>) -> Option<Box<Reason>> {
        let probe = watch.and_then(|watch| {
            let paths = watch.answering_paths.clone().unwrap_or_default();
            watch
                .readiness
                .as_ref()
                .map(|readiness| readiness.facts(false, paths))
        });
        let evidence = Evidence {
            platform: &self.platform,
            plan: &self.plan,
            history: &self.history,
        };
        evidence.reason(instance.id, probe, self.was_ready).await
    }

    fn refused(&self, fault: ExecFault) -> Box<Reason> {
        let evidence = Evidence {
            platform: &self.platform,
            plan: &self.plan,
            history: &self.history,
        };
        let reason = evidence.refused(fault);
        self.say(&reason.message);
        reason
    }

    fn internal(&self, operation: &str, error: &EngineError, attempts: u32) -> Box<Reason> {
        super::evidence::internal(&self.plan.component, self.plan.kind, operation, error, attempts)
    }

    fn say(&self, text: &str) {
        self.platform.logs.deploy_line(
            self.plan.deployment,
            &self.plan.component,
            LogSource::Platform,
            text,
        );
    }

    /// The actor is gone only when the server is going: nobody is left to tell.
    async fn tell(&self, news: News) {
        let report = Report {
            component: self.plan.component.clone(),
            ordinal: self.ordinal,
            news,
        };
        drop(self.reports.send(report).await);
    }
}

/// A sender that is gone says the same as true: nobody is interested any more.
async fn until_true(flag: &mut watch::Receiver<bool>) {
    drop(flag.wait_for(|flag| *flag).await);
}

/// The record of an instance that ended; an empty one when even that was lost.
fn exit_of(instance: &InstanceStatus, record: Result<ExitRecord, EngineError>) -> ExitRecord {
    record.unwrap_or_else(|error| {
        tracing::error!(instance = %instance.id, error = &error as &dyn std::error::Error, "lost an instance");
        lost_record()
    })
}

fn lost_record() -> ExitRecord {
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
