//! Restarts of some components: those get new instances, all others keep theirs, whatever happens meanwhile.

use std::collections::BTreeSet;

use mainstay_deploy::PhaseKind;
use mainstay_engine::InstanceOwner;
use mainstay_spec::{
    AppSpec, Job, JobKind, Route,
    ids::{AppId, InstanceId},
};
use mainstay_testkit::Place;

use super::{
    calls::Mishap,
    commits::Refusal as CommitRefusal,
    engine::ENDS,
    world::{Server, World},
};
use crate::app::Refusal;

/// More than a restart makes of either.
const ACCIDENTS: usize = 24;
/// Of the accidents, unless all are asked for.
const EVERY: usize = 4;

/// `web` and `api`, and a job before them.
fn spec(world: &World) -> AppSpec {
    let mut spec = world.good("1");
    let mut api = spec.services[0].clone();
    api.name = "api".into();
    api.routes = vec![Route {
        path: Some("/api".into()),
        ..Route::default()
    }];
    spec.services[0].routes = vec![Route {
        path: Some("/".into()),
        ..Route::default()
    }];
    spec.jobs = vec![Job {
        name: "migrate".into(),
        kind: Some(JobKind::PreDeploy),
        git: api.git.clone(),
        run_command: Some(ENDS.into()),
        ..Job::default()
    }];
    spec.services.push(api);
    spec
}

async fn serving(server: &Server<'_>) -> AppId {
    let app = server
        .create(&spec(server.world))
        .await
        .expect("nothing is wrong yet");
    settled(server).await;
    app
}

async fn settled(server: &Server<'_>) {
    server.settle().await.unwrap_or_else(|wrong| panic!("{wrong}"));
}

fn running(world: &World, component: &str) -> BTreeSet<InstanceId> {
    let of_component = |owner: &InstanceOwner| matches!(owner, InstanceOwner::Component { component: name, .. } if name == component);
    let running = world.machine.running();
    running
        .iter()
        .filter(|status| of_component(&status.owner))
        .map(|status| status.id)
        .collect()
}

fn named(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn only_what_is_named_gets_new_instances() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let mut before = None;
    let lived = world.live(async |server| {
        let app = serving(server).await;
        let (web, api) = (running(&world, "web"), running(&world, "api"));
        drop(world.calls.disarm());
        let restart = server
            .application
            .restart_app(app, &named(&["web"]))
            .await
            .expect("it serves");
        settled(server).await;
        let calls = world.calls.disarm();
        assert!(
            !calls.iter().any(|call| call == "build" || call == "resolve"),
            "{calls:?}"
        );
        let view = server
            .application
            .deployment(app, restart.row.id)
            .await
            .expect("it is there");
        assert_eq!(view.row.phase, PhaseKind::Active);
        assert_eq!(running(&world, "api"), api, "not named");
        assert_eq!(running(&world, "web").intersection(&web).count(), 0, "named");
        let listed = server.application.instances(app).await.expect("it serves");
        assert_eq!(listed.len(), 4, "those that were kept are the new deployment's");
        assert_eq!(world.machine.started("migrate"), 1, "a restart runs no jobs");

        // One of those that were kept ends, and is started again by the deployment that has it now.
        world.machine.crash(*api.first().expect("there are two"));
        settled(server).await;
        before = Some((running(&world, "web"), running(&world, "api")));
        world.calls.die();
        std::future::pending::<()>().await;
    });
    assert!(lived.is_none(), "it was killed");
    let lived = world.live(async |server| {
        settled(server).await;
        assert_eq!(
            before,
            Some((running(&world, "web"), running(&world, "api"))),
            "taken up by another server"
        );
        let app = server
            .application
            .app_by_name(mainstay_spec::ids::AccountId::FIRST, "shop")
            .await
            .expect("it is there")
            .app
            .id;
        server.application.restart_app(app, &[]).await.expect("it serves");
        settled(server).await;
        let (web, api) = before.take().expect("two components ran");
        assert!(
            running(&world, "web").is_disjoint(&web) && running(&world, "api").is_disjoint(&api),
            "all are meant"
        );
    });
    assert!(lived.is_some(), "nothing kills this server");
}

#[test]
fn names_that_cannot_be_restarted_are_told() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 1);
    let lived = world.live(async |server| {
        let app = serving(server).await;
        let wrong = named(&["web", "wob", "migrate"]);
        let refused = server.application.restart_app(app, &wrong).await.expect_err("two are wrong");
        assert!(matches!(refused, Refusal::Unprocessable(_)), "{refused:?}");
        assert_eq!(
            refused.to_string(),
            "components: \"migrate\" is a job, there is no \"wob\"; the services and workers of the app, which can be restarted, are [\"web\", \"api\"]"
        );
        let (_, total) = server.application.platform.store.deployments(app, 0, 1).await.expect("nothing is wrong");
        assert_eq!(total, 1, "nothing was restarted");
    });
    assert!(lived.is_some(), "nothing kills this server");
}

#[derive(Debug, Clone, Copy)]
enum Accident {
    Call(usize, Mishap),
    Commit(usize, CommitRefusal),
}

/// `Err`: what is wrong afterwards.
fn attempt(port: u16, number: u32, accident: Accident) -> Result<(), String> {
    let world = World::new(port, number);
    let mut kept = BTreeSet::new();
    let lived = world.live(async |server| {
        let app = serving(server).await;
        kept = running(&world, "api");
        match accident {
            Accident::Call(number, mishap) => world.calls.plan(number, mishap),
            Accident::Commit(number, refusal) => world.commits.plan(number, refusal),
        }
        drop(server.application.restart_app(app, &named(&["web"])).await);
        server.settle().await
    });
    if let Some(lived) = lived {
        lived?;
    } else {
        let lived = world.live(async |server| server.settle().await);
        lived.ok_or("it was killed again")??;
    }
    if running(&world, "api") == kept {
        Ok(())
    } else {
        Err("instances that were not to be restarted are others now".to_owned())
    }
}

#[test]
fn what_is_kept_outlives_every_accident() {
    let place = Place::claim();
    let port = place.address(3).port();
    let accidents = (0..ACCIDENTS).flat_map(|number| {
        [
            Accident::Call(number, Mishap::Fails),
            Accident::Call(number, Mishap::DiesAfter),
            Accident::Commit(number, CommitRefusal::DiesBefore),
            Accident::Commit(number, CommitRefusal::DiesAfter),
        ]
    });
    let every = if super::is_long() { 1 } else { EVERY };
    let accidents: Vec<Accident> = accidents
        .enumerate()
        .filter(|(index, _)| (index / 4 + index) % every == 0)
        .map(|(_, accident)| accident)
        .collect();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let attempts: Vec<_> = (0_u32..)
            .zip(&accidents)
            .map(|(number, accident)| (accident, scope.spawn(move || attempt(port, number, *accident))))
            .collect();
        let ended = attempts
            .into_iter()
            .map(|(accident, attempt)| (accident, attempt.join().expect("it does not panic")));
        ended
            .filter_map(|(accident, result)| Some(format!("{accident:?}: {}", result.err()?)))
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
