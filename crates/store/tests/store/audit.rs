//! The log of changes is bounded.

use jiff::{SignedDuration, Timestamp};
use mainstay_spec::ids::AccountId;
use mainstay_store::NewAuditEntry;

use crate::world::World;

fn entry(at: Timestamp) -> NewAuditEntry {
    NewAuditEntry {
        at,
        account: AccountId::FIRST,
        user: "u".into(),
        user_name: "somebody@example.com".into(),
        token: "t".into(),
        token_name: "name".into(),
        action: String::new(),
        app: None,
        status: 200,
        origin: String::new(),
    }
}

#[tokio::test]
async fn old_entries_go_and_then_all_but_the_newest() {
    let world = World::new().await;
    let start = Timestamp::from_second(1_000_000).unwrap();
    let at = |hours: i64| start + SignedDuration::from_hours(hours);
    for hours in 0..10 {
        let entry = NewAuditEntry {
            action: format!("POST {hours}"),
            ..entry(at(hours))
        };
        world.store.add_audit(&entry).await.unwrap();
    }
    let left = async || {
        let (rows, total) = world.store.audit(AccountId::FIRST, 0, 100).await.unwrap();
        assert_eq!(rows.len() as u64, total);
        rows.into_iter().map(|row| row.entry.action).collect::<Vec<_>>()
    };
    assert_eq!(world.store.forget_audit(at(0), 10).await.unwrap(), 0);
    assert_eq!(world.store.forget_audit(at(3), 100).await.unwrap(), 3);
    assert_eq!(left().await.last().unwrap(), "POST 3");
    // What others do counts for them alone.
    let acme = AccountId::from_uuid(uuid::Uuid::from_u128(7));
    for hours in 10..20 {
        let entry = NewAuditEntry {
            account: acme,
            ..entry(at(hours))
        };
        world.store.add_audit(&entry).await.unwrap();
    }
    assert_eq!(world.store.forget_audit(at(0), 7).await.unwrap(), 3);
    assert_eq!(left().await.len(), 7);
    assert_eq!(world.store.audit(acme, 0, 100).await.unwrap().1, 7);
    assert_eq!(world.store.forget_audit(at(0), 2).await.unwrap(), 10);
    assert_eq!(left().await, ["POST 9", "POST 8"]);
}
