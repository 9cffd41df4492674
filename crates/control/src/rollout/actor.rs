//! One actor per app: it alone decides what happens to the app's deployments.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use mainstay_deploy::{Effect, Event, Failure, Phase, Recorded, State, resume, step};
use mainstay_diagnosis::{Reason, facts::StopReason};
use mainstay_spec::ids::{AppId, DeploymentId, InstanceId};
use mainstay_store::{DeploymentRow, InstanceRow, NewDeployment, ReasonRow};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    effects::Effects,
    fleet::Fleet,
    history,
    replica::{News, Report},
    retire::retire,
    switch,
};
use crate::platform::{Platform, PlatformError};

const MAILBOX: usize = 256;
/// The store is all we have: while it cannot be written, nothing goes on.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Retiring is level-triggered: what failed is tried again this often.
const TIDY_EVERY: Duration = Duration::from_secs(30);

/// What the application layer asks of an app.
#[derive(Debug)]
pub(crate) enum Command {
    /// Store the deployment and make it live; answers once it is stored.
    Deploy {
        new: Box<NewDeployment>,
        stored: oneshot::Sender<Result<(), PlatformError>>,
    },
    /// Answers false when it is too late.
    Cancel {
        deployment: DeploymentId,
        by: String,
        canceled: oneshot::Sender<bool>,
    },
    /// Take everything down and forget the app; answers when it is gone.
    Delete { gone: oneshot::Sender<()> },
}

/// News from the tasks of a deployment.
#[derive(Debug)]
pub(crate) enum Message {
    Event(Event),
    Report(Report),
}

pub(crate) struct Actor {
    platform: Arc<Platform>,
    app: AppId,
    commands: mpsc::Receiver<Command>,
    messages: mpsc::Receiver<(DeploymentId, Message)>,
    outbox: mpsc::Sender<(DeploymentId, Message)>,
    current: Option<Current>,
    waiting: VecDeque<Arc<DeploymentRow>>,
    serving: Option<Serving>,
    chores: JoinSet<()>,
}

/// The deployment being worked on.
struct Current {
    row: Arc<DeploymentRow>,
    state: State,
    /// Of the next event.
    sequence: u64,
    over: watch::Sender<bool>,
    tasks: JoinSet<()>,
    fleet: Option<Fleet>,
    deadline: Instant,
}

/// The deployment that answers requests.
struct Serving {
    row: Arc<DeploymentRow>,
    fleet: Fleet,
}

impl Actor {
    pub(crate) fn spawn(
        platform: Arc<Platform>,
        app: AppId,
    ) -> (mpsc::Sender<Command>, tokio::task::JoinHandle<()>) {
        let (sender, commands) = mpsc::channel(MAILBOX);
        let (outbox, messages) = mpsc::channel(MAILBOX);
        let actor = Self {
            platform,
            app,
            commands,
            messages,
            outbox,
            current: None,
            waiting: VecDeque::new(),
            serving: None,
            chores: JoinSet::new(),
        };
        (sender, tokio::spawn(actor.run()))
    }

