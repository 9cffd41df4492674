//! The deployment that answers requests, and the end of those that no longer do.

use std::{collections::HashSet, sync::Arc};

use mainstay_deploy::{Event, Phase, PhaseKind};
use mainstay_diagnosis::facts::{Changes, StopReason};
use mainstay_spec::ids::{DeploymentId, InvocationId};
use mainstay_store::{DeploymentRow, InstanceRow};

use super::{Actor, current::Current, reasons::RUN};
use crate::{
    platform::PlatformError,
    rollout::{
        fleet::Fleet,
        history,
        replica::{News, Report},
        retire::{retire, retire_released},
    },
};

/// The deployment that answers requests.
pub(super) struct Serving {
    pub(super) row: Arc<DeploymentRow>,
    pub(super) fleet: Fleet,
}

impl Actor {
    /// Takes up the active deployment. Where that fails its instances go on as they are, and it is tried again.
    pub(super) async fn serve_again(&mut self) {
        if let Err(error) = self.take_up().await {
            tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not take up an app");
        }
        self.show_routes().await;
    }

    pub(super) async fn take_up(&mut self) -> Result<(), PlatformError> {
        let Some(app) = self.platform.store.app(self.app).await? else {
            return Ok(());
        };
        let Some(active) = app.active_deployment else {
            return Ok(());
        };
        history::close_superseded(&self.platform.store, self.app, active).await?;
        let row = self.platform.store.deployment(active).await?;
        let row = Arc::new(row.ok_or_else(|| PlatformError::missing(format!("deployment {active}")))?);
        let changes = self.changes_since_previous(&row).await?;
        let mut fleet = Fleet::prepare(&self.platform, &row, &changes, |_| true).await?;
        if !fleet.plans().is_empty() {
            self.platform.engine.ensure_network(self.app).await?;
        }
        fleet.start_all(&self.platform, &self.outbox, true).await?;
        self.serving = Some(Serving { row, fleet });
        Ok(())
    }

    /// Against the deployment that it replaced, as long as that one is known.
    async fn changes_since_previous(&self, row: &DeploymentRow) -> Result<Changes, PlatformError> {
        let Some(previous) = row.previous else {
            return Ok(Changes::default());
        };
        match self.platform.store.deployment(previous).await? {
            Some(previous) => history::changes(&self.platform, &previous, row).await,
            None => Ok(Changes::default()),
        }
    }

    /// A deployment that was replaced when its end could not be noted.
    pub(super) async fn close_superseded(&self, active: DeploymentId) {
        if let Err(error) = history::close_superseded(&self.platform.store, self.app, active).await {
            tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not note a successor");
        }
    }

    pub(super) async fn hear_serving_instance(&mut self, report: Report) {
        let Some(serving) = &mut self.serving else { return };
        let deployment = serving.row.id;
        let component = report.component.clone();
        serving.fleet.note(&report);
        let troubled = serving.fleet.is_troubled(&component);
        match report.news {
            // Another instance of the component may still be in trouble.
            News::Ready { .. } if troubled => {}
            News::Ready { .. } => self.resolve(deployment, &component, RUN).await,
            News::NotReady { reason } => self.show_trouble(deployment, &component, reason).await,
            News::Failed { reason } => self.show_trouble(deployment, &component, Some(reason)).await,
        }
        self.show_routes().await;
    }

    /// Brings what the router knows in line with what serves. A deployment whose POST_DEPLOY jobs run has the routes already.
    pub(super) async fn show_routes(&self) {
        let next = self.waiting.front().filter(|_| self.current.is_none());
        if self.new_has_routes() || next.is_some_and(|row| row.phase == PhaseKind::PostDeploying) {
            return;
        }
        let Some(serving) = &self.serving else { return };
        self.show_fleet(&serving.fleet, &serving.row).await;
    }

    /// The same for the new deployment, once it has the routes.
    pub(super) async fn show_routes_of_new(&self) {
        let Some(current) = self.current.as_ref().filter(|_| self.new_has_routes()) else {
            return;
        };
        if let Some(fleet) = &current.fleet {
            self.show_fleet(fleet, &current.row).await;
        }
    }

