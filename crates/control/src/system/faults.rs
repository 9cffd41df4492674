//! Every call to the world outside and every commit goes wrong once, in each way, while an app is deployed again, deployed in vain, and deleted.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use mainstay_deploy::PhaseKind;
use mainstay_diagnosis::Code;
use mainstay_spec::ids::AppId;
use mainstay_testkit::Place;

use super::{
    builder::FAILS,
    calls::Mishap,
    commits::Refusal,
    engine::CRASHES,
    world::{Server, World},
};

/// Of the accidents, unless all are asked for: each test has another third of them.
const EVERY: usize = 3;
/// More than cores: most of the time a world waits.
const AT_ONCE: usize = 12;

/// What is done to an app that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Redeploy,
    DeployWhatCrashes,
    DeployWhatCannotBeBuilt,
    Delete,
}

/// What goes wrong meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accident {
    Call(usize, Mishap),
    Commit(usize, Refusal),
}

impl Deed {
    /// False when the API refused, which it may when its store does.
    async fn be_done(self, server: &Server<'_>, app: AppId) -> bool {
        let world = server.world;
        let spec = match self {
            Self::Redeploy => world.good("2"),
            Self::DeployWhatCrashes => world.spec("2", CRASHES, "build"),
            Self::DeployWhatCannotBeBuilt => world.spec("2", "serve", FAILS),
            Self::Delete => return server.application.delete_app(app, false).await.is_ok(),
        };
        server.update(app, &spec).await.is_ok()
    }

    /// What it must have come to, if it was accepted. An accident that only kills changes nothing.
    async fn check(self, server: &Server<'_>, app: AppId, accident: Option<Accident>) -> Result<(), String> {
        let store = &server.application.platform.store;
        let (deployments, _) = store
            .deployments(app, 0, 10)
            .await
            .map_err(|error| error.to_string())?;
        let Some(newest) = deployments.first() else {
            return if self == Self::Delete {
                Ok(())
            } else {
                Err("the app is gone".to_owned())
            };
        };
        if self == Self::Delete {
            return Err("the app is still there".to_owned());
        }
        if newest.number < 2 {
            return Ok(());
        }
        let view = server.application.deployment_view(newest.clone()).await;
        let view = view.map_err(|error| error.to_string())?;
        let reason = view.failed_leaf().and_then(|leaf| leaf.reason.as_ref());
        let code = reason.map(|reason| reason.code);
        let (phase, expected) = match self {
            Self::Redeploy => (PhaseKind::Active, None),
            Self::DeployWhatCrashes => (PhaseKind::Failed, Some(Code::ContainerExitNonZero)),
            Self::DeployWhatCannotBeBuilt => (PhaseKind::Failed, Some(Code::BuildJobFailed)),
            Self::Delete => unreachable!("told above"),
        };
        let as_if_nothing_had_been = newest.phase == phase && code == expected;
        let explained = newest.phase == PhaseKind::Failed && code.is_some();
        if as_if_nothing_had_been || (explained && accident.is_some_and(Accident::may_be_the_end)) {
            return Ok(());
        }
        Err(format!("the deployment ended {:?} with {code:?}", newest.phase))
    }
}

impl Accident {
    fn plan(self, world: &World) {
        match self {
            Self::Call(number, mishap) => world.calls.plan(number, mishap),
            Self::Commit(number, refusal) => world.commits.plan(number, refusal),
        }
    }

    fn kind(self) -> usize {
        match self {
            Self::Call(_, mishap) => mishap as usize,
            Self::Commit(_, refusal) => refusal as usize,
        }
    }

    /// Whether a deployment may end with a code of its own because of it.
    fn may_be_the_end(self) -> bool {
        matches!(
            self,
            Self::Call(_, Mishap::Fails) | Self::Commit(_, Refusal::ThenInterrupted)
        )
    }
}

/// `Err`: what is wrong afterwards.
fn attempt(world: &World, deed: Deed, accident: Option<Accident>) -> Result<(), String> {
    let app = Mutex::new(None);
    let first = world.live(async |server| {
        let serving = server.serving_app().await;
        *app.lock().unwrap() = Some(serving);
        if let Some(accident) = accident {
            accident.plan(world);
        }
        let mut done = deed.be_done(server, serving).await;
        if !done {
            // Who was refused asks again.
            done = deed.be_done(server, serving).await;
        }
        server.settle().await?;
        if done {
            deed.check(server, serving, accident).await
        } else {
            Ok(())
        }
    });
    if let Some(lived) = first {
        return lived;
    }
    let app = app.lock().unwrap().take().ok_or("killed too early")?;
    let second = world.live(async |server| {
        server.settle().await?;
        // The kill may have come before the wish was stored.
        let accepted = world.accepted().len() > 1 || is_going(server, app).await;
        if accepted {
            deed.check(server, app, accident).await
        } else {
            Ok(())
        }
    });
    second.unwrap_or_else(|| Err("killed twice".to_owned()))
}

