//! Restarts that are asked for while something else is under way: no update is lost by one, and no older spec comes back with one.

use std::time::Duration;

use mainstay_deploy::{Event, PhaseKind};
use mainstay_engine::InstanceOwner;
use mainstay_spec::{
    AppSpec, Job, JobKind,
    ids::{AppId, DeploymentId, InstanceId},
};
use mainstay_testkit::Place;
use tokio::time::{sleep, timeout};

use super::{
    builder::TAKES_LONG,
    engine::{RUNS_ON, SERVES},
    world::{LOOK_EVERY, Server, World},
};

const GOES_ON_WITHIN: Duration = Duration::from_mins(1);

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(GOES_ON_WITHIN, waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

async fn is_in(server: &Server<'_>, deployment: DeploymentId, phase: PhaseKind) -> bool {
    let row = server.application.platform.store.deployment(deployment).await;
    row.expect("nothing is wrong").expect("it was stored").phase == phase
}

async fn restart(server: &Server<'_>, app: AppId, named: &[&str]) -> DeploymentId {
    let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
    let restart = server.application.restart_app(app, &named).await;
    restart.expect("it serves").row.id
}

/// Its phase, and which deployment it was superseded by.
async fn ended(
    server: &Server<'_>,
    app: AppId,
    deployment: DeploymentId,
) -> (PhaseKind, Option<DeploymentId>) {
    let view = server.application.deployment(app, deployment).await;
    let view = view.expect("it was stored");
    let successor = view.events.iter().find_map(|recorded| match recorded.event {
        Event::NewerAccepted { deployment } | Event::NewerActive { deployment } => Some(deployment),
        _ => None,
    });
    (view.row.phase, successor)
}

async fn version_that_serves(server: &Server<'_>, app: AppId) -> String {
    let view = server.application.app(app).await.expect("it is there");
    let active = view.active.expect("it serves");
    active.spec.services[0].envs[0].value.reveal().to_owned()
}

fn instance_of(world: &World, name: &str) -> Option<InstanceId> {
    let is_named = |owner: &InstanceOwner| matches!(owner, InstanceOwner::Component { component, .. } if component == name);
    let running = world.machine.running();
    running
        .into_iter()
        .find(|status| is_named(&status.owner))
        .map(|status| status.id)
}

/// With a job before it that goes on until the test ends it.
fn held_up(world: &World) -> AppSpec {
    let mut spec = world.good("2");
    spec.jobs = vec![Job {
        name: "migrate".into(),
        kind: Some(JobKind::PreDeploy),
        git: spec.services[0].git.clone(),
        run_command: Some(RUNS_ON.into()),
        ..Job::default()
    }];
    spec
}

async fn settle(server: &Server<'_>) {
    server.settle().await.unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// In the end, of the second version.
async fn update_serves_instead_of(
    server: &Server<'_>,
    app: AppId,
    update: DeploymentId,
    restart: DeploymentId,
) {
    settle(server).await;
    assert_eq!(ended(server, app, update).await, (PhaseKind::Active, None));
    assert_eq!(version_that_serves(server, app).await, "2");
    assert_eq!(
        ended(server, app, restart).await,
        (PhaseKind::Superseded, Some(update))
    );
}

/// Lives one life.
fn live(scenario: impl AsyncFnOnce(&Server<'_>)) {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    assert!(world.live(scenario).is_some(), "nothing kills this server");
}

#[test]
fn an_update_that_is_built_outlives_a_restart() {
    live(async |server| {
        let app = server.serving_app().await;
        let slow = server.world.spec("2", SERVES, TAKES_LONG);
        let update = server.update(app, &slow).await.expect("nothing is wrong");
        until("the update is built", async || {
            is_in(server, update, PhaseKind::Building).await
        })
        .await;
        let restart = restart(server, app, &[]).await;
        update_serves_instead_of(server, app, update, restart).await;
    });
}

#[test]
fn a_restart_does_not_bring_back_what_an_update_under_way_replaces() {
    live(async |server| {
        let app = server.serving_app().await;
        let update = server.update(app, &held_up(server.world)).await;
        let update = update.expect("nothing is wrong");
        let job = || instance_of(server.world, "migrate");
        until("the update's job runs", async || job().is_some()).await;
        let restart = restart(server, app, &["web"]).await;
        server.world.machine.finish(job().expect("it goes on"));
        update_serves_instead_of(server, app, update, restart).await;
    });
}

#[test]
fn after_an_update_that_fails_its_turn_comes() {
    live(async |server| {
        let app = server.serving_app().await;
        let before = instance_of(server.world, "web");
        let broken = server.update(app, &held_up(server.world)).await;
        let broken = broken.expect("nothing is wrong");
        let job = || instance_of(server.world, "migrate");
        until("the update's job runs", async || job().is_some()).await;
        let restart = restart(server, app, &[]).await;
        server.world.machine.crash(job().expect("it goes on"));
        settle(server).await;
        assert_eq!(ended(server, app, broken).await.0, PhaseKind::Failed);
        assert_eq!(ended(server, app, restart).await, (PhaseKind::Active, None));
        assert_ne!(instance_of(server.world, "web"), before);
        assert_eq!(version_that_serves(server, app).await, "1");
    });
}

#[test]
fn restarts_of_several_components_all_have_their_turn() {
    live(async |server| {
        let mut spec = server.world.good("1");
        let mut api = spec.services[0].clone();
        api.name = "api".into();
        api.routes = vec![mainstay_spec::Route {
            path: Some("/api".into()),
            ..mainstay_spec::Route::default()
        }];
        spec.services.push(api);
        let app = server.create(&spec).await.expect("nothing is wrong");
        settle(server).await;
        let before = ["web", "api"].map(|name| instance_of(server.world, name));
        let broken = server.update(app, &held_up(server.world)).await;
        broken.expect("nothing is wrong");
        let job = || instance_of(server.world, "migrate");
        until("the update's job runs", async || job().is_some()).await;
        let mut restarts = Vec::new();
        for name in ["web", "api"] {
            restarts.push(restart(server, app, &[name]).await);
        }
        server.world.machine.crash(job().expect("it goes on"));
        settle(server).await;
        let [first, second] = restarts[..] else {
            unreachable!("two were asked for")
        };
        assert_eq!(
            ended(server, app, first).await,
            (PhaseKind::Superseded, Some(second))
        );
        assert_eq!(ended(server, app, second).await, (PhaseKind::Active, None));
        for (name, before) in ["web", "api"].iter().zip(before) {
            assert_ne!(instance_of(server.world, name), before, "{name}");
        }
    });
}
