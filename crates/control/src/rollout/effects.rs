//! Carrying effects out: each is a task that ends in one event, or in none when the deployment was over before.

use std::{sync::Arc, time::Duration};

use mainstay_deploy::{Event, Failure};
use mainstay_diagnosis::{Reason, facts::Changes};
use mainstay_shim::log::LogSource;
use mainstay_spec::kind::ComponentKind;
use mainstay_store::DeploymentRow;
use tokio::sync::watch;

use super::{
    builds::{self, BuildRow},
    evidence,
    instance_plan::InstancePlan,
    switch,
};
use crate::{
    capacity::Promise,
    databases,
    platform::{Platform, PlatformError},
    secrets::OpenedSpec,
};

/// A fault of the platform is tried this often before the deployment ends with it.
const ATTEMPTS: u32 = 3;
const PAUSE_FIRST: Duration = Duration::from_millis(500);

/// One deployment's effects.
#[derive(Debug, Clone)]
pub(crate) struct Effects {
    pub platform: Arc<Platform>,
    pub deployment: Arc<DeploymentRow>,
    /// Turns true when the deployment is over, whatever way.
    pub over: watch::Receiver<bool>,
    /// What differs from the last good deployment, in sentences.
    pub changes: Arc<Changes>,
    /// What its rollout was promised of the machine.
    pub room: Promise,
}

/// What became of an effect.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub event: Event,
    /// Stored with the event: whoever acts on it finds them.
    pub builds: Vec<BuildRow>,
}

impl From<Event> for Outcome {
    fn from(event: Event) -> Self {
        Self {
            event,
            builds: Vec::new(),
        }
    }
}

/// Why an effect did not do what was asked.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// A failure of the deployment's: final.
    Failed(Failure),
    /// A fault of ours: tried again.
    Platform(PlatformError),
    /// The deployment was over before: nobody waits for the outcome.
    CalledOff,
}

impl From<PlatformError> for Obstacle {
    fn from(error: PlatformError) -> Self {
        Self::Platform(error)
    }
}

impl From<mainstay_store::StoreError> for Obstacle {
    fn from(error: mainstay_store::StoreError) -> Self {
        Self::Platform(error.into())
    }
}

impl Obstacle {
    pub(crate) fn failed(component: &str, reason: Box<Reason>) -> Self {
        Self::Failed(Failure {
            component: Some(component.to_owned()),
            reason,
        })
    }
}

impl Effects {
    pub(crate) async fn resolve_sources(self) -> Option<Outcome> {
        self.carry_out("finding the sources", None, || builds::resolve_sources(&self))
            .await
    }

    pub(crate) async fn build(self, component: String) -> Option<Outcome> {
        self.carry_out("building", Some(&component), || builds::build(&self, &component))
            .await
    }

    pub(crate) async fn preflight(self) -> Option<Outcome> {
        self.carry_out("checking the commands", None, || self.check_commands())
            .await
    }

    pub(crate) async fn switch_routes(
        self,
        plans: Vec<Arc<InstancePlan>>,
        ready: switch::ReadyInstances,
    ) -> Option<Outcome> {
        self.carry_out("switching the routes", None, || {
            switch::switch(&self, &plans, &ready)
        })
        .await
    }

    /// Runs the work until it did what was asked or failed for good.
    async fn carry_out<F>(
        &self,
        operation: &str,
        component: Option<&str>,
        work: impl Fn() -> F,
    ) -> Option<Outcome>
    where
        F: Future<Output = Result<Outcome, Obstacle>>,
    {
        let mut attempt = 1;
        let mut pause = PAUSE_FIRST;
        loop {
            let error = match work().await {
                Ok(outcome) => return Some(outcome),
                Err(Obstacle::Failed(failure)) => return Some(Event::ComponentFailed { failure }.into()),
                Err(Obstacle::CalledOff) => return None,
                Err(Obstacle::Platform(_)) if self.is_over() => return None,
                Err(Obstacle::Platform(error)) => error,
            };
            if attempt >= ATTEMPTS {
                let failure = self.internal(operation, component, &error, attempt);
                return Some(Event::ComponentFailed { failure }.into());
            }
            tracing::warn!(deployment = %self.deployment.id, operation, attempt, error = &error as &dyn std::error::Error, "will try again");
            attempt += 1;
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    pub(crate) fn internal(
        &self,
        operation: &str,
        component: Option<&str>,
        error: &dyn std::error::Error,
        attempts: u32,
    ) -> Failure {
        let kind = component
            .and_then(|name| Some(self.deployment.spec.component(name)?.kind()))
            .unwrap_or(ComponentKind::Service);
        let named = component.unwrap_or(&self.deployment.spec.name);
        let reason = evidence::internal(named, kind, operation, error, attempts);
        Failure {
            component: component.map(str::to_owned),
            reason,
        }
    }

    /// The failure of a component of which no instance ever starts: the deployment's log would be empty, so it is said there.
    pub(super) fn refused(&self, component: &str, reason: Box<Reason>) -> Obstacle {
        let logs = &self.platform.logs;
        logs.deploy_line(
            self.deployment.id,
            component,
            LogSource::Platform,
            &reason.message,
        );
        Obstacle::failed(component, reason)
    }

    /// The spec with its secrets in plain text.
    pub(super) fn opened_spec(&self) -> Result<OpenedSpec, PlatformError> {
        self.platform
            .secrets
            .opened(self.deployment.app, &self.deployment.spec)
    }

    /// Nothing of the rollout begins before the databases can be used.
    async fn wait_for_databases(&self) -> Result<(), Obstacle> {
        let mut over = self.over.clone();
        let ready = tokio::select! {
            ready = databases::wait(&self.platform, &self.deployment, &self.changes) => ready?,
            // A sender that is gone says the same.
            _ = over.wait_for(|over| *over) => return Err(Obstacle::CalledOff),
        };
        ready.map_err(|missing| self.refused(&missing.component, missing.reason))
    }

    /// As the component will, with its own credentials.
    async fn ask_databases(&self, plan: &InstancePlan) -> Result<(), Obstacle> {
        let asked =
            databases::before_rollout(&self.platform, &self.deployment.spec, plan.asker(), &self.changes);
        let Some(reason) = asked.await? else { return Ok(()) };
        Err(self.refused(&plan.component, reason))
    }

    /// Refuses a doomed deployment before anything changes.
    async fn check_commands(&self) -> Result<Outcome, Obstacle> {
        // Its own goes with whatever else is set aside.
        self.make_room_in_network().await?;
        self.make_room().await?;
        self.wait_for_databases().await?;
        for plan in builds::instance_plans(&self.platform, &self.deployment, &self.changes).await? {
            match self.platform.engine.preflight(&plan.template).await {
                Ok(()) => self.ask_databases(&plan).await?,
                Err(mainstay_engine::PreflightError::Refused(fault)) => {
                    let history = evidence::History::default();
                    let evidence = evidence::Evidence {
                        platform: &self.platform,
                        plan: &plan,
                        history: &history,
                    };
                    let reason = evidence.refused(*fault);
                    return Err(self.refused(&plan.component, reason));
                }
                Err(mainstay_engine::PreflightError::Engine(error)) => {
                    return Err(Obstacle::Platform(error.into()));
                }
            }
        }
        Ok(Event::PreflightPassed.into())
    }
}
