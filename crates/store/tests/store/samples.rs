//! What was measured of instances: looks of a day, means of two weeks, and nothing of an app that is gone.

use jiff::{SignedDuration, Timestamp};
use mainstay_spec::ids::AppId;
use mainstay_store::{NewSample, SampleRow};
use uuid::Uuid;

use crate::world::World;

const MINUTE: i64 = 60;
const QUARTER: i64 = 15 * MINUTE;
/// The beginning of a quarter of an hour.
const BEGIN: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn sample(app: AppId, ordinal: u32, cpu: Option<u32>, restarts: u32) -> NewSample {
    NewSample {
        app,
        component: "web".to_owned(),
        ordinal,
        cpu,
        memory: Some(2500),
        restarts,
    }
}

async fn read(world: &World, app: AppId, from: i64, to: i64, step: i64) -> Vec<SampleRow> {
    world
        .store
        .samples(app, None, (at(from), at(to)), step)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_step_has_the_mean_of_its_looks_and_the_most_restarts() {
    let world = World::new().await;
    let (shop, _) = world.app("shop").await;
    let (blog, _) = world.app("blog").await;
    let gone = AppId::from_uuid(Uuid::new_v4());
    for minute in 0..4 {
        let cpu = (minute > 0).then_some(u32::try_from(minute).unwrap() * 1000);
        let looked = [
            sample(shop, 0, cpu, 3),
            sample(shop, 1, None, 0),
            sample(blog, 0, Some(1), 0),
            sample(gone, 0, Some(1), 0),
        ];
        world
            .store
            .add_samples(at(BEGIN + minute * MINUTE), &looked)
            .await
            .unwrap();
    }
    let all = read(&world, shop, BEGIN, BEGIN + QUARTER, 2 * MINUTE).await;
    let shown: Vec<_> = all
        .iter()
        .map(|row| (row.ordinal, row.at.as_second() - BEGIN, row.cpu, row.restarts))
        .collect();
    let expected = [
        (0, MINUTE, Some(10.0), 3),
        (0, 3 * MINUTE, Some(25.0), 3),
        (1, MINUTE, None, 0),
        (1, 3 * MINUTE, None, 0),
    ];
    assert_eq!(shown, expected);
    assert!(all.iter().all(|row| row.memory == Some(25.0)));
    let one = read(&world, shop, BEGIN + MINUTE, BEGIN + MINUTE, 1).await;
    assert_eq!(one.len(), 2, "both ends are part of it");
    let other = world.store.samples(shop, Some("api"), (at(0), at(BEGIN * 2)), 1);
    assert_eq!(other.await.unwrap(), []);
    let within = (at(BEGIN - 1), at(BEGIN + 3 * MINUTE));
    let (cpu, memory) = world.store.mean_use(shop, "web", within).await.unwrap();
    assert_eq!((cpu.percent, cpu.minutes), (20.0, 3), "one look had none");
    assert_eq!((memory.percent, memory.minutes), (25.0, 4));
    let within = (at(BEGIN + MINUTE), at(BEGIN + 2 * MINUTE));
    let (cpu, _) = world.store.mean_use(shop, "web", within).await.unwrap();
    assert_eq!(
        (cpu.percent, cpu.minutes),
        (20.0, 1),
        "the beginning is not part of it"
    );
    let (cpu, _) = world.store.mean_use(shop, "api", within).await.unwrap();
    assert_eq!(cpu.minutes, 0);
}

#[tokio::test]
async fn what_is_older_than_a_day_becomes_means_and_then_nothing() {
    let world = World::new().await;
    let (app, _) = world.app("shop").await;
    for minute in 0..30 {
        let cpu = u32::try_from(minute).unwrap() * 100;
        world
            .store
            .add_samples(at(BEGIN + minute * MINUTE), &[sample(app, 0, Some(cpu), 7)])
            .await
            .unwrap();
    }
    // A day after the middle of the second quarter: the first is whole.
    let day = SignedDuration::from_hours(24);
    let now = at(BEGIN + QUARTER + 5 * MINUTE) + day;
    // A second time changes nothing.
    for _ in 0..2 {
        world.store.thin_samples(now, at(BEGIN)).await.unwrap();
    }
    let rows = read(&world, app, BEGIN, BEGIN + 2 * QUARTER, 1).await;
    assert_eq!(rows.len(), 1 + 15, "{rows:#?}");
    let first = &rows[0];
    assert_eq!(
        (first.at, first.cpu, first.restarts),
        (at(BEGIN + 14 * MINUTE), Some(7.0), 7)
    );
    assert_eq!(rows[1].cpu, Some(15.0));
    world
        .store
        .thin_samples(now + day, at(BEGIN + QUARTER))
        .await
        .unwrap();
    let rows = read(&world, app, BEGIN, BEGIN + 2 * QUARTER, 1).await;
    assert_eq!((rows.len(), rows[0].cpu), (1, Some(22.0)), "{rows:#?}");
    world.store.thin_samples(now + day, at(BEGIN * 2)).await.unwrap();
    assert_eq!(read(&world, app, 0, BEGIN * 2, 1).await, []);
}

#[tokio::test]
async fn a_place_has_its_newest_instance_and_goes_with_its_app() {
    let world = World::new().await;
    let store = &world.store;
    let (app, deployment) = world.app("shop").await;
    world.instance(app, deployment).await;
    let second = world.instance(app, deployment).await;
    assert_eq!(store.measured_places().await.unwrap(), [], "nothing serves yet");
    world.activate(deployment).await;
    let places = store.measured_places().await.unwrap();
    let shown: Vec<_> = places
        .iter()
        .map(|place| (place.instance, place.restarts, place.runs))
        .collect();
    assert_eq!(shown, [(second, 1, true)]);
    store.mark_instance_removed(second).await.unwrap();
    assert!(
        !store.measured_places().await.unwrap()[0].runs,
        "it has ended, and its place is there"
    );
    store
        .add_samples(at(BEGIN), &[sample(app, 0, Some(1), 1)])
        .await
        .unwrap();
    assert_eq!(read(&world, app, 0, BEGIN, 1).await.len(), 1);
    store.mark_app_deleting(app).await.unwrap();
    assert_eq!(store.measured_places().await.unwrap(), []);
    store.delete_app(app).await.unwrap();
    assert_eq!(read(&world, app, 0, BEGIN, 1).await, []);
}
