//! What is still needed, and what may be forgotten.

use std::collections::HashSet;

use jiff::Timestamp;
use mainstay_deploy::PhaseKind;
use mainstay_store::{InvocationPhase, PastDeployment};

use crate::world::World;

#[tokio::test]
async fn what_serves_waits_runs_or_can_be_rolled_back_to_is_held() {
    let world = World::new().await;
    let (app, first) = world.app("shop").await;
    world.activate(first).await;
    let second = world.served(app).await;
    let third = world.served(app).await;
    let failed = world.deployment(app).await;
    world.settle(failed, PhaseKind::Failed).await;
    let active = world.served(app).await;
    let waiting = world.deployment(app).await;

    let held = |rollbacks| world.store.held_deployments(rollbacks);
    assert_eq!(held(0).await.unwrap(), HashSet::from([active, waiting]));
    assert_eq!(
        held(2).await.unwrap(),
        HashSet::from([active, waiting, third, second])
    );

    // As long as something of it runs, its files are needed whatever became of it.
    let instance = world.instance(app, failed).await;
    assert!(held(0).await.unwrap().contains(&failed));
    world.store.mark_instance_removed(instance).await.unwrap();
    assert!(!held(0).await.unwrap().contains(&failed));

    // The same goes for a run of a job that is about to start.
    let run = world.run(app, second).await;
    assert!(held(0).await.unwrap().contains(&second));
    let (now, canceled) = (Timestamp::now(), InvocationPhase::Canceled);
    world
        .store
        .end_invocation(run, canceled, now, None)
        .await
        .unwrap();
    assert!(!held(0).await.unwrap().contains(&second));
}

#[tokio::test]
async fn each_app_has_its_own_rollbacks() {
    let world = World::new().await;
    let mut expected = HashSet::new();
    for name in ["one", "two"] {
        let (app, first) = world.app(name).await;
        world.activate(first).await;
        expected.extend([world.served(app).await, world.served(app).await]);
    }
    assert_eq!(world.store.held_deployments(1).await.unwrap(), expected);
}

#[tokio::test]
async fn an_overtaken_deployment_cannot_be_rolled_back_to() {
    let world = World::new().await;
    let (app, overtaken) = world.app("shop").await;
    world.settle(overtaken, PhaseKind::Superseded).await;
    let active = world.served(app).await;
    assert_eq!(
        world.store.held_deployments(10).await.unwrap(),
        HashSet::from([active])
    );
}

#[tokio::test]
async fn specs_in_use_are_those_of_apps_and_of_what_is_held() {
    let world = World::new().await;
    let (app, first) = world.app("first-name").await;
    world.activate(first).await;
    world.served(app).await;
    world.served(app).await;
    let names = |specs: Vec<mainstay_spec::AppSpec>| -> Vec<String> {
        let mut names: Vec<String> = specs.into_iter().map(|spec| spec.name).collect();
        names.sort();
        names
    };
    let in_use = |rollbacks| world.store.specs_in_use(rollbacks);
    let any = format!("any-{}", app.short());
    assert_eq!(names(in_use(0).await.unwrap()), [&any, "first-name"]);
    assert_eq!(
        names(in_use(2).await.unwrap()),
        [&any, &any, "first-name", "first-name"]
    );
}

#[tokio::test]
async fn what_is_needed_is_never_forgotten() {
    let world = World::new().await;
    let (app, first) = world.app("shop").await;
    assert!(!world.store.forget_deployment(first).await.unwrap(), "it goes on");
    world.activate(first).await;
    assert!(!world.store.forget_deployment(first).await.unwrap(), "it serves");
    let second = world.served(app).await;
    let instance = world.instance(app, first).await;
    assert!(!world.store.forget_deployment(first).await.unwrap(), "it runs");
    world.store.forget_instance(instance).await.unwrap();
    assert_eq!(world.store.past_instances().await.unwrap().len(), 1, "it runs");
    world.store.mark_instance_removed(instance).await.unwrap();
    assert!(world.store.forget_deployment(first).await.unwrap());
    assert_eq!(world.store.past_instances().await.unwrap(), []);
    let left: Vec<PastDeployment> = world.store.past_deployments().await.unwrap();
    assert_eq!(left.iter().map(|row| row.id).collect::<Vec<_>>(), [second]);
    assert!(left[0].active && left[0].settled);
    // Numbers go on although one is missing.
    let third = world.deployment(app).await;
    let third = world.store.deployment(third).await.unwrap().unwrap();
    assert_eq!(third.number, 3);
}

#[tokio::test]
async fn restarts_are_counted_although_instances_are_forgotten() {
    let world = World::new().await;
    let (app, deployment) = world.app("shop").await;
    for _ in 0..3 {
        let instance = world.instance(app, deployment).await;
        world.store.mark_instance_removed(instance).await.unwrap();
    }
    let past = world.store.past_instances().await.unwrap();
    assert_eq!(past.iter().map(|row| row.restarts).collect::<Vec<_>>(), [0, 1, 2]);
    world.store.forget_instance(past[1].id).await.unwrap();
    world.instance(app, deployment).await;
    let rows = world.store.instances_of_deployment(deployment).await.unwrap();
    assert_eq!(rows.last().unwrap().restarts, 3);
}
