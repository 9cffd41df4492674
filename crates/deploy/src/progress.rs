//! The progress of a deployment, as leaves with status and times, read off its recorded events (`app-platform.md` c.2).

use jiff::Timestamp;
use mainstay_diagnosis::Reason;
use mainstay_spec::JobKind;

use crate::machine::{ComponentPlan, Event, Failure, Phase, Recorded, State, step};

/// One leaf of the progress tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    pub name: LeafName,
    pub status: LeafStatus,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub reason: Option<Reason>,
}

/// Which leaf; in the order of the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeafName {
    BuildInitialize,
    Build { component: String },
    DeployInitialize,
    Deploy { component: String },
    Wait { component: String },
    Finalize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafStatus {
    Pending,
    Running,
    Success,
    Error,
}

/// All leaves, in order. Events after the first illegal one are ignored: `step` has reported that already.
pub fn leaves(components: &[ComponentPlan], events: &[Recorded]) -> Vec<Leaf> {
    let mut tree = Tree::new(components);
    let mut state = State::new(components.to_vec());
    for recorded in events {
        let Ok((next, _)) = step(&state, &recorded.event) else {
            break;
        };
        tree.apply(&state, &next, recorded);
        state = next;
    }
    tree.leaves
}

struct Tree {
    leaves: Vec<Leaf>,
}

impl Tree {
    fn new(components: &[ComponentPlan]) -> Self {
        let mut names = vec![LeafName::BuildInitialize];
        names.extend(components.iter().map(|plan| LeafName::Build {
            component: plan.name.clone(),
        }));
        names.push(LeafName::DeployInitialize);
        for plan in components {
            names.push(LeafName::Deploy {
                component: plan.name.clone(),
            });
            names.push(LeafName::Wait {
                component: plan.name.clone(),
            });
        }
        names.push(LeafName::Finalize);
        let pending = |name| Leaf {
            name,
            status: LeafStatus::Pending,
            started_at: None,
            ended_at: None,
            reason: None,
        };
        Self {
            leaves: names.into_iter().map(pending).collect(),
        }
    }

    fn apply(&mut self, before: &State, after: &State, recorded: &Recorded) {
        let at = recorded.at;
        match &recorded.event {
            Event::BuildFinished { component, note } => {
                self.end(at, LeafStatus::Success, note.as_deref(), |name| {
                    *name
                        == LeafName::Build {
                            component: component.clone(),
                        }
                });
            }
            Event::ComponentReady { component } | Event::JobSucceeded { component } => {
                self.end(at, LeafStatus::Success, None, |name| of(name, component));
            }
            Event::ComponentFailed { failure } => self.fail(&before.phase, failure, at),
            _ => {}
        }
        if before.phase.kind() != after.phase.kind() {
            self.enter(after, at);
        }
    }

    /// A new phase ends the leaves of the one before and starts its own.
    fn enter(&mut self, state: &State, at: Timestamp) {
        match &state.phase {
            Phase::Initializing => self.begin(at, |name| *name == LeafName::BuildInitialize),
            Phase::Building => {
                self.end(at, LeafStatus::Success, None, |name| {
                    *name == LeafName::BuildInitialize
                });
                self.begin(at, |name| matches!(name, LeafName::Build { .. }));
            }
            Phase::PendingDeploy => self.begin(at, |name| *name == LeafName::DeployInitialize),
            Phase::PreDeploying => {
                self.end(at, LeafStatus::Success, None, |name| {
                    *name == LeafName::DeployInitialize
                });
                self.begin_jobs(state, at);
            }
            Phase::Starting => {
                self.end(at, LeafStatus::Success, None, |name| {
                    *name == LeafName::DeployInitialize
                });
                for plan in &state.components {
                    self.roll_out(plan, at);
                }
            }
            Phase::Switching => {
                let reached = |name: &LeafName| *name != LeafName::Finalize && !is_after_switch(state, name);
                self.end(at, LeafStatus::Success, None, reached);
                self.begin(at, |name| *name == LeafName::Finalize);
            }
            Phase::PostDeploying => self.begin_jobs(state, at),
            Phase::Active => self.end(at, LeafStatus::Success, None, |name| {
                !is_job(state, name, JobKind::FailedDeploy)
            }),
            Phase::Failing { .. } => {
                self.halt(at);
                self.begin_jobs(state, at);
            }
            Phase::Failed { .. } | Phase::Canceled { .. } | Phase::Superseded { .. } => self.halt(at),
            Phase::PendingBuild => {}
        }
    }

