//! An app and its deployment are stored together or not at all.

use mainstay_spec::ids::{AccountId, AppId};
use mainstay_store::{AppChange, NewDeployment, StoreError};
use uuid::Uuid;

use crate::world::{World, new};

#[tokio::test]
async fn a_new_app_comes_with_its_first_deployment() {
    let world = World::new().await;
    let (app, first) = world.app("shop").await;
    let unsettled = world.store.unsettled_deployments(app).await.unwrap();
    assert_eq!(unsettled.iter().map(|row| row.id).collect::<Vec<_>>(), [first]);
}

#[tokio::test]
async fn an_app_whose_deployment_cannot_be_stored_is_not_there_either() {
    let world = World::new().await;
    let (_, first) = world.app("shop").await;
    let mut second = new(AppId::from_uuid(Uuid::new_v4()), "other");
    // Its id is taken: what comes after the app's own row fails.
    second.id = first;
    world
        .store
        .create_app(AccountId::FIRST, &second)
        .await
        .unwrap_err();
    assert!(
        world
            .store
            .app_by_name(AccountId::FIRST, "other")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn an_app_keeps_its_spec_when_the_deployment_of_the_new_one_cannot_be_stored() {
    let world = World::new().await;
    let (app, first) = world.app("shop").await;
    let mut update = new(app, "renamed");
    update.id = first;
    world.store.accept(&update, AppChange::Spec).await.unwrap_err();
    assert_eq!(world.store.app(app).await.unwrap().unwrap().spec.name, "shop");

    let update = new(app, "renamed");
    world.store.accept(&update, AppChange::Spec).await.unwrap();
    assert_eq!(world.store.app(app).await.unwrap().unwrap().spec.name, "renamed");
    assert_eq!(world.store.unsettled_deployments(app).await.unwrap().len(), 2);
}

#[tokio::test]
async fn names_are_unique_and_apps_that_go_are_not_updated() {
    let world = World::new().await;
    world.app("shop").await;
    let (app, _) = world.app("other").await;
    let taken = world
        .store
        .accept(&new(app, "shop"), AppChange::Spec)
        .await
        .unwrap_err();
    assert!(matches!(taken, StoreError::NameTaken { .. }), "{taken}");
    world.store.mark_app_deleting(app).await.unwrap();
    let going = world
        .store
        .accept(&new(app, "other"), AppChange::Spec)
        .await
        .unwrap_err();
    assert!(matches!(going, StoreError::NoApp { .. }), "{going}");
    assert!(
        world
            .store
            .app_by_name(AccountId::FIRST, "other")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn restarts_of_restarts_lead_to_what_was_restarted() {
    let world = World::new().await;
    let (app, first) = world.app("shop").await;
    let clone = async |from, restarts: Option<&str>| {
        let clone = NewDeployment {
            cloned_from: Some(from),
            restarts: restarts.map(|name| vec![name.to_owned()]),
            ..new(app, "shop")
        };
        world.store.accept(&clone, AppChange::Nothing).await.unwrap();
        clone.id
    };
    let restart = clone(first, Some("web")).await;
    let again = clone(restart, Some("web")).await;
    let rollback = clone(again, None).await;
    let of_rollback = clone(rollback, Some("web")).await;
    for (deployment, restarted) in [
        (first, first),
        (restart, first),
        (again, first),
        (rollback, rollback),
        (of_rollback, rollback),
    ] {
        assert_eq!(world.store.restarted(deployment).await.unwrap(), restarted);
    }
}
