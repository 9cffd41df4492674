//! Events of instances come back in order, by app and component, and are bounded.

use jiff::Timestamp;
use mainstay_spec::ids::{AppId, DeploymentId};
use mainstay_store::{InstanceEvent, NewInstanceEvent};

use crate::world::World;

fn started(app: AppId, deployment: DeploymentId, component: &str, restarts: u32) -> NewInstanceEvent {
    NewInstanceEvent {
        app,
        deployment,
        component: component.into(),
        ordinal: 0,
        instance: None,
        at: Timestamp::now(),
        event: InstanceEvent::Started { restarts },
    }
}

#[tokio::test]
async fn events_come_newest_first_by_component_and_page() {
    let world = World::new().await;
    let (app, deployment) = world.app("shop").await;
    let (other, of_other) = world.app("other").await;
    for (component, restarts) in [("web", 0), ("worker", 0), ("web", 1)] {
        let event = started(app, deployment, component, restarts);
        world.store.append_instance_event(&event, 100).await.unwrap();
    }
    let event = started(other, of_other, "web", 7);
    world.store.append_instance_event(&event, 100).await.unwrap();

    let (rows, total) = world
        .store
        .instance_events(app, Some("web"), 0, 10)
        .await
        .unwrap();
    let events: Vec<_> = rows.iter().map(|row| row.event.clone()).collect();
    assert_eq!(
        events,
        [
            InstanceEvent::Started { restarts: 1 },
            InstanceEvent::Started { restarts: 0 }
        ]
    );
    assert_eq!(total, 2);
    let (page, total) = world.store.instance_events(app, None, 1, 1).await.unwrap();
    assert_eq!((page[0].component.as_str(), total), ("worker", 3));
}

#[tokio::test]
async fn the_oldest_events_of_the_app_give_way() {
    let world = World::new().await;
    let (app, deployment) = world.app("shop").await;
    let (other, of_other) = world.app("other").await;
    world
        .store
        .append_instance_event(&started(other, of_other, "web", 0), 3)
        .await
        .unwrap();
    for restarts in 0..6 {
        let event = started(app, deployment, "web", restarts);
        world.store.append_instance_event(&event, 3).await.unwrap();
    }
    let (rows, total) = world.store.instance_events(app, None, 0, 10).await.unwrap();
    let events: Vec<_> = rows.iter().map(|row| row.event.clone()).collect();
    let kept = [5, 4, 3].map(|restarts| InstanceEvent::Started { restarts });
    assert_eq!((events.as_slice(), total), (kept.as_slice(), 3));
    assert_eq!(
        world.store.instance_events(other, None, 0, 10).await.unwrap().1,
        1
    );
}
