//! One instance slot of a component: starts the instance, waits until it answers, restarts it when it ends, for as long as its
//! deployment should run.

mod ending;
mod look;
mod suspicion;
mod telling;
mod watching;

pub(crate) use ending::end_of;
pub(super) use ending::lost_record;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use mainstay_diagnosis::{Reason, facts::ExitRecord};
use mainstay_engine::{EngineError, InstanceStatus, StartError};
use mainstay_spec::ids::InstanceId;
use mainstay_store::{InstanceEvent, InstanceRow};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, sleep_until},
};

use self::{ending::exit_of, watching::Watch};
use super::{evidence::History, instance_plan::InstancePlan, starts::Gate};
use crate::{platform::Platform, probe::probe};

const RESTART_DELAY_FIRST: Duration = Duration::from_secs(1);
const RESTART_DELAY_MAX: Duration = Duration::from_mins(5);
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
    released: watch::Receiver<bool>,
    gate: Arc<Gate>,
    history: History,
    /// Its place: some instance there answered.
    was_ready: bool,
    /// The instance of now.
    answered: bool,
}

/// What a replica is told by its fleet.
#[derive(Debug)]
pub(crate) struct Orders {
    /// Turns true when the instance is to be retired: the replica ends, the instance goes on until then.
    pub released: watch::Receiver<bool>,
    /// Every start goes through it.
    pub gate: Arc<Gate>,
}

/// Why watching an instance ended.
enum Watched {
    Exited(Box<ExitRecord>),
    GaveUp(Box<Reason>),
    Released,
}

/// Why there is no instance to watch.
enum NotStarted {
    For(Box<Reason>),
    Released,
}

impl Replica {
    pub(crate) fn new(
        platform: Arc<Platform>,
        plan: Arc<InstancePlan>,
        ordinal: u32,
        was_ready: bool,
        reports: mpsc::Sender<Report>,
        orders: Orders,
    ) -> Self {
        Self {
            platform,
            plan,
            ordinal,
            reports,
            released: orders.released,
            gate: orders.gate,
            history: History::default(),
            was_ready,
            answered: false,
        }
    }

    /// Runs until released, or until it is certain that the instance never becomes ready.
    pub(crate) async fn run(mut self, adopted: Option<InstanceStatus>) {
        let rows = self.rows().await;
        self.remember(&rows);
        let mut adopted = adopted;
        if adopted.is_none() && !self.settle_unseen_end(&rows).await {
            return;
        }
        loop {
            let instance = match adopted.take() {
                Some(status) => status,
                None => match self.start().await {
                    Ok(status) => status,
                    Err(NotStarted::Released) => return,
                    Err(NotStarted::For(reason)) if self.was_ready => {
                        self.could_not_start(reason).await;
                        if self.pause().await {
                            continue;
                        }
                        return;
                    }
                    Err(NotStarted::For(reason)) => return self.tell(News::Failed { reason }).await,
                },
            };
            self.history.started_at = Some(instance.started_at);
            match self.watch(&instance).await {
                Watched::Released => return,
                Watched::GaveUp(reason) => return self.tell(News::Failed { reason }).await,
                Watched::Exited(record) => {
                    if !self.after_exit(&instance, *record).await {
                        return;
                    }
                }
            }
            if !self.pause().await {
                return;
            }
        }
    }

    /// Everything that was ever started in its place, oldest first.
    async fn rows(&self) -> Vec<InstanceRow> {
        let plan = &self.plan;
        let rows = self
            .platform
            .store
            .instances_of_place(plan.deployment, &plan.component, self.ordinal)
            .await;
        rows.unwrap_or_else(|error| {
            tracing::warn!(deployment = %plan.deployment, error = &error as &dyn std::error::Error, "could not read how instances ended before");
            Vec::new()
        })
    }

    /// What happened before an earlier server ended: a crash loop goes on where it was.
    fn remember(&mut self, rows: &[InstanceRow]) {
        self.history.starts = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let exits = rows.iter().filter_map(|row| row.exit.clone());
        // Whether they answered is not known any more.
        exits.for_each(|exit| self.history.note_exit(exit, false));
    }

    /// Waits before a restart, longer each time. False when released meanwhile.
    async fn pause(&mut self) -> bool {
        let wait = restart_delay(self.history.troubles());
        self.record(
            None,
            InstanceEvent::Restarting {
                after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            },
        )
        .await;
        self.say(&format!("{} is restarted in {} s", self.name(), wait.as_secs()));
        tokio::select! {
            () = sleep(wait) => true,
            () = until_true(&mut self.released) => false,
        }
    }

