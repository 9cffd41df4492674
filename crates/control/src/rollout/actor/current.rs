//! The deployment at work: its events are decided, committed, and then acted upon.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use mainstay_deploy::{Effect, Event, Failure, Phase, PhaseKind, Recorded, State, resume, step};
use mainstay_diagnosis::facts::{Changes, StopReason};
use mainstay_spec::{AppSpec, ids::DeploymentId};
use mainstay_store::DeploymentRow;
use tokio::{sync::watch, time::Instant};

use super::{Actor, Message, STORE_PAUSE, jobs, reasons::note_stored};
use crate::{
    capacity::Promise,
    platform::{Platform, PlatformError},
    rollout::{
        builds::BuildRow,
        effects::{Effects, Outcome},
        fleet::Fleet,
        history,
        replica::{News, Report},
        room::rolled_out,
        switch,
    },
};

/// The deployment being worked on.
pub(super) struct Current {
    pub(super) row: Arc<DeploymentRow>,
    pub(super) state: State,
    /// Of the next event.
    pub(super) sequence: u64,
    pub(super) over: watch::Sender<bool>,
    pub(super) fleet: Option<Fleet>,
    pub(super) deadline: Instant,
    /// Given back when nobody works on the deployment any more.
    pub(super) room: Promise,
}

