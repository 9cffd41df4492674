//! Phases, events, effects, and the one function that decides every transition.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mainstay_diagnosis::Reason;
use mainstay_spec::{JobKind, ids::DeploymentId, kind::ComponentKind};
use serde::{Deserialize, Serialize};

/// One deployment, as far as its events tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub components: Vec<ComponentPlan>,
    pub phase: Phase,
    /// Components whose build is done (built, reused, or nothing to build).
    pub built: BTreeSet<String>,
    /// Components whose instances are ready.
    pub ready: BTreeSet<String>,
    /// Jobs that ended, well or not.
    #[serde(default)]
    pub ended: BTreeSet<String>,
}

/// What a component needs on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentPlan {
    pub name: String,
    pub kind: ComponentKind,
    /// When it runs, if it is a job.
    #[serde(default)]
    pub job: Option<JobKind>,
}

impl ComponentPlan {
    /// Its instances run for as long as the deployment serves. Jobs come to an end; static sites are served by the router.
    pub fn keeps_running(&self) -> bool {
        self.kind.keeps_running()
    }

    pub fn is_job(&self, kind: JobKind) -> bool {
        self.job == Some(kind)
    }
}

/// Where a deployment stands. The wire names are those of the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Accepted; waits for its turn.
    PendingBuild,
    /// Its turn: sources are being resolved.
    Initializing,
    Building,
    /// All built: commands are being checked before anything changes.
    PendingDeploy,
    /// PRE_DEPLOY jobs run; nothing of the rollout has begun.
    PreDeploying,
    /// New instances are starting beside the old ones.
    Starting,
    /// All ready: probed through the router, then routes are switched.
    Switching,
    /// It has the routes; POST_DEPLOY jobs run. The old instances are there still.
    PostDeploying,
    Active,
    /// A newer one became active, or overtook it while it waited.
    Superseded {
        by: DeploymentId,
    },
    /// It failed, and its FAILED_DEPLOY jobs run.
    Failing {
        failures: Vec<Failure>,
    },
    Failed {
        failures: Vec<Failure>,
    },
    Canceled {
        by: String,
    },
}

/// One failed leaf. The first of a list is the first cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// `None`: the step is of the deployment as a whole.
    pub component: Option<String>,
    pub reason: Box<Reason>,
}

/// What happened. Times travel beside events; they decide nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    TurnCame,
    SourcesResolved,
    /// `note` is a reason that is no failure: a reused build, a pre-built image.
    BuildFinished {
        component: String,
        note: Option<Box<Reason>>,
    },
    /// A failure of the component's own: resolve, build, pre-flight, start or health.
    ComponentFailed {
        failure: Failure,
    },
    PreflightPassed,
    ComponentReady {
        component: String,
    },
    /// All copies of a job ended well.
    JobSucceeded {
        component: String,
    },
    /// A FAILED_DEPLOY job was called off by a person.
    JobCanceled {
        component: String,
    },
    RoutesSwitched,
    CancelRequested {
        by: String,
    },
    /// A newer deployment of the app was accepted.
    NewerAccepted {
        deployment: DeploymentId,
    },
    /// A newer deployment of the app serves; told to a restart that waits, one of another spec or other images than it was to restart.
    NewerActive {
        deployment: DeploymentId,
    },
}

/// What has to be done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    ResolveSources,
    Build {
        component: String,
    },
    Preflight,
    StartInstances {
        component: String,
    },
    /// Runs a job, exactly once: what ran before a restart is taken up, never begun anew.
    RunJob {
        component: String,
    },
    SwitchRoutes,
    /// Ends builds and instances of this deployment; the previous one goes on serving.
    StopNew,
    /// Drains and stops what the previous deployment ran.
    RetirePrevious,
}

/// The phase without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseKind {
    PendingBuild,
    Initializing,
    Building,
    PendingDeploy,
    PreDeploying,
    Starting,
    Switching,
    PostDeploying,
    Active,
    Superseded,
    Failing,
    Failed,
    Canceled,
}