    async fn run(mut self) {
        self.wake_up().await;
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        loop {
            self.begin_next().await;
            let deadline = self.current.as_ref().map(|current| current.deadline);
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Delete { gone }) => {
                        self.delete().await;
                        // Whoever asked may be gone as well.
                        gone.send(()).ok();
                        return;
                    }
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                Some((deployment, message)) = self.messages.recv() => self.hear(deployment, message).await,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.out_of_time().await,
                Some(_) = self.chores.join_next() => {}
                _ = tidy.tick() => self.tidy_up().await,
            }
        }
    }

    /// Takes up what an earlier server left: the serving instances, and what was under way.
    async fn wake_up(&mut self) {
        loop {
            match self.platform.store.unsettled_deployments(self.app).await {
                Ok(unsettled) => break self.waiting.extend(unsettled.into_iter().map(Arc::new)),
                Err(error) => {
                    tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not read an app's deployments");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
        self.serve_again().await;
    }

    /// What could not be done before, and what nobody reported.
    async fn tidy_up(&mut self) {
        if self.serving.is_none() {
            self.serve_again().await;
        }
        self.retire_the_rest(StopReason::DeploymentEnded).await;
    }

    /// Takes up the active deployment. Where that fails its instances go on as they are, and it is tried again.
    async fn serve_again(&mut self) {
        if let Err(error) = self.take_up().await {
            tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not take up an app");
        }
        self.show_routes().await;
    }

    async fn take_up(&mut self) -> Result<(), PlatformError> {
        let Some(app) = self.platform.store.app(self.app).await? else {
            return Ok(());
        };
        let Some(active) = app.active_deployment else {
            return Ok(());
        };
        history::close_superseded(&self.platform.store, self.app, active).await?;
        let row = self.platform.store.deployment(active).await?;
        let row = Arc::new(row.ok_or_else(|| PlatformError::missing(format!("deployment {active}")))?);
        self.platform.engine.ensure_network(self.app).await?;
        let mut fleet = Fleet::prepare(&self.platform, &row, &[]).await?;
        fleet.start_all(&self.platform, &self.outbox, true).await?;
        self.serving = Some(Serving { row, fleet });
        Ok(())
    }

    // === commands ===

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Deploy { new, stored } => drop(stored.send(self.accept(*new).await)),
            Command::Cancel {
                deployment,
                by,
                canceled,
            } => drop(canceled.send(self.cancel(deployment, by).await)),
            Command::Delete { .. } => unreachable!("handled by the loop"),
        }
    }

    /// A newer deployment overtakes those that wait, and the one at work as long as it has not begun to change what runs.
    async fn accept(&mut self, new: NewDeployment) -> Result<(), PlatformError> {
        let id = new.id;
        self.platform.store.insert_deployment(&new).await?;
        let row = self.platform.store.deployment(id).await?;
        let row = Arc::new(row.ok_or_else(|| PlatformError::missing(format!("deployment {id}")))?);
        let overtaken = Event::NewerAccepted { deployment: id };
        for waiting in std::mem::take(&mut self.waiting) {
            history::append(&self.platform.store, waiting.id, &overtaken).await?;
        }
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.state.phase.can_be_overtaken())
        {
            self.advance(overtaken).await;
        }
        self.waiting.push_back(row);
        Ok(())
    }

    async fn cancel(&mut self, deployment: DeploymentId, by: String) -> bool {
        let event = Event::CancelRequested { by };
        if let Some(current) = self
            .current
            .as_ref()
            .filter(|current| current.row.id == deployment)
        {
            let in_time = current.state.phase.can_cancel();
            if in_time {
                self.advance(event).await;
            }
            return in_time;
        }
        let Some(index) = self.waiting.iter().position(|row| row.id == deployment) else {
            return false;
        };
        let appended = history::append(&self.platform.store, deployment, &event).await;
        if appended.is_ok() {
            self.waiting.remove(index);
        }
        appended.is_ok()
    }

    async fn delete(&mut self) {
        self.waiting.clear();
        if let Some(current) = self.current.take() {
            current.call_off();
        }
        if let Some(mut serving) = self.serving.take() {
            serving.fleet.release();
        }
        loop {
            match self.take_down().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not delete an app; will try again");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    async fn take_down(&mut self) -> Result<(), PlatformError> {
        self.platform.routes.set_app(self.app, Vec::new()).await?;
        let present = self.platform.store.present_instances(self.app).await?;
        retire(&self.platform, present, StopReason::Requested).await;
        if let Some(row) = self.platform.store.present_instances(self.app).await?.first() {
            return Err(PlatformError::Missing {
                what: format!("the end of instance {}", row.id),
            });
        }
        self.platform.engine.remove_network(self.app).await?;
        history::forget_logs(&self.platform, self.app).await?;
        Ok(self.platform.store.delete_app(self.app).await?)
    }

    // === the deployment at work ===

    async fn begin_next(&mut self) {
        while self.current.is_none() {
            let Some(row) = self.waiting.pop_front() else {
                return;
            };
            let (state, sequence) = match history::replay(&self.platform.store, &row).await {
                Ok(replayed) => replayed,
                Err(error) => {
                    tracing::error!(deployment = %row.id, error = &error as &dyn std::error::Error, "the event log cannot be replayed");
                    continue;
                }
            };
            if state.phase.is_settled() {
                continue;
            }
            let (over, _) = watch::channel(false);
            let deadline = deadline(&state.phase);
            let effects = resume(&state);
            self.current = Some(Current {
                row,
                state,
                sequence,
                over,
                tasks: JoinSet::new(),
                fleet: None,
                deadline,
            });
            if effects.is_empty() {
                self.advance(Event::TurnCame).await;
            } else {
                self.perform(effects).await;
            }
        }
    }

    async fn hear(&mut self, deployment: DeploymentId, message: Message) {
        let of_current = self
            .current
            .as_ref()
            .is_some_and(|current| current.row.id == deployment);
        match message {
            Message::Event(event) if of_current => self.advance(event).await,
            Message::Report(report) if of_current => self.hear_new_instance(report).await,
            Message::Report(report) if self.serves(deployment) => self.hear_serving_instance(report).await,
            Message::Event(_) | Message::Report(_) => {}
        }
    }

    fn serves(&self, deployment: DeploymentId) -> bool {
        self.serving
            .as_ref()
            .is_some_and(|serving| serving.row.id == deployment)
    }

    /// Decides, commits, then acts.
    async fn advance(&mut self, event: Event) {
        let Some(current) = &mut self.current else { return };
        let (next, effects) = match step(&current.state, &event) {
            Ok(decided) => decided,
            Err(illegal) => {
                tracing::error!(deployment = %current.row.id, %illegal, "ignored an event");
                return;
            }
        };
        let recorded = Recorded {
            at: Timestamp::now(),
            event,
        };
        commit(&self.platform, current.row.id, current.sequence, &recorded, &next).await;
        if next.phase.kind() != current.state.phase.kind() {
            tracing::info!(deployment = %current.row.id, phase = ?next.phase.kind(), "deployment");
            current.deadline = deadline(&next.phase);
        }
        current.sequence += 1;
        current.state = next;
        self.perform(effects).await;
        self.settle_if_done().await;
    }

    async fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Err(error) = self.perform_one(&effect).await {
                let Some(current) = &self.current else { return };
                let operation = "starting the instances";
                let failure = self
                    .effects(current, Vec::new())
                    .internal(operation, None, &error, 1);
                self.post(current.row.id, Event::ComponentFailed { failure });
            }
        }
    }

    async fn perform_one(&mut self, effect: &Effect) -> Result<(), PlatformError> {
        match effect {
            Effect::ResolveSources => self.carry_out(Effects::resolve_sources).await,
            Effect::Build { component } => {
                let component = component.clone();
                self.carry_out(|effects| effects.build(component)).await
            }
            Effect::Preflight => self.carry_out(Effects::preflight).await,
            Effect::StartInstances { component } => self.start_instances(component).await,
            Effect::SwitchRoutes => self.switch_routes().await,
            // The deployment is settled: `settle_if_done` sees to it.
            Effect::StopNew | Effect::RetirePrevious => Ok(()),
        }
    }

    async fn carry_out<F>(&mut self, work: impl FnOnce(Effects) -> F) -> Result<(), PlatformError>
    where
        F: Future<Output = Event> + Send + 'static,
    {
        let Some(current) = &self.current else {
            return Ok(());
        };
        let changes = self.changes(&current.row).await?;
        let future = work(self.effects(current, changes));
        let id = current.row.id;
        let outbox = self.outbox.clone();
        if let Some(current) = &mut self.current {
            current.tasks.spawn(async move {
                drop(outbox.send((id, Message::Event(future.await))).await);
            });
        }
        Ok(())
    }

    fn effects(&self, current: &Current, changes: Vec<String>) -> Effects {
        Effects {
            platform: Arc::clone(&self.platform),
            deployment: Arc::clone(&current.row),
            over: current.over.subscribe(),
            changes: changes.into(),
        }
    }

    async fn changes(&self, row: &DeploymentRow) -> Result<Vec<String>, PlatformError> {
        match &self.serving {
            Some(serving) => history::changes(&self.platform, &serving.row, row).await,
            None => Ok(Vec::new()),
        }
    }

    async fn start_instances(&mut self, component: &str) -> Result<(), PlatformError> {
        let Some(current) = &self.current else {
            return Ok(());
        };
        let mut prepared = None;
        if current.fleet.is_none() {
            let changes = self.changes(&current.row).await?;
            let mut fleet = Fleet::prepare(&self.platform, &current.row, &changes).await?;
            // After a restart: what was ready before it is taken up as such.
            for ready in &current.state.ready {
                fleet.start(&self.platform, ready, &self.outbox, true).await?;
            }
            prepared = Some(fleet);
        }
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        if prepared.is_some() {
            current.fleet = prepared;
        }
        let Some(fleet) = &mut current.fleet else {
            return Ok(());
        };
        let serving = self
            .serving
            .as_ref()
            .map(|serving| (&*serving.row, &serving.fleet));
        switch::reserve_names(&self.platform, &current.row, serving).await?;
        fleet.start(&self.platform, component, &self.outbox, false).await
    }

    async fn switch_routes(&mut self) -> Result<(), PlatformError> {
        // After a restart the instances are there already; their replicas are not.
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        if current.fleet.is_none() {
            let mut fleet = Fleet::prepare(&self.platform, &current.row, &[]).await?;
            fleet.start_all(&self.platform, &self.outbox, true).await?;
            current.fleet = Some(fleet);
        }
        let Some(fleet) = &current.fleet else {
            return Ok(());
        };
        let (plans, ready) = (fleet.plans().to_vec(), fleet.ready());
        self.carry_out(|effects| effects.switch_routes(plans, ready))
            .await
    }

    fn post(&self, deployment: DeploymentId, event: Event) {
        let outbox = self.outbox.clone();
        tokio::spawn(async move { drop(outbox.send((deployment, Message::Event(event))).await) });
    }

    async fn hear_new_instance(&mut self, report: Report) {
        let Some(current) = &mut self.current else { return };
        let Some(fleet) = &mut current.fleet else { return };
        let deployment = current.row.id;
        let component = report.component.clone();
        fleet.note(&report);
        match report.news {
            News::Ready { .. } => {
                let all_ready = fleet.is_ready(&component) && !current.state.ready.contains(&component);
                let starting = matches!(current.state.phase, Phase::Starting);
                self.resolve(deployment, &component, "wait").await;
                if all_ready && starting {
                    self.advance(Event::ComponentReady { component }).await;
                }
            }
            News::NotReady { reason } => self.show(deployment, &component, "wait", reason).await,
            News::Failed { reason } => {
                self.show(deployment, &component, "wait", Some(reason.clone()))
                    .await;
                let failure = Failure {
                    component: Some(component),
                    reason,
                };
                self.advance(Event::ComponentFailed { failure }).await;
            }
        }
    }

    async fn hear_serving_instance(&mut self, report: Report) {
        let Some(serving) = &mut self.serving else { return };
        let deployment = serving.row.id;
        let component = report.component.clone();
        serving.fleet.note(&report);
        match report.news {
            News::Ready { .. } => self.resolve(deployment, &component, "run").await,
            News::NotReady { reason } => self.show(deployment, &component, "run", reason).await,
            News::Failed { reason } => self.show(deployment, &component, "run", Some(reason)).await,
        }
        self.show_routes().await;
    }

    async fn show(
        &self,
        deployment: DeploymentId,
        component: &str,
        stage: &str,
        reason: Option<Box<Reason>>,
    ) {
        let Some(reason) = reason else { return };
        let row = ReasonRow {
            deployment,
            component: component.to_owned(),
            stage: stage.to_owned(),
            observed_at: reason.observed_at,
            reason: *reason,
            resolved_at: None,
        };
        if let Err(error) = self.platform.store.put_reason(&row).await {
            tracing::error!(%deployment, error = &error as &dyn std::error::Error, "could not store a reason");
        }
    }

    async fn resolve(&self, deployment: DeploymentId, component: &str, stage: &str) {
        let resolved = self
            .platform
            .store
            .resolve_reasons(deployment, component, stage, Timestamp::now())
            .await;
        if let Err(error) = resolved {
            tracing::error!(%deployment, error = &error as &dyn std::error::Error, "could not resolve a reason");
        }
    }

    /// Brings what the router knows in line with what serves.
    async fn show_routes(&self) {
        let Some(serving) = &self.serving else { return };
        if let Err(error) = serving.fleet.show(&self.platform, &serving.row).await {
            tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not update the routes");
        }
    }

    async fn out_of_time(&mut self) {
        let Some(current) = &self.current else { return };
        let phase = current.state.phase.kind();
        let known = current.fleet.as_ref().and_then(Fleet::first_reason);
        let failure = known.map_or_else(
            || {
                let error = PlatformError::missing(format!("the end of phase {phase:?} within its time"));
                self.effects(current, Vec::new()).internal(
                    "waiting for the deployment to go on",
                    None,
                    &error,
                    1,
                )
            },
            |(component, reason)| Failure {
                component: Some(component),
                reason,
            },
        );
        self.advance(Event::ComponentFailed { failure }).await;
    }

    async fn settle_if_done(&mut self) {
        if !self
            .current
            .as_ref()
            .is_some_and(|current| current.state.phase.is_settled())
        {
            return;
        }
        let Some(current) = self.current.take() else {
            return;
        };
        if current.state.phase == Phase::Active {
            self.take_over(current).await;
        } else {
            current.call_off();
            self.retire_the_rest(StopReason::DeploymentEnded).await;
        }
    }

    /// The new deployment serves; the old one is drained in the background.
    async fn take_over(&mut self, current: Current) {
        let Current {
            row,
            fleet,
            over,
            mut tasks,
            ..
        } = current;
        drop(over);
        tasks.detach_all();
        let fleet = fleet.unwrap_or_default();
        let previous = self.serving.replace(Serving {
            row: Arc::clone(&row),
            fleet,
        });
        if let Some(mut previous) = previous {
            previous.fleet.release();
            let event = Event::NewerActive { deployment: row.id };
            if let Err(error) = history::append(&self.platform.store, previous.row.id, &event).await {
                tracing::error!(deployment = %previous.row.id, error = &error as &dyn std::error::Error, "could not note a successor");
            }
        }
        // Reports that came while the switch went on are in by now.
        self.show_routes().await;
        self.retire_the_rest(StopReason::Replaced).await;
    }

    /// Drains and stops every instance that neither serves nor is about to.
    async fn retire_the_rest(&mut self, reason: StopReason) {
        let surplus = match self.surplus().await {
            Ok(surplus) if surplus.is_empty() => return,
            Ok(surplus) => surplus,
            Err(error) => {
                tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not list the instances");
                return;
            }
        };
        let platform = Arc::clone(&self.platform);
        self.chores
            .spawn(async move { retire(&platform, surplus, reason).await });
    }
}

