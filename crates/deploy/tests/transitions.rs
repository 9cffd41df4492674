//! The whole table of phases and events, as a golden file: a reviewer reads its diff, not the code.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends where its world cannot be built, and says why it is skipped"
)]

use jiff::Timestamp;
use mainstay_deploy::{
    ComponentPlan, Event, Failure, LeafName,
    LeafStatus::{self, Error, Pending, Success},
    Phase, Recorded, State, leaves, step,
};
use mainstay_diagnosis::{
    Reason, diagnose,
    facts::{Changes, Facts, InternalFacts, Subject},
};
use mainstay_spec::{JobKind, ids::DeploymentId, kind::ComponentKind};

fn reason() -> Box<Reason> {
    let subject = Subject::Internal(InternalFacts {
        incident_id: "1".into(),
        operation: "testing".into(),
        error_chain: vec![],
        attempts: 1,
    });
    let facts = Facts {
        component: "web".into(),
        kind: ComponentKind::Service,
        observed_at: Timestamp::UNIX_EPOCH,
        subject,
        log_tail: vec![],
        changes: Changes::default(),
    };
    diagnose(&facts).into_reason().unwrap()
}

fn failure() -> Failure {
    Failure {
        component: Some("web".into()),
        reason: reason(),
    }
}

fn newer() -> DeploymentId {
    "00000000-0000-0000-0000-000000000002".parse().unwrap()
}

fn plans(kinds: &[(&str, ComponentKind)]) -> Vec<ComponentPlan> {
    kinds
        .iter()
        .map(|(name, kind)| ComponentPlan {
            name: (*name).into(),
            kind: *kind,
            job: None,
        })
        .collect()
}

fn job(name: &str, kind: JobKind) -> ComponentPlan {
    ComponentPlan {
        name: name.into(),
        kind: ComponentKind::Job,
        job: Some(kind),
    }
}

/// A service with a job of every kind.
fn shop() -> Vec<ComponentPlan> {
    let mut components = plans(&[("web", ComponentKind::Service)]);
    components.extend([
        job("migrate", JobKind::PreDeploy),
        job("smoke", JobKind::PostDeploy),
        job("report", JobKind::FailedDeploy),
        job("nightly", JobKind::Scheduled),
    ]);
    components
}

fn state(components: &[ComponentPlan], phase: Phase) -> State {
    let mut state = State::new(components.to_vec());
    state.phase = phase;
    // The table is about one event: with it, the last build is done.
    state.built = components.iter().skip(1).map(|plan| plan.name.clone()).collect();
    state
}

fn phases() -> Vec<Phase> {
    vec![
        Phase::PendingBuild,
        Phase::Initializing,
        Phase::Building,
        Phase::PendingDeploy,
        Phase::PreDeploying,
        Phase::Starting,
        Phase::Switching,
        Phase::PostDeploying,
        Phase::Active,
        Phase::Superseded { by: newer() },
        Phase::Failing {
            failures: vec![failure()],
        },
        Phase::Failed {
            failures: vec![failure()],
        },
        Phase::Canceled {
            by: "somebody".into(),
        },
    ]
}

fn events() -> Vec<Event> {
    vec![
        Event::TurnCame,
        Event::SourcesResolved,
        Event::BuildFinished {
            component: "web".into(),
            note: None,
        },
        Event::ComponentFailed { failure: failure() },
        Event::PreflightPassed,
        Event::ComponentReady {
            component: "web".into(),
        },
        Event::RoutesSwitched,
        Event::CancelRequested {
            by: "somebody".into(),
        },
        Event::NewerAccepted { deployment: newer() },
        Event::NewerActive { deployment: newer() },
    ]
}

/// Of the job that runs in this phase; of any job where none does.
fn job_events(phase: &Phase) -> Vec<Event> {
    let component = match phase {
        Phase::PostDeploying => "smoke",
        Phase::Failing { .. } => "report",
        _ => "migrate",
    };
    let failure = Failure {
        component: Some(component.into()),
        reason: reason(),
    };
    vec![
        Event::JobSucceeded {
            component: component.into(),
        },
        Event::JobCanceled {
            component: component.into(),
        },
        Event::ComponentFailed { failure },
    ]
}