/// The event without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    TurnCame,
    SourcesResolved,
    BuildFinished,
    ComponentFailed,
    PreflightPassed,
    ComponentReady,
    JobSucceeded,
    JobCanceled,
    RoutesSwitched,
    CancelRequested,
    NewerAccepted,
    NewerActive,
}

/// The pair cannot happen: a bug of the caller, or a damaged event log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event {event:?} is illegal in phase {phase:?}")]
pub struct IllegalEvent {
    pub phase: PhaseKind,
    pub event: EventKind,
}

// === impl State ===

impl State {
    pub fn new(components: Vec<ComponentPlan>) -> Self {
        Self {
            components,
            phase: Phase::PendingBuild,
            built: BTreeSet::new(),
            ready: BTreeSet::new(),
            ended: BTreeSet::new(),
        }
    }

    fn to(&self, phase: Phase) -> Self {
        Self {
            phase,
            ..self.clone()
        }
    }

    fn with_built(&self, component: &str) -> Self {
        let mut next = self.clone();
        next.built.insert(component.to_owned());
        if next.components.iter().all(|plan| next.built.contains(&plan.name)) {
            next.phase = Phase::PendingDeploy;
        }
        next
    }

    fn with_ready(&self, component: &str) -> Self {
        let mut next = self.clone();
        next.ready.insert(component.to_owned());
        if next.waiting_for_ready().next().is_none() {
            next.phase = Phase::Switching;
        }
        next
    }

    fn waiting_for_ready(&self) -> impl Iterator<Item = &ComponentPlan> {
        self.components
            .iter()
            .filter(|plan| plan.keeps_running() && !self.ready.contains(&plan.name))
    }

    /// Jobs of this kind that have not ended.
    fn waiting_for(&self, kind: JobKind) -> impl Iterator<Item = &ComponentPlan> {
        self.components
            .iter()
            .filter(move |plan| plan.is_job(kind) && !self.ended.contains(&plan.name))
    }

    /// The jobs that run in this phase and have not ended.
    pub fn running_jobs(&self) -> Vec<&ComponentPlan> {
        match self.phase.job_kind() {
            Some(kind) => self.waiting_for(kind).collect(),
            None => Vec::new(),
        }
    }

    /// After the pre-flight: PRE_DEPLOY jobs come before anything starts.
    fn preflighted(&self) -> Self {
        self.to(Phase::PreDeploying).when_jobs_ended(Self::started)
    }

    /// An app of static sites alone has nothing to start.
    fn started(&self) -> Self {
        let phase = if self.waiting_for_ready().next().is_none() {
            Phase::Switching
        } else {
            Phase::Starting
        };
        self.to(phase)
    }

    fn switched(&self) -> Self {
        self.to(Phase::PostDeploying)
            .when_jobs_ended(|state| state.to(Phase::Active))
    }

    /// A job of this phase ended; other jobs' ends came too late to matter.
    fn with_ended(&self, component: &str) -> Self {
        let mut next = self.clone();
        if self.running_jobs().iter().any(|plan| plan.name == component) {
            next.ended.insert(component.to_owned());
        }
        match &self.phase {
            Phase::PreDeploying => next.when_jobs_ended(Self::started),
            Phase::PostDeploying => next.when_jobs_ended(|state| state.to(Phase::Active)),
            Phase::Failing { failures } => next.when_jobs_ended(|state| {
                state.to(Phase::Failed {
                    failures: failures.clone(),
                })
            }),
            _ => next,
        }
    }

    fn when_jobs_ended(self, follows: impl FnOnce(&Self) -> Self) -> Self {
        if self.running_jobs().is_empty() {
            follows(&self)
        } else {
            self
        }
    }

    /// The first failure. FAILED_DEPLOY jobs run when the rollout failed; a deployment that could not be built changed nothing.
    fn with_failure(&self, failure: &Failure) -> Self {
        let failures = vec![failure.clone()];
        if self.phase.can_be_overtaken() {
            return self.to(Phase::Failed { failures });
        }
        let failed = Phase::Failed {
            failures: failures.clone(),
        };
        self.to(Phase::Failing { failures })
            .when_jobs_ended(|state| state.to(failed))
    }