    fn new_has_routes(&self) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| current.state.phase == Phase::PostDeploying)
    }

    /// After a failure: the routes lead to what serves, or nowhere if nothing ever did.
    pub(super) async fn take_routes_back(&self) -> Result<(), PlatformError> {
        if self.serving.is_some() {
            self.show_routes().await;
            return Ok(());
        }
        let app = self.platform.store.app(self.app).await?;
        if app.is_some_and(|app| app.active_deployment.is_none()) {
            self.platform.routes.set_app(self.app, Vec::new()).await?;
        }
        Ok(())
    }

    async fn show_fleet(&self, fleet: &Fleet, row: &DeploymentRow) {
        if let Err(error) = fleet.show(&self.platform, row).await {
            tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not update the routes");
        }
    }

    /// The new deployment serves; the old one is drained in the background.
    pub(super) async fn take_over(&mut self, current: Current) {
        let Current { row, fleet, over, .. } = current;
        drop(over);
        // What is due by now is due by the schedules that were in effect until now.
        self.keep_schedules().await;
        let fleet = fleet.unwrap_or_default();
        let previous = self.serving.replace(Serving {
            row: Arc::clone(&row),
            fleet,
        });
        if let Some(mut previous) = previous {
            if self
                .serving
                .as_ref()
                .is_some_and(|serving| serving.fleet.is_incomplete())
            {
                self.take_in_kept(&mut previous.fleet).await;
            } else {
                self.retire_released(previous.row.id, &mut previous.fleet, StopReason::Replaced);
            }
            let event = Event::NewerActive { deployment: row.id };
            if let Err(error) = history::append(&self.platform.store, previous.row.id, &event).await {
                tracing::error!(deployment = %previous.row.id, error = &error as &dyn std::error::Error, "could not note a successor");
            }
        }
        // Reports that came while the switch went on are in by now.
        self.show_routes().await;
        self.retire_the_rest(StopReason::Replaced).await;
    }

    /// What a restart left as it was goes over from the fleet before; the store has it so already.
    async fn take_in_kept(&mut self, previous: &mut Fleet) {
        if let Some(stragglers) = previous.release() {
            // The engine bounds how long a start may take; most of the time none is under way.
            stragglers.over().await;
        }
        let Some(serving) = &mut self.serving else { return };
        let taken_in = serving.fleet.take_in(&self.platform, &self.outbox).await;
        let Err(error) = taken_in else { return };
        tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not take kept instances in; will try again");
        // They go on as they are, and are taken up with all others.
        if let Some(stragglers) = self
            .serving
            .take()
            .and_then(|mut serving| serving.fleet.release())
        {
            stragglers.over().await;
        }
    }

    /// Drains and stops every instance that neither serves nor is about to.
    pub(super) async fn retire_the_rest(&mut self, reason: StopReason) {
        let surplus = match self.surplus().await {
            Ok(surplus) if surplus.is_empty() => return,
            Ok(surplus) => surplus,
            Err(error) => {
                tracing::error!(app = %self.app, error = &error as &dyn std::error::Error, "could not list the instances");
                return;
            }
        };
        let platform = Arc::clone(&self.platform);
        self.chores.spawn(async move {
            retire(&platform, surplus, reason).await;
            None
        });
    }

    /// Releases the fleet, then drains and stops all of its deployment.
    pub(super) fn retire_released(
        &mut self,
        deployment: DeploymentId,
        fleet: &mut Fleet,
        reason: StopReason,
    ) {
        let Some(stragglers) = fleet.release() else { return };
        self.leaving.insert(deployment);
        let platform = Arc::clone(&self.platform);
        self.chores.spawn(async move {
            retire_released(&platform, deployment, stragglers, reason).await;
            Some(deployment)
        });
    }

    /// Instances of deployments that neither serve nor are about to, and what is left of those that ended. The store says which deployment
    /// serves, so that one that could not be taken up yet loses nothing.
    pub(super) async fn surplus(&self) -> Result<Vec<InstanceRow>, PlatformError> {
        let present = self.platform.store.present_instances(self.app).await?;
        let app = self.platform.store.app(self.app).await?;
        let mut keep: HashSet<DeploymentId> = HashSet::new();
        keep.extend(app.and_then(|app| app.active_deployment));
        let current = self
            .current
            .as_ref()
            .filter(|current| !matches!(current.state.phase, Phase::Failing { .. }));
        keep.extend(current.map(|current| current.row.id));
        keep.extend(self.waiting.iter().map(|row| row.id));
        let open = self.platform.store.open_invocations(self.app).await?;
        let open: HashSet<InvocationId> = open.iter().map(|row| row.id).collect();
        let is_of_nobody =
            |row: &InstanceRow| !keep.contains(&row.deployment) && !self.leaving.contains(&row.deployment);
        let is_surplus = |row: &InstanceRow| match row.invocation {
            // Whoever runs it ends it, too.
            Some(invocation) => !open.contains(&invocation),
            None => row.exit.is_some() || is_of_nobody(row),
        };
        Ok(present.into_iter().filter(is_surplus).collect())
    }
}
