//! One instance slot of a component: starts the instance, waits until it answers, restarts it when it ends, for as long as its
//! deployment should run.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use mainstay_diagnosis::{
    Reason,
    facts::{ExecFault, ExitRecord, ProbeOutcome, StopReason, Termination},
};
use mainstay_engine::{EngineError, InstanceStatus, StartError};
use mainstay_shim::log::LogSource;
use mainstay_spec::ids::InstanceId;
use mainstay_store::InstanceRow;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};

use super::{
    evidence::{Evidence, History},
    instance_plan::InstancePlan,
    readiness::{Change, Readiness},
};
use crate::{
    platform::Platform,
    probe::{HttpProbe, ProbeTarget, probe},
};

/// Looks between the probes of the definition, so that a quick app need not wait for a slow period.
const QUICK_LOOK_FIRST: Duration = Duration::from_millis(25);
const QUICK_LOOK_MAX: Duration = Duration::from_secs(1);
/// How often sockets are looked at while an instance does not answer.
const OBSERVE_EVERY: Duration = Duration::from_millis(500);
/// A socket in the wrong place is believed after this long: some servers open a helper port first.
const BELIEVE_SOCKETS_AFTER: Duration = Duration::from_secs(1);
/// A worker has no probe; it is ready when it stayed alive this long.
const WORKER_SETTLES: Duration = Duration::from_secs(3);
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

    async fn probe(&mut self, instance: &InstanceStatus, watch: &mut Watch) -> Option<Watched> {
        let counts = watch.probe_counts();
        let attempt = probe(&watch.target(&self.plan, instance)).await;
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
                self.ready(instance).await;
            }
            Change::BecameUnready => {
                watch.ready = false;
                let reason = self.reason(instance, Some(watch)).await;
                self.tell(News::NotReady { reason }).await;
            }
            Change::GaveUp => {
                let reason = self.reason(instance, Some(watch)).await?;
                return Some(Watched::GaveUp(reason));
            }
        }
        None
    }

    /// After a 404: which of the usual paths would have answered. Asked once.
    async fn scan(&self, instance: &InstanceStatus, watch: &Watch) -> Vec<String> {
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
    async fn observe(&mut self, instance: &InstanceStatus, watch: &mut Watch) {
        let sockets = self
            .platform
            .engine
            .sockets(instance.id)
            .await
            .unwrap_or_default();
        if !sockets.is_empty() && self.history.first_listen_at.is_none() {
            self.history.first_listen_at = Some(Timestamp::now());
        }
        let Some(readiness) = &watch.readiness else { return };
        let port = readiness.definition().port;
        let elsewhere = !sockets.is_empty()
            && !sockets
                .iter()
                .any(|socket| socket.port == port && !socket.is_loopback());
        let answered_badly = matches!(watch.last_outcome, Some(ProbeOutcome::Response { status, .. }) if !(200..400).contains(&status));
        let believed = watch.began.elapsed() >= BELIEVE_SOCKETS_AFTER && (elsewhere || answered_badly);
        if believed && !watch.told {
            watch.told = true;
            let reason = self.reason(instance, Some(watch)).await;
            self.tell(News::NotReady { reason }).await;
        }
    }

    async fn probe_liveness(&mut self, instance: &InstanceStatus, watch: &mut Watch) {
        let Some(mut liveness) = watch.liveness.take() else {
            return;
        };
        let definition = liveness.definition().clone();
        let attempt = probe(&target(&self.plan, instance, &definition)).await;
        watch.next_liveness = Instant::now() + seconds(definition.period_seconds);
        let change = liveness.record(attempt, true);
        if change == Change::BecameUnready {
            self.say("liveness check failed: the platform restarts the instance");
            self.history.liveness = Some(liveness.facts(true, Vec::new()));
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

/// What is known of the instance being watched.
struct Watch {
    began: Instant,
    readiness: Option<Readiness>,
    liveness: Option<Readiness>,
    ready: bool,
    /// Waiting for a worker to have stayed alive.
    settling: bool,
    settles_at: Instant,
    next_probe: Instant,
    next_counted: Instant,
    quick_look: Duration,
    next_liveness: Instant,
    observe: tokio::time::Interval,
    last_outcome: Option<ProbeOutcome>,
    answering_paths: Option<Vec<String>>,
    told: bool,
}

impl Watch {
    fn new(plan: &InstancePlan, instance: &InstanceStatus, was_ready: bool) -> Self {
        let began = Instant::now();
        let delay = plan
            .readiness
            .as_ref()
            .map_or(Duration::ZERO, |probe| seconds(probe.initial_delay_seconds));
        let liveness_delay = plan
            .liveness
            .as_ref()
            .map_or(Duration::ZERO, |probe| seconds(probe.initial_delay_seconds));
        let mut observe = interval(OBSERVE_EVERY);
        observe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let adopted =
            was_ready && instance.started_at < Timestamp::now() - jiff::SignedDuration::from_secs(1);
        let readiness = plan.readiness.clone().map(|probe| Readiness::new(probe, adopted));
        Self {
            began,
            ready: adopted,
            settling: readiness.is_none() && !adopted,
            settles_at: began + WORKER_SETTLES,
            next_probe: began + delay,
            next_counted: began
                + delay
                + plan
                    .readiness
                    .as_ref()
                    .map_or(Duration::ZERO, |probe| seconds(probe.period_seconds)),
            quick_look: QUICK_LOOK_FIRST,
            liveness: plan.liveness.clone().map(|probe| Readiness::new(probe, true)),
            next_liveness: began + liveness_delay,
            readiness,
            observe,
            last_outcome: None,
            answering_paths: None,
            told: false,
        }
    }

    fn ready_at_once(&self) -> bool {
        self.ready
    }

    fn probe_counts(&self) -> bool {
        self.ready || Instant::now() >= self.next_counted
    }

    fn schedule(&mut self, counted: bool) {
        let Some(readiness) = &self.readiness else { return };
        let period = seconds(readiness.definition().period_seconds);
        let now = Instant::now();
        if counted {
            self.next_counted = now + period;
        }
        if self.ready {
            self.next_probe = now + period;
            return;
        }
        self.next_probe = (now + self.quick_look).min(self.next_counted.max(now));
        self.quick_look = (self.quick_look * 2).min(QUICK_LOOK_MAX);
    }

    fn target(&self, plan: &InstancePlan, instance: &InstanceStatus) -> ProbeTarget {
        let readiness = self
            .readiness
            .as_ref()
            .expect("only called while there is a readiness probe");
        target(plan, instance, readiness.definition())
    }
}

fn target(
    plan: &InstancePlan,
    instance: &InstanceStatus,
    definition: &mainstay_diagnosis::facts::ProbeDefinition,
) -> ProbeTarget {
    let address = instance.address.unwrap_or(std::net::Ipv4Addr::LOCALHOST);
    let address = std::net::SocketAddr::from((address, definition.port));
    let http = definition.http_path.clone().map(|path| HttpProbe {
        path,
        host: plan.probe_host.clone().unwrap_or_else(|| address.to_string()),
        headers: Vec::new(),
    });
    ProbeTarget {
        address,
        http,
        timeout: seconds(definition.timeout_seconds),
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

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
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
    }
}
