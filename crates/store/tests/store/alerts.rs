//! What alerts are about is noted as it happens, for apps whose alerts go anywhere.

use jiff::{SignedDuration, Timestamp};
use mainstay_deploy::PhaseKind;
use mainstay_store::Occurrence;

use crate::world::World;

async fn rules(world: &World) -> Vec<String> {
    let occurrences = world.store.alert_occurrences(100).await.unwrap();
    occurrences.into_iter().map(|it| it.rule).collect()
}

#[tokio::test]
async fn what_happens_is_noted_for_those_who_want_to_hear() {
    let world = World::new().await;
    let (heard, _) = world.app("heard").await;
    let (other, _) = world.app("other").await;
    assert_eq!(rules(&world).await, [""; 0], "before anybody listened");
    world
        .store
        .put_alert_destinations(heard, "a", "sealed")
        .await
        .unwrap();
    for phase in [
        PhaseKind::Active,
        PhaseKind::Failed,
        PhaseKind::Canceled,
        PhaseKind::Superseded,
    ] {
        for app in [heard, other] {
            let deployment = world.deployment(app).await;
            world.settle(deployment, phase).await;
            // A phase that was there already is no news.
            world.settle(deployment, phase).await;
        }
    }
    let started = "DEPLOYMENT_STARTED";
    let expected = [
        started,
        "DEPLOYMENT_LIVE",
        started,
        "DEPLOYMENT_FAILED",
        started,
        "DEPLOYMENT_CANCELED",
        started,
    ];
    assert_eq!(rules(&world).await, expected);
}

#[tokio::test]
async fn messages_wait_until_they_are_due_and_never_too_many() {
    let world = World::new().await;
    let (app, deployment) = world.app("shop").await;
    let store = &world.store;
    store.put_alert_destinations(app, "a", "sealed").await.unwrap();
    world.activate(deployment).await;
    let occurrences = store.alert_occurrences(10).await.unwrap();
    let [occurrence]: [Occurrence; 1] = occurrences.try_into().unwrap();
    let message = |target: &str| ("a".to_owned(), target.to_owned(), "text".to_owned());
    let messages = [message("one"), message("two"), message("three")];
    let left_out = store
        .put_alert_deliveries(&occurrence, &messages, 2)
        .await
        .unwrap();
    assert_eq!((left_out, rules(&world).await.len()), (1, 0));
    let now = Timestamp::now();
    let due = store.due_alert_deliveries(now, 10).await.unwrap();
    assert_eq!(
        due.iter().map(|it| it.target.as_str()).collect::<Vec<_>>(),
        ["one", "two"]
    );
    let later = now + SignedDuration::from_secs(60);
    store
        .postpone_alert_delivery(&due[0], later, "in vain")
        .await
        .unwrap();
    store.end_alert_delivery(&due[1], "taken").await.unwrap();
    assert_eq!(store.due_alert_deliveries(now, 10).await.unwrap(), []);
    let due = store.due_alert_deliveries(later, 10).await.unwrap();
    assert_eq!((due.len(), due[0].attempts), (1, 1));
    let stored = &store.alert_destinations(app).await.unwrap()["a"];
    assert_eq!(stored.outcome.as_deref(), Some("taken"));
}