impl Actor {
    /// Instances of deployments that neither serve nor are about to. The store says which one serves, so that a deployment that could not be
    /// taken up yet loses nothing.
    async fn surplus(&self) -> Result<Vec<InstanceRow>, PlatformError> {
        let present = self.platform.store.present_instances(self.app).await?;
        let app = self.platform.store.app(self.app).await?;
        let mut keep: HashSet<DeploymentId> = HashSet::new();
        keep.extend(app.and_then(|app| app.active_deployment));
        keep.extend(self.current.as_ref().map(|current| current.row.id));
        keep.extend(self.waiting.iter().map(|row| row.id));
        Ok(present
            .into_iter()
            .filter(|row| !keep.contains(&row.deployment))
            .collect())
    }
}

impl Current {
    /// Ends builds at once; instances are left to [`retire`].
    fn call_off(mut self) {
        self.over.send_replace(true);
        if let Some(fleet) = &mut self.fleet {
            fleet.release();
        }
        // Builds clean up after themselves when told; they must not be cut off.
        self.tasks.detach_all();
    }
}

/// Nothing may happen that is not on disk: a store that refuses is asked again until it takes the event.
async fn commit(
    platform: &Platform,
    deployment: DeploymentId,
    sequence: u64,
    recorded: &Recorded,
    next: &State,
) {
    loop {
        let settled = next.phase.is_settled();
        let appended = platform
            .store
            .append_event(deployment, sequence, recorded, next.phase.kind(), settled)
            .await;
        match appended {
            Ok(()) => return,
            Err(error) => {
                tracing::error!(%deployment, error = &error as &dyn std::error::Error, "could not store an event; will try again");
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
    }
}

/// Far beyond what any step may take by its own limits: whoever gets here is stuck.
fn deadline(phase: &Phase) -> Instant {
    let minutes = match phase {
        Phase::PendingBuild | Phase::Initializing | Phase::PendingDeploy | Phase::Switching => 10,
        Phase::Building => 12 * 60,
        Phase::Starting => 40,
        _ => 24 * 60,
    };
    Instant::now() + Duration::from_secs(minutes * 60)
}

/// An instance that is ready, by id.
pub(crate) type ReadyInstance = (InstanceId, std::net::Ipv4Addr);