fn row(components: &[ComponentPlan], phase: &Phase, event: &Event) -> String {
    let outcome = match step(&state(components, phase.clone()), event) {
        Ok((next, effects)) if next.phase.kind() == phase.kind() && effects.is_empty() => "·".to_owned(),
        Ok((next, effects)) => format!("{:?} {effects:?}", next.phase.kind()),
        Err(_) => "illegal".to_owned(),
    };
    let (phase, event) = (format!("{:?}", phase.kind()), format!("{:?}", event.kind()));
    format!("{phase:<13} {event:<16} {outcome}\n")
}

fn golden(name: &str, table: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(name.to_owned(), table));
}

#[test]
fn every_phase_and_event() {
    let components = plans(&[("web", ComponentKind::Service)]);
    let without_jobs = phases().into_iter().filter(|phase| phase.job_kind().is_none());
    let mut table = String::new();
    for phase in without_jobs {
        for event in events() {
            table += &row(&components, &phase, &event);
        }
    }
    golden("transitions", &table);
}

#[test]
fn every_phase_and_event_with_jobs() {
    let mut table = String::new();
    for phase in phases() {
        for event in events().into_iter().chain(job_events(&phase)) {
            table += &row(&shop(), &phase, &event);
        }
    }
    golden("transitions_with_jobs", &table);
}

#[test]
fn a_deployment_waits_for_all_its_components() {
    let mut state = State::new(plans(&[
        ("web", ComponentKind::Service),
        ("site", ComponentKind::StaticSite),
    ]));
    let happened = [
        (Event::TurnCame, "Initializing"),
        (Event::SourcesResolved, "Building"),
        (
            Event::BuildFinished {
                component: "site".into(),
                note: None,
            },
            "Building",
        ),
        (
            Event::BuildFinished {
                component: "web".into(),
                note: None,
            },
            "PendingDeploy",
        ),
        (Event::PreflightPassed, "Starting"),
        (
            Event::ComponentReady {
                component: "web".into(),
            },
            "Switching",
        ),
        (Event::RoutesSwitched, "Active"),
    ];
    for (event, expected) in happened {
        (state, _) = step(&state, &event).unwrap();
        assert_eq!(format!("{:?}", state.phase.kind()), expected, "after {event:?}");
    }
}

#[test]
fn static_sites_need_no_start() {
    let mut state = State::new(plans(&[("site", ComponentKind::StaticSite)]));
    state.phase = Phase::PendingDeploy;
    let (next, _) = step(&state, &Event::PreflightPassed).unwrap();
    assert_eq!(next.phase, Phase::Switching);
}

#[test]
fn the_failing_leaf_carries_the_reason_and_what_was_not_reached_stays_pending() {
    let events = [
        Event::TurnCame,
        Event::SourcesResolved,
        Event::BuildFinished {
            component: "web".into(),
            note: None,
        },
        Event::PreflightPassed,
        Event::ComponentFailed { failure: failure() },
    ];
    let recorded: Vec<Recorded> = events
        .into_iter()
        .map(|event| Recorded {
            at: Timestamp::UNIX_EPOCH,
            event,
        })
        .collect();
    let leaves = leaves(&plans(&[("web", ComponentKind::Service)]), &recorded);
    let statuses: Vec<LeafStatus> = leaves.iter().map(|leaf| leaf.status).collect();
    assert_eq!(statuses, [Success, Success, Success, Success, Error, Pending]);
    assert!(
        leaves[4]
            .reason
            .as_ref()
            .is_some_and(|reason| !reason.message.is_empty())
    );
}

fn played(components: &[ComponentPlan], events: Vec<Event>) -> (State, Vec<Recorded>) {
    let mut state = State::new(components.to_vec());
    let mut recorded = Vec::new();
    for event in events {
        (state, _) = step(&state, &event).unwrap();
        recorded.push(Recorded {
            at: Timestamp::UNIX_EPOCH,
            event,
        });
    }
    (state, recorded)
}