async fn is_going(server: &Server<'_>, app: AppId) -> bool {
    let row = server.application.platform.store.app(app).await;
    row.is_ok_and(|row| row.is_none_or(|row| row.deleting))
}

/// How many calls and commits the deed takes when nothing goes wrong.
fn count(place: &Place, deed: Deed) -> usize {
    let world = World::new(place.address(3).port(), 0);
    let none = Accident::Call(usize::MAX, Mishap::Fails);
    attempt(&world, deed, Some(none)).unwrap_or_else(|wrong| panic!("without any accident: {wrong}"));
    world.calls.disarm().len()
}

fn check_all(deed: Deed, accidents: impl Fn(usize) -> Vec<Accident>) {
    let place = Place::claim();
    let accidents = chosen(accidents(count(&place, deed)));
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(accident) = accidents.get(index) else {
                        return;
                    };
                    let number = u32::try_from(index).unwrap() + 1;
                    let world = World::new(place.address(3).port(), number);
                    if let Err(text) = attempt(&world, deed, Some(*accident)) {
                        let calls = world.calls.disarm();
                        wrong
                            .lock()
                            .unwrap()
                            .push(format!("{accident:?}: {text}\n    calls: {calls:?}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{deed:?}: {} of {} accidents are not survived:\n{}",
        wrong.len(),
        accidents.len(),
        wrong.join("\n")
    );
}

fn chosen(accidents: Vec<Accident>) -> Vec<Accident> {
    if super::is_long() {
        return accidents;
    }
    let first = accidents.first().map_or(0, |accident| accident.kind());
    accidents.into_iter().skip(first % EVERY).step_by(EVERY).collect()
}

fn calls(count: usize, mishap: Mishap) -> Vec<Accident> {
    (0..count).map(|number| Accident::Call(number, mishap)).collect()
}

/// More than any deed makes; what does not happen is survived, too.
const COMMITS: usize = 30;

fn commits(refusal: Refusal) -> Vec<Accident> {
    (0..COMMITS)
        .map(|number| Accident::Commit(number, refusal))
        .collect()
}

macro_rules! survives {
    ($($name:ident: $deed:expr, $accidents:expr;)+) => {$(
        #[test]
        fn $name() {
            check_all($deed, $accidents);
        }
    )+};
}

survives! {
    a_redeploy_survives_failing_calls: Deed::Redeploy, |count| calls(count, Mishap::Fails);
    a_redeploy_survives_a_kill_before_each_call: Deed::Redeploy, |count| calls(count, Mishap::DiesBefore);
    a_redeploy_survives_a_kill_after_each_call: Deed::Redeploy, |count| calls(count, Mishap::DiesAfter);
    a_redeploy_survives_refused_commits: Deed::Redeploy, |_| commits(Refusal::Refused);
    a_redeploy_survives_a_kill_before_each_commit: Deed::Redeploy, |_| commits(Refusal::DiesBefore);
    a_redeploy_survives_a_kill_after_each_commit: Deed::Redeploy, |_| commits(Refusal::DiesAfter);
    a_redeploy_survives_interrupted_statements: Deed::Redeploy, |_| commits(Refusal::ThenInterrupted);
    a_crash_is_told_in_spite_of_failing_calls: Deed::DeployWhatCrashes, |count| calls(count, Mishap::Fails);
    a_crash_is_told_in_spite_of_a_kill_at_each_call: Deed::DeployWhatCrashes, |count| calls(count, Mishap::DiesAfter);
    a_crash_is_told_in_spite_of_a_kill_at_each_commit: Deed::DeployWhatCrashes, |_| commits(Refusal::DiesAfter);
    a_failed_build_is_told_in_spite_of_a_kill_at_each_commit: Deed::DeployWhatCannotBeBuilt, |_| commits(Refusal::DiesAfter);
    a_deletion_survives_failing_calls: Deed::Delete, |count| calls(count, Mishap::Fails);
    a_deletion_survives_a_kill_at_each_call: Deed::Delete, |count| calls(count, Mishap::DiesAfter);
    a_deletion_survives_refused_commits: Deed::Delete, |_| commits(Refusal::Refused);
    a_deletion_survives_a_kill_at_each_commit: Deed::Delete, |_| commits(Refusal::DiesAfter);
}