    async fn start(&mut self) -> Result<InstanceStatus, NotStarted> {
        let mut attempt = 1;
        loop {
            let gate = Arc::clone(&self.gate);
            let Some(_under_way) = gate.enter() else {
                return Err(NotStarted::Released);
            };
            match self.start_once().await {
                Ok(status) => return Ok(status),
                Err(StartError::Refused(fault)) => return Err(NotStarted::For(self.refused(*fault))),
                Err(StartError::Engine(error)) if attempt < ENGINE_ATTEMPTS => {
                    tracing::warn!(
                        attempt,
                        error = &error as &dyn std::error::Error,
                        "an instance could not be started"
                    );
                    attempt += 1;
                }
                Err(StartError::Engine(error)) => {
                    let reason = self.internal("starting the instance", &error, attempt);
                    return Err(NotStarted::For(reason));
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
            invocation: None,
        };
        if let Err(error) = self.platform.store.insert_instance(&row).await {
            // It may be stored although we were not told.
            self.abandon(id).await;
            return Err(StartError::Engine(EngineError {
                operation: "store the instance".into(),
                source: Some(Box::new(error)),
            }));
        }
        self.say(&format!(
            "starting instance {}: {}",
            row.name(),
            self.plan.template.argv.join(" ")
        ));
        self.history.started_at = Some(Timestamp::now());
        self.history.starts = self.history.starts.saturating_add(1);
        let spec = self.plan.instance(id, self.ordinal);
        let started = self.platform.engine.start(spec).await;
        if started.is_err() {
            self.abandon(id).await;
        }
        let started = started?;
        let restarts = self.history.restarts();
        self.record(Some(id), InstanceEvent::Started { restarts }).await;
        Ok(started)
    }

    /// Follows one running instance.
    async fn watch(&mut self, instance: &InstanceStatus) -> Watched {
        let engine = Arc::clone(&self.platform.engine);
        let mut ended = Box::pin(end_of(engine, instance.id));
        let mut released = self.released.clone();
        let mut watch = Watch::new(&self.plan, instance, self.was_ready);
        self.answered = watch.ready_at_once();
        if watch.ready_at_once() {
            self.taken_up(instance).await;
        }
        loop {
            tokio::select! {
                // Biased: an end explains a failed probe, never the other way round.
                biased;
                record = &mut ended => return Watched::Exited(Box::new(exit_of(instance, record))),
                () = until_true(&mut released) => return Watched::Released,
                () = sleep_until(watch.next_probe), if watch.readiness.is_some() => {
                    let counts = watch.probe_counts();
                    let target = watch.target(&self.plan, instance);
                    // Nobody waits for the answer of what has ended.
                    let attempt = tokio::select! {
                        biased;
                        record = &mut ended => return Watched::Exited(Box::new(exit_of(instance, record))),
                        () = until_true(&mut released) => return Watched::Released,
                        attempt = probe(&target) => attempt,
                    };
                    if let Some(watched) = self.judge(instance, &mut watch, attempt, counts).await {
                        return watched;
                    }
                }
                () = sleep_until(watch.settles_at), if watch.settling => {
                    watch.settling = false;
                    watch.ready = true;
                    self.ready(instance, &watch).await;
                }
                () = sleep_until(watch.next_observation), if !watch.ready => self.observe(instance, &mut watch).await,
                () = sleep_until(watch.next_liveness), if watch.liveness.is_some() && watch.ready => {
                    self.probe_liveness(instance, &mut watch).await;
                }
            }
        }
    }
}

/// By how many ends of the present trouble there were.
fn restart_delay(troubles: u32) -> Duration {
    let doubled = RESTART_DELAY_FIRST.saturating_mul(2_u32.saturating_pow(troubles.saturating_sub(1)));
    doubled.min(RESTART_DELAY_MAX)
}

/// A sender that is gone says the same as true: nobody is interested any more.
async fn until_true(flag: &mut watch::Receiver<bool>) {
    drop(flag.wait_for(|flag| *flag).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_slow_down_to_one_in_five_minutes() {
        let seconds: Vec<u64> = [0, 1, 2, 3, 9, 10, 4000]
            .map(|troubles| restart_delay(troubles).as_secs())
            .to_vec();
        assert_eq!(seconds, [1, 1, 2, 4, 256, 300, 300]);
    }
}
