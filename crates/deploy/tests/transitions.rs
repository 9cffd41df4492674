//! The whole table of phases and events, as a golden file: a reviewer reads its diff, not the code.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends where its world cannot be built, and says why it is skipped"
)]

use jiff::Timestamp;
use mainstay_deploy::{
    ComponentPlan, Event, Failure,
    LeafStatus::{self, Error, Pending, Success},
    Phase, Recorded, State, leaves, step,
};
use mainstay_diagnosis::{
    Reason, diagnose,
    facts::{Facts, InternalFacts, Subject},
};
use mainstay_spec::{ids::DeploymentId, kind::ComponentKind};

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
        changes: vec![],
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
        })
        .collect()
}

fn state(phase: Phase) -> State {
    State {
        phase,
        ..State::new(plans(&[("web", ComponentKind::Service)]))
    }
}

fn phases() -> Vec<Phase> {
    vec![
        Phase::PendingBuild,
        Phase::Initializing,
        Phase::Building,
        Phase::PendingDeploy,
        Phase::Starting,
        Phase::Switching,
        Phase::Active,
        Phase::Superseded { by: newer() },
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

#[test]
fn every_phase_and_event() {
    let mut table = String::new();
    for phase in phases() {
        for event in events() {
            let row = match step(&state(phase.clone()), &event) {
                Ok((next, effects)) if next.phase.kind() == phase.kind() && effects.is_empty() => {
                    "·".to_owned()
                }
                Ok((next, effects)) => format!("{:?} {effects:?}", next.phase.kind()),
                Err(_) => "illegal".to_owned(),
            };
            table += &format!(
                "{:<13} {:<16} {row}\n",
                format!("{:?}", phase.kind()),
                format!("{:?}", event.kind())
            );
        }
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!("transitions", table));
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
