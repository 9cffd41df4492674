//! The event log: who writes twice, and who comes second.

use jiff::Timestamp;
use mainstay_deploy::{Event, PhaseKind, Recorded};
use mainstay_spec::ids::{AccountId, BuildId};
use mainstay_store::BuildRow;

use crate::world::World;

fn recorded(event: Event) -> Recorded {
    Recorded {
        at: Timestamp::now(),
        event,
    }
}

#[tokio::test]
async fn an_append_can_be_repeated() {
    let world = World::new().await;
    let (_, deployment) = world.app("shop").await;
    let event = recorded(Event::TurnCame);
    for _ in 0..2 {
        let appended = world
            .store
            .append_event(deployment, 0, &event, PhaseKind::Initializing, false);
        appended.await.unwrap();
    }
    assert_eq!(world.store.events(deployment).await.unwrap(), [event]);
}

#[tokio::test]
async fn the_second_of_two_writers_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let (_, deployment) = world.app("shop").await;
    let (first, second) = (
        recorded(Event::TurnCame),
        recorded(Event::CancelRequested {
            by: "user".to_owned(),
        }),
    );
    let append = async |event, phase| world.store.append_event(deployment, 0, event, phase, false).await;
    append(&first, PhaseKind::Initializing).await.unwrap();
    append(&second, PhaseKind::Canceled).await.unwrap_err();
    assert_eq!(world.store.events(deployment).await.unwrap(), [first]);
    let row = world.store.deployment(deployment).await.unwrap().unwrap();
    assert_eq!(row.phase, PhaseKind::Initializing);
}

#[tokio::test]
async fn what_an_event_tells_of_builds_is_stored_with_it_or_not_at_all() {
    let world = World::new().await;
    let (_, deployment) = world.app("shop").await;
    let build = |component: &str| BuildRow {
        id: BuildId::from_uuid(uuid::Uuid::new_v4()),
        deployment,
        component: component.to_owned(),
        source: "commit".to_owned(),
        output: None::<String>,
        facts: None,
        created_at: Timestamp::now(),
    };
    let append = async |event, builds: &[_]| {
        let phase = PhaseKind::Initializing;
        let store = &world.store;
        store
            .append_event_with(deployment, 0, &recorded(event), phase, false, builds)
            .await
    };
    append(Event::TurnCame, &[build("api"), build("web")])
        .await
        .unwrap();
    append(Event::SourcesResolved, &[build("late")])
        .await
        .unwrap_err();
    let stored: Vec<BuildRow<String, String>> = world.store.builds(deployment).await.unwrap();
    let components: Vec<&str> = stored.iter().map(|row| row.component.as_str()).collect();
    assert_eq!(components, ["api", "web"]);
}

#[tokio::test]
async fn pages_of_deployments_are_newest_first_and_say_how_many_there_are() {
    let world = World::new().await;
    let (app, _) = world.app("shop").await;
    for _ in 0..4 {
        world.deployment(app).await;
    }
    let page = async |offset, limit| {
        let (rows, total) = world.store.deployments(app, offset, limit).await.unwrap();
        (rows.into_iter().map(|row| row.number).collect::<Vec<_>>(), total)
    };
    assert_eq!(page(0, 2).await, (vec![5, 4], 5));
    assert_eq!(page(4, 2).await, (vec![1], 5));
    assert_eq!(page(5, 2).await, (vec![], 5));
    assert_eq!(page(u64::MAX, u64::MAX).await, (vec![], 5));
}

#[tokio::test]
async fn pages_of_apps_leave_out_those_that_are_going() {
    let world = World::new().await;
    let (going, _) = world.app("going").await;
    world.app("shop").await;
    world.app("blog").await;
    world.store.mark_app_deleting(going).await.unwrap();
    let (rows, total) = world.store.apps(AccountId::FIRST, 1, 10).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(),
        ["blog"]
    );
    assert_eq!(total, 2);
    assert_eq!(world.store.all_apps().await.unwrap().len(), 3);
    // Its name is free.
    world.app("going").await;
}