/// Up to the end of the pre-flight.
fn built(components: &[ComponentPlan]) -> Vec<Event> {
    let builds = components.iter().map(|plan| Event::BuildFinished {
        component: plan.name.clone(),
        note: None,
    });
    [Event::TurnCame, Event::SourcesResolved]
        .into_iter()
        .chain(builds)
        .chain([Event::PreflightPassed])
        .collect()
}

fn succeeded(component: &str) -> Event {
    Event::JobSucceeded {
        component: component.into(),
    }
}

fn failed(component: &str) -> Event {
    let component = Some(component.into());
    Event::ComponentFailed {
        failure: Failure {
            component,
            reason: reason(),
        },
    }
}

/// The leaves of the rollout that are in this status, as `component` or `component/wait`.
fn in_status(components: &[ComponentPlan], recorded: &[Recorded], status: LeafStatus) -> Vec<String> {
    let found = leaves(components, recorded)
        .into_iter()
        .filter(|leaf| leaf.status == status);
    let rollout = found.filter_map(|leaf| match leaf.name {
        LeafName::Wait { component } => Some(component),
        LeafName::Finalize => Some("finalize".into()),
        _ => None,
    });
    rollout.collect()
}

#[test]
fn jobs_have_their_turn_and_failed_deploy_jobs_stay_pending() {
    let mut events = built(&shop());
    let ready = Event::ComponentReady {
        component: "web".into(),
    };
    events.extend([
        succeeded("migrate"),
        ready,
        Event::RoutesSwitched,
        succeeded("smoke"),
    ]);
    let (state, recorded) = played(&shop(), events);
    assert_eq!(state.phase, Phase::Active);
    assert_eq!(
        in_status(&shop(), &recorded, Success),
        ["web", "migrate", "smoke", "nightly", "finalize"]
    );
    assert_eq!(in_status(&shop(), &recorded, Pending), ["report"]);
}

#[test]
fn a_failed_pre_deploy_job_keeps_everything_else_from_starting() {
    let mut events = built(&shop());
    events.push(failed("migrate"));
    let (state, recorded) = played(&shop(), events.clone());
    assert!(matches!(state.phase, Phase::Failing { .. }));
    assert_eq!(in_status(&shop(), &recorded, Error), ["migrate"]);
    assert_eq!(
        in_status(&shop(), &recorded, Pending),
        ["web", "smoke", "nightly", "finalize"]
    );
    events.push(succeeded("report"));
    let (state, recorded) = played(&shop(), events);
    assert!(matches!(state.phase, Phase::Failed { failures } if failures.len() == 1));
    assert_eq!(in_status(&shop(), &recorded, Success), ["report"]);
}

#[test]
fn a_failed_failed_deploy_job_comes_after_the_first_cause() {
    let mut events = built(&shop());
    events.extend([failed("migrate"), failed("report")]);
    let (state, recorded) = played(&shop(), events);
    let Phase::Failed { failures } = state.phase else {
        panic!("{:?}", state.phase)
    };
    let components: Vec<_> = failures
        .into_iter()
        .filter_map(|failure| failure.component)
        .collect();
    assert_eq!(components, ["migrate", "report"]);
    assert_eq!(in_status(&shop(), &recorded, Error), ["migrate", "report"]);
}

#[test]
fn a_failed_build_runs_no_job() {
    let (state, _) = played(
        &shop(),
        vec![Event::TurnCame, Event::SourcesResolved, failed("web")],
    );
    assert!(matches!(state.phase, Phase::Failed { .. }));
}

#[test]
fn a_component_that_fails_at_the_switch_has_a_failed_leaf() {
    let components = plans(&[("web", ComponentKind::Service)]);
    let mut events = built(&components);
    let ready = Event::ComponentReady {
        component: "web".into(),
    };
    events.extend([ready, failed("web")]);
    let (_, recorded) = played(&components, events);
    assert_eq!(in_status(&components, &recorded, Error), ["web"]);
}