impl Actor {
    pub(super) async fn begin_next(&mut self) {
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
            if state.phase.is_settled() || self.is_outlived(&row, &state).await {
                continue;
            }
            let (over, _) = watch::channel(false);
            let deadline = deadline(&state, &row.spec);
            let effects = resume(&state);
            let room = self.promised(&row, &state);
            self.current = Some(Current {
                row,
                state,
                sequence,
                over,
                fleet: None,
                deadline,
                room,
            });
            if effects.is_empty() {
                self.advance(Event::TurnCame).await;
            } else {
                self.perform(effects).await;
            }
        }
    }

    /// Ends a restart whose turn comes when what it was to restart serves no longer: all instances are new since, and its spec is old. While its
    /// end cannot be stored it waits no longer, but is found again.
    async fn is_outlived(&self, row: &DeploymentRow, state: &State) -> bool {
        let ended = match self.successor_of_restarted(row, state).await {
            Ok(None) => return false,
            Ok(Some(deployment)) => {
                let event = Event::NewerActive { deployment };
                history::append(&self.platform.store, row.id, &event).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::error!(deployment = %row.id, error = &error as &dyn std::error::Error, "could not note a successor");
        }
        true
    }

    /// What serves, unless it is what a restart that has not begun was asked for, or itself a restart of that.
    async fn successor_of_restarted(
        &self,
        row: &DeploymentRow,
        state: &State,
    ) -> Result<Option<DeploymentId>, PlatformError> {
        let store = &self.platform.store;
        if row.restarts.is_none() || state.phase != Phase::PendingBuild {
            return Ok(None);
        }
        let serving = store.app(self.app).await?.and_then(|app| app.active_deployment);
        let Some(serving) = serving.filter(|serving| Some(*serving) != row.cloned_from) else {
            return Ok(None);
        };
        let is_same = store.restarted(serving).await? == store.restarted(row.id).await?;
        Ok((!is_same).then_some(serving))
    }

    /// What an earlier server let in counts, whether it would fit now or not.
    fn promised(&self, row: &DeploymentRow, state: &State) -> Promise {
        let promise = Promise::default();
        let let_in = matches!(
            state.phase.kind(),
            PhaseKind::PreDeploying | PhaseKind::Starting | PhaseKind::Switching | PhaseKind::PostDeploying
        );
        if let_in {
            let capacity = &self.platform.capacity;
            promise.put(capacity.take_up(&capacity.rollout(row.app, row.id, &rolled_out(row))));
        }
        promise
    }

    /// Decides, commits, then acts.
    pub(super) async fn advance(&mut self, outcome: impl Into<Outcome>) {
        let Outcome { event, builds } = outcome.into();
        let Some(current) = &mut self.current else { return };
        let (next, effects) = match step(&current.state, &event) {
            Ok(decided) => decided,
            Err(illegal) => {
                tracing::error!(deployment = %current.row.id, %illegal, "ignored an event");
                keep_late(&self.platform, &builds).await;
                return;
            }
        };
        let recorded = Recorded {
            at: Timestamp::now(),
            event,
        };
        commit(&self.platform, current, &recorded, &next, &builds).await;
        if let Event::ComponentFailed { failure } = &recorded.event {
            note_stored(current.row.id, failure.component.as_deref(), &failure.reason);
        }
        if next.phase.kind() != current.state.phase.kind() {
            tracing::info!(deployment = %current.row.id, phase = ?next.phase.kind(), "deployment");
            current.deadline = deadline(&next, &current.row.spec);
        }
        current.sequence += 1;
        current.state = next;
        self.perform(effects).await;
        self.settle_if_done().await;
    }

    pub(super) async fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Err(error) = self.perform_one(&effect).await {
                let Some(current) = &self.current else { return };
                let (operation, component) = match &effect {
                    Effect::RunJob { component } => ("running the job", Some(component.as_str())),
                    Effect::StartInstances { component } => {
                        ("starting the instances", Some(component.as_str()))
                    }
                    _ => ("going on with the rollout", None),
                };
                let failure = self
                    .effects(current, Changes::default())
                    .internal(operation, component, &error, 1);
                self.post(current.row.id, Event::ComponentFailed { failure });
            }
        }
    }

    pub(super) async fn perform_one(&mut self, effect: &Effect) -> Result<(), PlatformError> {
        match effect {
            Effect::ResolveSources => self.carry_out(Effects::resolve_sources).await,
            Effect::Build { component } => {
                let component = component.clone();
                self.carry_out(|effects| effects.build(component)).await
            }
            Effect::Preflight => self.carry_out(Effects::preflight).await,
            Effect::StartInstances { component } => self.start_instances(component).await,
            Effect::RunJob { component } => self.run_job(component).await,
            Effect::SwitchRoutes => self.switch_routes().await,
            Effect::StopNew => self.stop_new().await,
            // The deployment is settled: `settle_if_done` sees to it.
            Effect::RetirePrevious => Ok(()),
        }
    }

    pub(super) async fn carry_out<F>(&mut self, work: impl FnOnce(Effects) -> F) -> Result<(), PlatformError>
    where
        F: Future<Output = Option<Outcome>> + Send + 'static,
    {
        let Some(current) = &self.current else {
            return Ok(());
        };
        let changes = self.changes(&current.row).await?;
        let future = work(self.effects(current, changes));
        let id = current.row.id;
        let outbox = self.outbox.clone();
        // Builds clean up after themselves when the deployment is over: they outlive it, and the app's actor.
        self.platform.tasks.spawn(async move {
            if let Some(outcome) = future.await {
                drop(outbox.send((id, Message::Outcome(outcome))).await);
            }
        });
        Ok(())
    }

    pub(super) fn effects(&self, current: &Current, changes: Changes) -> Effects {
        Effects {
            platform: Arc::clone(&self.platform),
            deployment: Arc::clone(&current.row),
            over: current.over.subscribe(),
            changes: changes.into(),
            room: current.room.clone(),
        }
    }

    pub(super) async fn changes(&self, row: &DeploymentRow) -> Result<Changes, PlatformError> {
        match &self.serving {
            Some(serving) => history::changes(&self.platform, &serving.row, row).await,
            None => Ok(Changes::default()),
        }
    }

    pub(super) async fn start_instances(&mut self, component: &str) -> Result<(), PlatformError> {
        let Some(current) = &self.current else {
            return Ok(());
        };
        let mut prepared = None;
        if current.fleet.is_none() {
            let row = Arc::clone(&current.row);
            let changes = self.changes(&row).await?;
            let mut fleet = self.prepare_fleet(&row, &changes).await?;
            let Some(current) = &self.current else {
                return Ok(());
            };
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
        if fleet.keeps(component) {
            // It runs already, and how it is has nothing to do with this restart.
            let (deployment, component) = (current.row.id, component.to_owned());
            self.post(deployment, Event::ComponentReady { component });
            return Ok(());
        }
        fleet.start(&self.platform, component, &self.outbox, false).await
    }

    /// What a restart does not renew stays with the fleet that serves, as long as that is the one that it restarts.
    async fn prepare_fleet(
        &mut self,
        row: &DeploymentRow,
        changes: &Changes,
    ) -> Result<Fleet, PlatformError> {
        if row.restarts.is_some() && self.serving.is_none() {
            self.serve_again().await;
        }
        let serving = self.serving.as_ref().map(|serving| serving.row.id);
        if row.restarts.is_some() && serving.is_none() {
            return Err(PlatformError::missing("the deployment that is restarted"));
        }
        let is_same = serving == row.previous;
        Fleet::prepare(&self.platform, row, changes, |component| {
            !is_same || row.renews(component)
        })
        .await
    }

    pub(super) async fn switch_routes(&mut self) -> Result<(), PlatformError> {
        self.take_up_fleet().await?;
        let Some(current) = &self.current else {
            return Ok(());
        };
        let Some(fleet) = &current.fleet else {
            return Ok(());
        };
        let (plans, mut ready) = (fleet.plans().to_vec(), fleet.ready());
        if let Some(serving) = &self.serving {
            ready.extend(serving.fleet.ready_for(fleet));
        }
        self.carry_out(|effects| effects.switch_routes(plans, ready))
            .await
    }

    /// After a restart the instances are there already; their replicas are not.
    pub(super) async fn take_up_fleet(&mut self) -> Result<(), PlatformError> {
        let Some(current) = self.current.as_ref().filter(|current| current.fleet.is_none()) else {
            return Ok(());
        };
        let row = Arc::clone(&current.row);
        let changes = self.changes(&row).await?;
        let mut fleet = self.prepare_fleet(&row, &changes).await?;
        fleet.start_all(&self.platform, &self.outbox, true).await?;
        if let Some(current) = &mut self.current {
            current.fleet = Some(fleet);
        }
        Ok(())
    }

    /// Whatever was new ends; the routes lead where they led before. FAILED_DEPLOY jobs are not part of it.
    async fn stop_new(&mut self) -> Result<(), PlatformError> {
        // First: visitors must not meet what is about to end.
        let taken_back = self.take_routes_back().await;
        if let Some(mut current) = self.current.take() {
            self.call_off(&mut current);
            self.call_off_jobs(current.row.id);
            self.current = Some(current);
        }
        self.retire_the_rest(StopReason::DeploymentEnded).await;
        taken_back
    }

    pub(super) fn post(&self, deployment: DeploymentId, event: Event) {
        let outbox = self.outbox.clone();
        self.platform
            .tasks
            .spawn(async move { drop(outbox.send((deployment, Message::Outcome(event.into()))).await) });
    }

    pub(super) async fn hear_new_instance(&mut self, report: Report) {
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
                self.show_routes_of_new().await;
            }
            News::NotReady { reason } => {
                self.show(deployment, &component, "wait", reason).await;
                self.show_routes_of_new().await;
            }
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

    /// What its replicas know explains more than a way that does not lead to them: an instance that ended is never a failed probe.
    pub(super) fn explained(&self, event: Event) -> Event {
        let Event::ComponentFailed { failure } = event else {
            return event;
        };
        let fleet = self.current.as_ref().and_then(|current| current.fleet.as_ref());
        let known = failure
            .component
            .as_deref()
            .and_then(|component| fleet?.last_reason(component));
        let failure = match known {
            Some(reason) => Failure { reason, ..failure },
            None => failure,
        };
        Event::ComponentFailed { failure }
    }

    pub(super) async fn out_of_time(&mut self) {
        let Some(current) = &self.current else { return };
        let phase = current.state.phase.kind();
        let known = current.fleet.as_ref().and_then(Fleet::first_reason);
        let job = current.state.running_jobs().first().map(|plan| plan.name.clone());
        let failure = known.map_or_else(
            || {
                let error = PlatformError::missing(format!("the end of phase {phase:?} within its time"));
                self.effects(current, Changes::default()).internal(
                    "waiting for the deployment to go on",
                    job.as_deref(),
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

    /// Ends builds at once, and instances as soon as they are drained.
    pub(super) fn call_off(&mut self, current: &mut Current) {
        current.over.send_replace(true);
        if let Some(fleet) = &mut current.fleet {
            self.retire_released(current.row.id, fleet, StopReason::DeploymentEnded);
        }
    }

    pub(super) async fn settle_if_done(&mut self) {
        if !self
            .current
            .as_ref()
            .is_some_and(|current| current.state.phase.is_settled())
        {
            return;
        }
        let Some(mut current) = self.current.take() else {
            return;
        };
        if current.state.phase == Phase::Active {
            self.take_over(current).await;
        } else {
            self.call_off(&mut current);
            // A switch that was cut off may have led visitors to instances that go now.
            self.show_routes().await;
            self.retire_the_rest(StopReason::DeploymentEnded).await;
        }
        self.platform.nudge.nudge();
        self.platform.alerts.nudge();
    }
}

/// Nothing may happen that is not on disk: a store that refuses is asked again until it takes the event.
async fn commit(
    platform: &Platform,
    current: &Current,
    recorded: &Recorded,
    next: &State,
    builds: &[BuildRow],
) {
    let (deployment, phase, settled) = (current.row.id, next.phase.kind(), next.phase.is_settled());
    loop {
        let appended = platform
            .store
            .append_event_with(deployment, current.sequence, recorded, phase, settled, builds)
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

/// Of a deployment that went on, or ended, without them: nobody acts on them, and they still tell what was done.
pub(super) async fn keep_late(platform: &Platform, builds: &[BuildRow]) {
    for row in builds {
        if let Err(error) = platform.store.put_build(row).await {
            tracing::debug!(build = %row.id, error = &error as &dyn std::error::Error, "a late build could not be stored");
        }
    }
}

/// Far beyond what any step may take by its own limits: whoever gets here is stuck.
fn deadline(state: &State, spec: &AppSpec) -> Instant {
    let minutes = match &state.phase {
        phase if phase.job_kind().is_some() => 10 + jobs::minutes_max(state, spec),
        // The first database of a machine waits for its image.
        Phase::PendingDeploy => 20,
        Phase::PendingBuild | Phase::Initializing | Phase::Switching => 10,
        Phase::Building => 12 * 60,
        Phase::Starting => 40,
        _ => 24 * 60,
    };
    Instant::now() + Duration::from_secs(minutes * 60)
}
