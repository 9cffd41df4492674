//! Many apps: how many are listed is known without counting them.

use mainstay_spec::ids::AccountId;

use crate::world::World;

#[tokio::test]
async fn the_number_of_apps_follows_what_becomes_of_them() {
    let world = World::new().await;
    let total = async || world.store.apps(AccountId::FIRST, 0, 1).await.unwrap().1;
    assert_eq!(total().await, 0);
    let (first, _) = world.app("first").await;
    let (second, deployment) = world.app("second").await;
    assert_eq!(total().await, 2);
    assert!(
        world
            .store
            .create_app(AccountId::FIRST, &crate::world::new(first, "third"))
            .await
            .is_err()
    );
    assert_eq!(total().await, 2, "what is refused is not counted");
    world.activate(deployment).await;
    assert_eq!(total().await, 2, "other changes change nothing");
    world.store.mark_app_deleting(first).await.unwrap();
    world.store.mark_app_deleting(first).await.unwrap();
    assert_eq!(total().await, 1);
    world.store.delete_app(first).await.unwrap();
    assert_eq!(total().await, 1);
    world.store.delete_app(second).await.unwrap();
    assert_eq!(total().await, 0);
}

#[tokio::test]
async fn what_is_asked_of_many_is_what_each_is_asked() {
    let world = World::new().await;
    let (app, first) = world.app("first").await;
    let (other, second) = world.app("second").await;
    let served = world.served(app).await;
    let events = world.store.events_of(&[served, second]).await.unwrap();
    assert_eq!(
        events.get(&served),
        Some(&world.store.events(served).await.unwrap())
    );
    assert!(!events.contains_key(&second), "it has none yet");
    let ids = |rows: Vec<mainstay_store::DeploymentRow>| {
        let mut ids: Vec<_> = rows.into_iter().map(|row| row.id).collect();
        ids.sort_by_key(|id| *id == second);
        ids
    };
    let unsettled = world.store.unsettled_of_apps(&[app, other]).await.unwrap();
    assert_eq!(ids(unsettled), [first, second]);
    let found = world.store.deployments_by_id(&[served, second]).await.unwrap();
    assert_eq!(ids(found), [served, second]);
    assert!(world.store.events_of(&[]).await.unwrap().is_empty());
}