    /// Failures that arrive while others are already known are kept behind the first.
    fn with_later_failure(&self, known: &[Failure], failure: &Failure) -> Self {
        let failures = known.iter().chain([failure]).cloned().collect();
        match (&self.phase, &failure.component) {
            (Phase::Failing { .. }, Some(component)) => {
                self.to(Phase::Failing { failures }).with_ended(component)
            }
            (Phase::Failing { .. }, None) => self.to(Phase::Failing { failures }),
            _ => self.to(Phase::Failed { failures }),
        }
    }
}

// === impl Phase ===

impl Phase {
    pub fn kind(&self) -> PhaseKind {
        match self {
            Self::PendingBuild => PhaseKind::PendingBuild,
            Self::Initializing => PhaseKind::Initializing,
            Self::Building => PhaseKind::Building,
            Self::PendingDeploy => PhaseKind::PendingDeploy,
            Self::PreDeploying => PhaseKind::PreDeploying,
            Self::Starting => PhaseKind::Starting,
            Self::Switching => PhaseKind::Switching,
            Self::PostDeploying => PhaseKind::PostDeploying,
            Self::Active => PhaseKind::Active,
            Self::Superseded { .. } => PhaseKind::Superseded,
            Self::Failing { .. } => PhaseKind::Failing,
            Self::Failed { .. } => PhaseKind::Failed,
            Self::Canceled { .. } => PhaseKind::Canceled,
        }
    }

    /// Nothing more will happen to it, but that a newer one replaces an active one.
    pub fn is_settled(&self) -> bool {
        matches!(
            self,
            Self::Active | Self::Superseded { .. } | Self::Failed { .. } | Self::Canceled { .. }
        )
    }

    /// Before it serves or failed, a deployment can be called off.
    pub fn can_cancel(&self) -> bool {
        !self.is_settled() && !matches!(self, Self::Failing { .. })
    }

    /// The kind of jobs that run in this phase.
    pub fn job_kind(&self) -> Option<JobKind> {
        match self {
            Self::PreDeploying => Some(JobKind::PreDeploy),
            Self::PostDeploying => Some(JobKind::PostDeploy),
            Self::Failing { .. } => Some(JobKind::FailedDeploy),
            _ => None,
        }
    }

    /// A newer deployment overtakes one that has not begun to change what runs.
    pub fn can_be_overtaken(&self) -> bool {
        matches!(self, Self::PendingBuild | Self::Initializing | Self::Building)
    }
}

impl PhaseKind {
    /// The API's name.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::PendingBuild | Self::Initializing => "PENDING_BUILD",
            Self::Building => "BUILDING",
            Self::PendingDeploy => "PENDING_DEPLOY",
            Self::PreDeploying | Self::Starting | Self::Switching | Self::PostDeploying => "DEPLOYING",
            Self::Active => "ACTIVE",
            Self::Superseded => "SUPERSEDED",
            Self::Failing | Self::Failed => "ERROR",
            Self::Canceled => "CANCELED",
        }
    }
}

// === impl Event ===

impl Event {
    pub fn kind(&self) -> EventKind {
        match self {
            Self::TurnCame => EventKind::TurnCame,
            Self::SourcesResolved => EventKind::SourcesResolved,
            Self::BuildFinished { .. } => EventKind::BuildFinished,
            Self::ComponentFailed { .. } => EventKind::ComponentFailed,
            Self::PreflightPassed => EventKind::PreflightPassed,
            Self::ComponentReady { .. } => EventKind::ComponentReady,
            Self::JobSucceeded { .. } => EventKind::JobSucceeded,
            Self::JobCanceled { .. } => EventKind::JobCanceled,
            Self::RoutesSwitched => EventKind::RoutesSwitched,
            Self::CancelRequested { .. } => EventKind::CancelRequested,
            Self::NewerAccepted { .. } => EventKind::NewerAccepted,
            Self::NewerActive { .. } => EventKind::NewerActive,
        }
    }
}