    /// What has instances begins; sites and schedules are there at once; other jobs have their own time.
    fn roll_out(&mut self, plan: &ComponentPlan, at: Timestamp) {
        if plan.keeps_running() {
            self.begin(at, |name| of(name, &plan.name));
        } else if plan.job.is_none_or(|kind| kind == JobKind::Scheduled) {
            self.end(at, LeafStatus::Success, None, |name| of(name, &plan.name));
        }
    }

    /// The jobs that run in this phase.
    fn begin_jobs(&mut self, state: &State, at: Timestamp) {
        for plan in state.running_jobs() {
            self.begin(at, |name| of(name, &plan.name));
        }
    }

    fn begin(&mut self, at: Timestamp, which: impl Fn(&LeafName) -> bool) {
        for leaf in self.leaves.iter_mut().filter(|leaf| which(&leaf.name)) {
            if leaf.status == LeafStatus::Pending {
                leaf.status = LeafStatus::Running;
                leaf.started_at = Some(at);
            }
        }
    }

    fn end(
        &mut self,
        at: Timestamp,
        status: LeafStatus,
        reason: Option<&Reason>,
        which: impl Fn(&LeafName) -> bool,
    ) {
        for leaf in self.leaves.iter_mut().filter(|leaf| which(&leaf.name)) {
            if matches!(leaf.status, LeafStatus::Pending | LeafStatus::Running) {
                leaf.status = status;
                leaf.started_at.get_or_insert(at);
                leaf.ended_at = Some(at);
                leaf.reason = reason.cloned();
            }
        }
    }

    fn fail(&mut self, phase: &Phase, failure: &Failure, at: Timestamp) {
        let name = failing_leaf(phase, failure);
        if let LeafName::Wait { component } = &name {
            let deployed = LeafName::Deploy {
                component: component.clone(),
            };
            self.end(at, LeafStatus::Success, None, |leaf| *leaf == deployed);
        }
        self.end(at, LeafStatus::Error, Some(&failure.reason), |leaf| *leaf == name);
        self.take_back(&name, &failure.reason, at);
    }

    /// A component may fail after it was ready: at the switch. The first failure of a leaf stays.
    fn take_back(&mut self, failed: &LeafName, reason: &Reason, at: Timestamp) {
        let succeeded = |leaf: &&mut Leaf| leaf.name == *failed && leaf.status == LeafStatus::Success;
        if let Some(leaf) = self.leaves.iter_mut().find(succeeded) {
            leaf.status = LeafStatus::Error;
            leaf.ended_at = Some(at);
            leaf.reason = Some(reason.clone());
        }
    }

    /// What had begun and was called off goes back to pending: it neither succeeded nor failed.
    fn halt(&mut self, _at: Timestamp) {
        for leaf in self
            .leaves
            .iter_mut()
            .filter(|leaf| leaf.status == LeafStatus::Running)
        {
            leaf.status = LeafStatus::Pending;
        }
    }
}

fn of(name: &LeafName, wanted: &str) -> bool {
    matches!(name, LeafName::Deploy { component } | LeafName::Wait { component } if component == wanted)
}

fn is_job(state: &State, name: &LeafName, kind: JobKind) -> bool {
    let mut jobs = state.components.iter().filter(|plan| plan.is_job(kind));
    jobs.any(|plan| of(name, &plan.name))
}

/// Not reached yet when the routes are being switched.
fn is_after_switch(state: &State, name: &LeafName) -> bool {
    [JobKind::PostDeploy, JobKind::FailedDeploy]
        .into_iter()
        .any(|kind| is_job(state, name, kind))
}

fn failing_leaf(phase: &Phase, failure: &Failure) -> LeafName {
    let component = failure.component.clone();
    match (phase, component) {
        (Phase::PendingBuild | Phase::Initializing | Phase::Building, Some(component)) => {
            LeafName::Build { component }
        }
        (Phase::PendingBuild | Phase::Initializing | Phase::Building, None) => LeafName::BuildInitialize,
        (Phase::PendingDeploy, Some(component)) => LeafName::Deploy { component },
        (Phase::PendingDeploy, None) => LeafName::DeployInitialize,
        (_, Some(component)) => LeafName::Wait { component },
        (_, None) => LeafName::Finalize,
    }
}
