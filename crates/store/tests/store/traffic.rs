//! What visitors were sent, by app and day.

use jiff::{ToSpan, civil::date};
use mainstay_spec::ids::{AccountId, AppId};
use uuid::Uuid;

use super::world::World;

#[tokio::test]
async fn bytes_add_up_by_app_and_day_and_old_days_are_forgotten() {
    let world = World::new().await;
    let (shop, _) = world.app("shop").await;
    let (blog, _) = world.app("blog").await;
    let gone = AppId::from_uuid(Uuid::new_v4());
    let day = date(2026, 3, 1);
    let of = async |day| {
        let all = [shop, blog, gone];
        world.store.traffic(AccountId::FIRST, &all, day).await.unwrap()
    };
    let first = [(shop.to_string(), 5), (gone.to_string(), 7)].into();
    world.store.add_traffic(day, &first).await.unwrap();
    let second = [(shop.to_string(), 3), (blog.to_string(), 1)].into();
    world.store.add_traffic(day, &second).await.unwrap();
    let next = day.checked_add(1.day()).unwrap();
    world
        .store
        .add_traffic(next, &[(shop.to_string(), 9)].into())
        .await
        .unwrap();
    assert_eq!(of(day).await, [(shop, 8), (blog, 1)].into());
    assert_eq!(of(next).await, [(shop, 9)].into());
    let stranger = AccountId::from_uuid(Uuid::new_v4());
    let others = world.store.traffic(stranger, &[shop], day).await.unwrap();
    assert!(others.is_empty(), "another account's app has none");
    let later = day.checked_add(91.days()).unwrap();
    world.store.add_traffic(later, &[].into()).await.unwrap();
    assert!(of(day).await.is_empty());
    assert_eq!(of(next).await.len(), 1, "ninety days ago");
}
