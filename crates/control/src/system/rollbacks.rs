//! Going back, and going on from there.

use mainstay_deploy::PhaseKind;
use mainstay_diagnosis::Code;
use mainstay_spec::{AppSpec, ids::AppId};
use mainstay_testkit::Place;

use super::{
    engine::CRASHES,
    world::{Server, World},
};
use crate::app::{Refusal, apps::AppView, deployments::DeploymentView};

async fn settled(server: &Server<'_>) {
    server.settle().await.unwrap_or_else(|wrong| panic!("{wrong}"));
}

async fn app(server: &Server<'_>, id: AppId) -> AppView {
    server.application.app(id).await.expect("the app is there")
}

fn version(spec: &AppSpec) -> &str {
    spec.services[0].envs[0].value.reveal()
}

fn reused(view: &DeploymentView) -> usize {
    let reasons = view.leaves.iter().filter_map(|leaf| leaf.reason.as_ref());
    reasons
        .filter(|reason| reason.code == Code::PreviousBuildReused)
        .count()
}

/// An app whose first deployment was replaced by a second.
async fn with_two_versions(server: &Server<'_>) -> (AppId, AppView) {
    let id = server.serving_app().await;
    let first = app(server, id).await;
    server
        .update(id, &server.world.good("2"))
        .await
        .expect("nothing is wrong");
    settled(server).await;
    (id, first)
}

#[test]
fn a_rollback_builds_nothing_and_keeps_the_app_until_it_is_reverted() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let (id, first) = with_two_versions(server).await;
        let first = first.active.expect("it serves").id;
        drop(world.calls.disarm());
        let rollback = application
            .roll_back(id, first, false)
            .await
            .expect("it can be rolled back to");
        settled(server).await;
        let calls = world.calls.disarm();
        let built = calls.iter().any(|call| call == "build" || call == "resolve");
        assert!(!built, "{calls:?}");
        let rollback = application
            .deployment(id, rollback.row.id)
            .await
            .expect("it is there");
        assert_eq!(rollback.row.phase, PhaseKind::Active);
        assert_eq!((rollback.row.cloned_from, reused(&rollback)), (Some(first), 2));
        let view = app(server, id).await;
        assert_eq!(view.active.as_ref().map(|row| row.id), Some(rollback.row.id));
        assert_eq!(view.pinned.as_ref().map(|row| row.id), Some(rollback.row.id));
        assert_eq!(version(&rollback.row.spec), "1");
        assert_eq!(
            version(&view.app.spec),
            "2",
            "nothing is decided while the app stays there"
        );

        let refused = server.update(id, &world.good("3")).await;
        assert!(
            matches!(&refused, Err(Refusal::Conflict(message)) if message.contains("commit or revert")),
            "{refused:?}"
        );
        let obstacle = application
            .rollback_obstacle(id, first)
            .await
            .expect("nothing is wrong");
        assert_eq!(obstacle.map(|condition| condition.code), Some("app_pinned"));

        let revert = application.revert_rollback(id).await.expect("it is pinned");
        settled(server).await;
        let view = app(server, id).await;
        let active = view.active.expect("it serves");
        assert_eq!((active.id, view.app.pinned_deployment), (revert.row.id, None));
        assert_eq!(version(&active.spec), "2");
        assert_eq!(active.cloned_from, rollback.row.previous);
        let again = application.revert_rollback(id).await;
        assert!(matches!(again, Err(Refusal::BadRequest(_))), "{again:?}");
    });
    assert!(lived.is_some());
}

#[test]
fn a_committed_rollback_is_the_apps_spec() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 1);
    let lived = world.live(async |server| {
        let application = &server.application;
        let (id, first) = with_two_versions(server).await;
        let first = first.active.expect("it serves").id;
        application
            .roll_back(id, first, false)
            .await
            .expect("it can be rolled back to");
        let early = application.commit_rollback(id).await;
        assert!(
            matches!(early, Err(Refusal::BadRequest(_))),
            "it does not serve yet: {early:?}"
        );
        settled(server).await;
        application.commit_rollback(id).await.expect("it serves");
        let view = app(server, id).await;
        assert_eq!((version(&view.app.spec), view.pinned.is_none()), ("1", true));

        let second = server
            .update(id, &world.good("2"))
            .await
            .expect("nothing is pinned");
        settled(server).await;
        application
            .roll_back(id, first, true)
            .await
            .expect("it can be rolled back to");
        settled(server).await;
        let view = app(server, id).await;
        assert_eq!(
            (version(&view.app.spec), view.pinned.is_none()),
            ("1", true),
            "committed at once"
        );
        assert_ne!(view.active.map(|row| row.id), Some(second));
    });
    assert!(lived.is_some());
}

#[test]
fn only_what_served_can_be_rolled_back_to() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 2);
    let lived = world.live(async |server| {
        let id = server.serving_app().await;
        let broken = world.spec("2", CRASHES, "build");
        let failed = server.update(id, &broken).await.expect("it is accepted");
        settled(server).await;
        let application = &server.application;
        let obstacle = application
            .rollback_obstacle(id, failed)
            .await
            .expect("nothing is wrong");
        assert_eq!(
            obstacle.map(|condition| condition.code),
            Some("incompatible_result")
        );
        let refused = application.roll_back(id, failed, false).await;
        assert!(matches!(refused, Err(Refusal::BadRequest(_))), "{refused:?}");
        assert_eq!(
            app(server, id).await.app.pinned_deployment,
            None,
            "what is refused changes nothing"
        );
    });
    assert!(lived.is_some());
}