/// Decides the next state and what has to be done because of it.
///
/// # Errors
/// [`IllegalEvent`] names phase and event when the pair cannot happen.
pub fn step(state: &State, event: &Event) -> Result<(State, Vec<Effect>), IllegalEvent> {
    use {Event as E, Phase as P};
    let next = match (&state.phase, event) {
        (P::PendingBuild, E::TurnCame) => state.to(P::Initializing),
        (P::Initializing, E::SourcesResolved) => state.to(P::Building),
        (P::Building, E::BuildFinished { component, .. }) => state.with_built(component),
        (P::PendingDeploy, E::PreflightPassed) => state.preflighted(),
        (P::Starting, E::ComponentReady { component }) => state.with_ready(component),
        (P::Switching, E::RoutesSwitched) => state.switched(),
        (P::PreDeploying | P::PostDeploying | P::Failing { .. }, E::JobSucceeded { component }) => {
            state.with_ended(component)
        }
        (P::Failing { .. }, E::JobCanceled { component }) => state.with_ended(component),
        (P::PendingBuild | P::Active, E::NewerActive { deployment }) => {
            state.to(P::Superseded { by: *deployment })
        }

        (phase, E::ComponentFailed { failure }) if phase.can_cancel() => state.with_failure(failure),
        (P::Failing { failures } | P::Failed { failures }, E::ComponentFailed { failure }) => {
            state.with_later_failure(failures, failure)
        }
        (phase, E::CancelRequested { by }) if phase.can_cancel() => state.to(P::Canceled { by: by.clone() }),
        (phase, E::NewerAccepted { deployment }) if phase.can_be_overtaken() => {
            state.to(P::Superseded { by: *deployment })
        }
        (_, E::NewerAccepted { .. }) => state.clone(),

        // A report that was under way when the deployment ended: too late, and harmless.
        (P::Failing { .. } | P::Failed { .. } | P::Canceled { .. } | P::Superseded { .. }, late)
            if late.is_report() =>
        {
            state.clone()
        }
        _ => {
            return Err(IllegalEvent {
                phase: state.phase.kind(),
                event: event.kind(),
            });
        }
    };
    let effects = if next.phase.kind() == state.phase.kind() {
        Vec::new()
    } else {
        resume(&next)
    };
    Ok((next, effects))
}

impl Event {
    /// Reports of effects, as opposed to wishes and turns.
    fn is_report(&self) -> bool {
        matches!(
            self,
            Self::SourcesResolved
                | Self::BuildFinished { .. }
                | Self::PreflightPassed
                | Self::ComponentReady { .. }
                | Self::JobSucceeded { .. }
                | Self::JobCanceled { .. }
                | Self::RoutesSwitched
                | Self::ComponentFailed { .. }
        )
    }
}

/// What must be under way in this state: asked for on entering it, and again after a restart.
pub fn resume(state: &State) -> Vec<Effect> {
    match &state.phase {
        Phase::PendingBuild => vec![],
        Phase::Initializing => vec![Effect::ResolveSources],
        Phase::Building => state
            .components
            .iter()
            .filter(|plan| !state.built.contains(&plan.name))
            .map(|plan| Effect::Build {
                component: plan.name.clone(),
            })
            .collect(),
        Phase::PendingDeploy => vec![Effect::Preflight],
        Phase::Starting => state
            .waiting_for_ready()
            .map(|plan| Effect::StartInstances {
                component: plan.name.clone(),
            })
            .collect(),
        Phase::Switching => vec![Effect::SwitchRoutes],
        Phase::PreDeploying | Phase::PostDeploying => run_jobs(state).collect(),
        Phase::Failing { .. } => std::iter::once(Effect::StopNew).chain(run_jobs(state)).collect(),
        Phase::Active => vec![Effect::RetirePrevious],
        Phase::Failed { .. } | Phase::Canceled { .. } | Phase::Superseded { .. } => vec![Effect::StopNew],
    }
}

fn run_jobs(state: &State) -> impl Iterator<Item = Effect> {
    state.running_jobs().into_iter().map(|plan| Effect::RunJob {
        component: plan.name.clone(),
    })
}

/// When something happened, beside what happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    pub at: Timestamp,
    pub event: Event,
}
