//! Runs of jobs: one for each occasion, and one end for each.

use jiff::Timestamp;
use mainstay_spec::ids::{AppId, DeploymentId, InvocationId};
use mainstay_store::{InvocationPhase, NewInvocation, Trigger};
use uuid::Uuid;

use crate::world::World;

fn run(app: AppId, deployment: DeploymentId, trigger: Trigger) -> NewInvocation {
    NewInvocation {
        id: InvocationId::from_uuid(Uuid::new_v4()),
        app,
        deployment,
        job: "migrate".to_owned(),
        trigger,
        created_at: Timestamp::now(),
        skipped: false,
        note: None,
    }
}

#[tokio::test]
async fn an_occasion_gives_rise_to_one_run() {
    let world = World::new().await;
    let (app, deployment) = world.app("shop").await;
    let due_at = Timestamp::UNIX_EPOCH;
    for trigger in [Trigger::Deployment, Trigger::Schedule { due_at }] {
        let first = run(app, deployment, trigger.clone());
        let first = world.store.ensure_invocation(&first).await.unwrap();
        let second = run(app, deployment, trigger);
        let second = world.store.ensure_invocation(&second).await.unwrap();
        assert_eq!(first.id, second.id);
    }
    let by_hand = || Trigger::Manual { by: "admin".into() };
    for _ in 0..2 {
        world
            .store
            .ensure_invocation(&run(app, deployment, by_hand()))
            .await
            .unwrap();
    }
    let listed = world.store.invocations(app, &[], None, 0, 10).await.unwrap();
    assert_eq!((listed.0.len(), listed.1), (4, 4));
    assert_eq!(world.store.last_due(app).await.unwrap()["migrate"], due_at);
    let of_other = world
        .store
        .invocations(app, &["other".into()], None, 0, 10)
        .await
        .unwrap();
    assert_eq!(of_other.1, 0);
}

#[tokio::test]
async fn the_first_end_counts_and_old_runs_are_forgotten() {
    let world = World::new().await;
    let (app, deployment) = world.app("shop").await;
    let store = &world.store;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let new = run(app, deployment, Trigger::Manual { by: "admin".into() });
        ids.push(store.ensure_invocation(&new).await.unwrap().id);
        store.start_invocation(new.id, Timestamp::now()).await.unwrap();
    }
    let now = Timestamp::now();
    for phase in [InvocationPhase::Succeeded, InvocationPhase::Canceled] {
        store.end_invocation(ids[0], phase, now, None).await.unwrap();
    }
    let ended = store.invocation(ids[0]).await.unwrap().unwrap();
    assert_eq!(ended.phase, InvocationPhase::Succeeded);
    assert!(ended.started_at.is_some() && ended.completed_at == Some(now));
    let open = store.open_invocations(app).await.unwrap();
    assert_eq!(open.iter().map(|row| row.id).collect::<Vec<_>>(), ids[1..]);
    // What has not ended stays, however old.
    let forgotten = store.forget_invocations(app, "migrate", 0).await.unwrap();
    let forgotten: Vec<_> = forgotten.iter().map(|row| row.id).collect();
    assert_eq!(forgotten, ids[..1]);
}

/// Otherwise a due time that was acted upon would be due again.
#[tokio::test]
async fn the_last_run_of_a_schedule_is_not_forgotten() {
    let world = World::new().await;
    let (app, deployment) = world.app("shop").await;
    let store = &world.store;
    let mut due_at = Timestamp::UNIX_EPOCH;
    for hour in 0..3 {
        due_at = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(hour);
        let new = run(app, deployment, Trigger::Schedule { due_at });
        store.ensure_invocation(&new).await.unwrap();
        store
            .end_invocation(new.id, InvocationPhase::Succeeded, Timestamp::now(), None)
            .await
            .unwrap();
    }
    let by_hand = run(app, deployment, Trigger::Manual { by: "admin".into() });
    store.ensure_invocation(&by_hand).await.unwrap();
    let forgotten = store.forget_invocations(app, "migrate", 1).await.unwrap();
    assert_eq!(forgotten.len(), 2);
    assert_eq!(store.last_due(app).await.unwrap()["migrate"], due_at);
}

#[tokio::test]
async fn a_skipped_run_is_over_when_it_is_stored() {
    let world = World::new().await;
    let (app, deployment) = world.app("shop").await;
    let store = &world.store;
    let due_at = Timestamp::UNIX_EPOCH;
    let new = NewInvocation {
        skipped: true,
        note: Some("the run before goes on".to_owned()),
        ..run(app, deployment, Trigger::Schedule { due_at })
    };
    let row = store.ensure_invocation(&new).await.unwrap();
    assert_eq!(row.phase, InvocationPhase::Skipped);
    assert_eq!(row.completed_at, Some(new.created_at));
    assert_eq!(row.note, new.note);
    assert!(store.open_invocations(app).await.unwrap().is_empty());
    assert_eq!(store.last_due(app).await.unwrap()["migrate"], due_at);
    assert!(
        store.last_invocation(app, "migrate").await.unwrap().is_none(),
        "it did not run"
    );
}
