//! No account passes its limits, however many ask at once.

use std::sync::Arc;

use mainstay_spec::{
    ids::{AccountId, AppId},
    usage::Resource,
};
use mainstay_store::{AppChange, Limits, Store, StoreError};
use uuid::Uuid;

use crate::world::new;

async fn limited(path: &std::path::Path, limits: &[(Resource, u64)]) -> Store {
    let limits: Limits = limits.iter().copied().collect();
    Store::open(&path.join("test.db"))
        .await
        .unwrap()
        .with_limits(limits)
}

fn some_app() -> AppId {
    AppId::from_uuid(Uuid::new_v4())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_creates_at_once_never_pass_a_limit_of_ten() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(limited(directory.path(), &[(Resource::Apps, 10)]).await);
    let creates: Vec<_> = (0..100)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store
                    .create_app(AccountId::FIRST, &new(some_app(), &format!("app-{number}")))
                    .await
            })
        })
        .collect();
    let (mut created, mut refused) = (0, 0);
    for create in creates {
        match create.await.unwrap() {
            Ok(()) => created += 1,
            Err(StoreError::LimitPassed(facts)) => {
                assert_eq!((facts.limit, facts.used, facts.asked), (10, 10, 1));
                assert_eq!(facts.biggest.len(), 3);
                refused += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!((created, refused), (10, 90));
    let (apps, total) = store.apps(AccountId::FIRST, 0, 100).await.unwrap();
    assert_eq!((apps.len(), total), (10, 10));
}

#[tokio::test]
async fn what_an_app_gives_back_others_may_take() {
    let directory = tempfile::tempdir().unwrap();
    let store = limited(directory.path(), &[(Resource::Apps, 1)]).await;
    let first = new(some_app(), "first");
    store.create_app(AccountId::FIRST, &first).await.unwrap();
    let second = new(some_app(), "second");
    store.create_app(AccountId::FIRST, &second).await.unwrap_err();
    assert!(
        store.app(second.app).await.unwrap().is_none(),
        "nothing of it is stored"
    );
    store.mark_app_deleting(first.app).await.unwrap();
    store.create_app(AccountId::FIRST, &second).await.unwrap();
}

#[tokio::test]
async fn an_app_above_a_lowered_limit_may_still_shrink() {
    let directory = tempfile::tempdir().unwrap();
    let store = limited(directory.path(), &[]).await;
    let app = some_app();
    let with = |instances: u32| {
        let mut wish = new(app, "shop");
        wish.spec.services = vec![mainstay_spec::Service {
            name: "web".to_owned(),
            instance_count: Some(instances),
            ..Default::default()
        }];
        wish
    };
    store.create_app(AccountId::FIRST, &with(8)).await.unwrap();
    let store = store.with_limits([(Resource::Instances, 5)].into());
    store.accept(&with(7), AppChange::Spec).await.unwrap();
    let refused = store.accept(&with(9), AppChange::Spec).await.unwrap_err();
    assert!(matches!(refused, StoreError::LimitPassed(_)), "{refused}");
    let used = store.limits(AccountId::FIRST).await.unwrap();
    let instances = used
        .iter()
        .find(|used| used.resource == Resource::Instances)
        .unwrap();
    assert_eq!((instances.used, instances.limit), (7, Some(5)));
}
