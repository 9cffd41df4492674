//! Room on the machine for a build or a rollout: waited for a while, then the deployment ends with the numbers.

use std::time::Duration;

use jiff::Timestamp;
use mainstay_deploy::Failure;
use mainstay_diagnosis::facts::{Changes, Facts, QuotaFacts, Subject};
use mainstay_shim::log::LogSource;
use mainstay_spec::{AppSpec, ComponentRef, kind::ComponentKind};
use mainstay_store::DeploymentRow;
use tokio::time::{Instant, sleep};

use super::{
    effects::{Effects, Obstacle},
    evidence::reason_of,
};
use crate::{
    capacity::{Capacity, Claim, Wish},
    platform::PlatformError,
};

/// What others give back is seen this soon.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The spec without the instances that a restart leaves as they are.
pub(super) fn rolled_out(deployment: &DeploymentRow) -> AppSpec {
    let mut spec = deployment.spec.clone();
    if deployment.restarts.is_some() {
        spec.services.retain(|service| deployment.renews(&service.name));
        spec.workers.retain(|worker| deployment.renews(&worker.name));
        spec.jobs.clear();
    }
    spec
}

impl Effects {
    /// A part of the network for the app, if it needs one. It is held until the rollout asks for all that it starts.
    pub(super) async fn make_room_in_network(&self) -> Result<(), Obstacle> {
        let deployment = &self.deployment;
        let wish = Capacity::network(deployment.app, deployment.id, &deployment.spec);
        let needs_range = wish.needs_range;
        let claim = self.wait_for_room(&wish, None).await?;
        self.room.put(claim);
        if needs_range {
            self.ensure_network().await?;
        }
        Ok(())
    }

    /// The app may be deleted meanwhile, which waits for no source that is being fetched: what was made after its network was taken away would
    /// stay.
    async fn ensure_network(&self) -> Result<(), Obstacle> {
        if self.is_over() {
            return Err(Obstacle::CalledOff);
        }
        let engine = &self.platform.engine;
        let ensured = engine.ensure_network(self.deployment.app).await;
        ensured.map_err(|error| Obstacle::Platform(error.into()))?;
        if !self.is_over() {
            return Ok(());
        }
        while let Err(error) = self.give_network_of_deleted_app_back().await {
            tracing::error!(app = %self.deployment.app, error = &error as &dyn std::error::Error, "could not remove the network of an app that is gone; will try again");
            sleep(LOOK_EVERY).await;
        }
        Err(Obstacle::CalledOff)
    }

    async fn give_network_of_deleted_app_back(&self) -> Result<(), PlatformError> {
        let app = self.deployment.app;
        let row = self.platform.store.app(app).await?;
        if row.is_none_or(|row| row.deleting) {
            self.platform.engine.remove_network(app).await?;
        }
        Ok(())
    }

    /// For all that the rollout starts. It is held until the deployment has settled.
    pub(super) async fn make_room(&self) -> Result<(), Obstacle> {
        let deployment = &self.deployment;
        let wish = self
            .platform
            .capacity
            .rollout(deployment.app, deployment.id, &rolled_out(deployment));
        let claim = self.wait_for_room(&wish, None).await?;
        self.room.put(claim);
        Ok(())
    }

    /// For what a build writes. It is held until the build is over.
    pub(super) async fn make_room_to_build(&self, component: ComponentRef<'_>) -> Result<Claim, Obstacle> {
        let deployment = &self.deployment;
        let wish = self
            .platform
            .capacity
            .build(deployment.app, deployment.id, &deployment.spec);
        self.wait_for_room(&wish, Some(component)).await
    }

    async fn wait_for_room(
        &self,
        wish: &Wish,
        component: Option<ComponentRef<'_>>,
    ) -> Result<Claim, Obstacle> {
        let capacity = &self.platform.capacity;
        let deadline = Instant::now() + capacity.wait();
        let mut over = self.over.clone();
        let mut waits = false;
        loop {
            let refused = match capacity.let_in(&self.platform, wish).await? {
                Ok(claim) => return Ok(claim),
                Err(refused) => refused,
            };
            if Capacity::is_hopeless(&refused) || Instant::now() + LOOK_EVERY > deadline {
                return Err(self.no_room(*refused, component));
            }
            if !waits {
                waits = true;
                self.say_of(component, "waiting for room on this machine");
                // Caches and logs may give way.
                self.platform.nudge.nudge();
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                // A sender that is gone says the same.
                _ = over.wait_for(|over| *over) => return Err(Obstacle::CalledOff),
            }
        }
    }

    fn no_room(&self, refused: QuotaFacts, component: Option<ComponentRef<'_>>) -> Obstacle {
        let facts = Facts {
            // Of the whole app where no component alone is too much.
            component: component.map_or_else(String::new, |component| component.name().to_owned()),
            kind: component.map_or(ComponentKind::Service, ComponentRef::kind),
            observed_at: Timestamp::now(),
            subject: Subject::Quota(refused),
            log_tail: Vec::new(),
            changes: Changes::default(),
        };
        let reason = reason_of(&facts);
        self.say_of(component, &reason.message);
        Obstacle::Failed(Failure {
            component: component.map(|component| component.name().to_owned()),
            reason,
        })
    }

    /// In the deployment's log; what is said of the whole app stands with its first component.
    fn say_of(&self, component: Option<ComponentRef<'_>>, text: &str) {
        let mut components = self.deployment.spec.components();
        let Some(component) = component.or_else(|| components.next()) else {
            return;
        };
        self.platform
            .logs
            .deploy_line(self.deployment.id, component.name(), LogSource::Platform, text);
    }
}
