//! Accounts share nothing but the machine: names, lists, limits and hosts are their own.

use std::sync::Arc;

use jiff::Timestamp;
use mainstay_spec::{
    Domain,
    ids::{AccountId, AppId, UserId},
    usage::Resource,
};
use mainstay_store::{AppChange, NewDeployment, Removal, Store, StoreError, TokenRow, UserRow};
use uuid::Uuid;

use crate::world::{World, new};

fn some_app() -> AppId {
    AppId::from_uuid(Uuid::new_v4())
}

async fn account(store: &Store, name: &str) -> AccountId {
    let id = AccountId::from_uuid(Uuid::new_v4());
    assert!(store.insert_account(id, name, Timestamp::now()).await.unwrap());
    id
}

fn user(account: AccountId, email: &str, role: &str) -> UserRow {
    UserRow {
        id: UserId::from_uuid(Uuid::new_v4()),
        account,
        email: email.into(),
        name: email.into(),
        role: role.into(),
        created_at: Timestamp::UNIX_EPOCH,
        disabled_at: None,
    }
}

fn with_domain(app: AppId, name: &str, domain: &str) -> NewDeployment {
    let mut wish = new(app, name);
    wish.spec.domains.push(Domain {
        domain: domain.into(),
        ..Domain::default()
    });
    wish
}

#[tokio::test]
async fn a_name_is_taken_within_its_account_and_lists_are_apart() {
    let world = World::new().await;
    let store = &world.store;
    let acme = account(store, "acme").await;
    let (ours, _) = world.app("shop").await;
    let theirs = some_app();
    store.create_app(acme, &new(theirs, "shop")).await.unwrap();
    let again = store
        .create_app(acme, &new(some_app(), "shop"))
        .await
        .unwrap_err();
    assert!(matches!(again, StoreError::NameTaken { .. }), "{again}");
    for (account, app, other) in [(AccountId::FIRST, ours, theirs), (acme, theirs, ours)] {
        let (rows, total) = store.apps(account, 0, 10).await.unwrap();
        assert_eq!((rows.len(), rows[0].id, total), (1, app, 1));
        let named = store.app_by_name(account, "shop").await.unwrap().unwrap();
        assert_eq!((named.id, named.account), (app, account));
        assert!(store.has_app(account, app).await.unwrap());
        assert!(!store.has_app(account, other).await.unwrap());
        let names = store.names_beside(app).await.unwrap();
        assert_eq!(names.keys().collect::<Vec<_>>(), [&app]);
    }
    store.mark_app_deleting(theirs).await.unwrap();
    assert!(!store.has_app(acme, theirs).await.unwrap());
    assert_eq!(store.apps(acme, 0, 10).await.unwrap().1, 0);
    assert_eq!(store.apps(AccountId::FIRST, 0, 10).await.unwrap().1, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_creates_at_once_keep_each_accounts_own_limit() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("test.db")).await.unwrap();
    let store = Arc::new(store.with_limits([(Resource::Apps, 10)].into()));
    let acme = account(&store, "acme").await;
    store
        .set_account_limits(acme, &[(Resource::Apps, Some(7))])
        .await
        .unwrap();
    let creates: Vec<_> = (0..200)
        .map(|number| {
            let store = Arc::clone(&store);
            let account = if number % 2 == 0 { AccountId::FIRST } else { acme };
            let wish = new(some_app(), &format!("app-{number}"));
            tokio::spawn(async move { (account, store.create_app(account, &wish).await) })
        })
        .collect();
    for create in creates {
        match create.await.unwrap() {
            (_, Ok(())) => {}
            (account, Err(StoreError::LimitPassed(facts))) => {
                let limit = if account == acme { 7 } else { 10 };
                assert_eq!((facts.limit, facts.used, facts.asked), (limit, limit, 1));
            }
            (_, Err(error)) => panic!("{error:?}"),
        }
    }
    assert_eq!(store.apps(AccountId::FIRST, 0, 100).await.unwrap().1, 10);
    assert_eq!(store.apps(acme, 0, 100).await.unwrap().1, 7);
    let apps = async |account| {
        let uses = store.limits(account).await.unwrap();
        let apps = uses
            .into_iter()
            .find(|used| used.resource == Resource::Apps)
            .unwrap();
        (apps.used, apps.limit, apps.is_own)
    };
    assert_eq!(apps(acme).await, (7, Some(7), true));
    assert_eq!(apps(AccountId::FIRST).await, (10, Some(10), false));
    store
        .set_account_limits(acme, &[(Resource::Apps, None)])
        .await
        .unwrap();
    assert_eq!(apps(acme).await, (7, Some(10), false));
    store
        .create_app(acme, &new(some_app(), "one-more"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_host_is_its_who_has_it_first_as_long_as_a_spec_that_counts_has_it() {
    let world = World::new().await;
    let store = world.store.clone().with_domain("localhost").await.unwrap();
    let acme = account(&store, "acme").await;
    let (first, second) = (some_app(), some_app());
    let wish = with_domain(first, "shop", "www.example.com");
    store.create_app(AccountId::FIRST, &wish).await.unwrap();
    world.activate(wish.id).await;
    store.create_app(acme, &new(second, "shop")).await.unwrap();
    let suffix = store.app(second).await.unwrap().unwrap().host_suffix;
    assert_eq!(
        suffix,
        format!("-{}", &second.as_uuid().simple().to_string()[..5])
    );
    assert_eq!(store.app(first).await.unwrap().unwrap().host_suffix, "");
    let wants = |host: &str| with_domain(second, "shop", host);
    for taken in ["www.example.com", "WWW.example.com.", "shop.localhost"] {
        let refused = store.accept(&wants(taken), AppChange::Spec).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::HostTaken { .. }),
            "{taken}: {refused}"
        );
    }
    assert!(store.app(second).await.unwrap().unwrap().spec.domains.is_empty());

    // What serves still has it, whatever the app's spec says.
    let without = new(first, "shop");
    store.accept(&without, AppChange::Spec).await.unwrap();
    store
        .accept(&wants("www.example.com"), AppChange::Spec)
        .await
        .unwrap_err();
    world.activate(without.id).await;
    store
        .accept(&wants("www.example.com"), AppChange::Spec)
        .await
        .unwrap();
    let back = with_domain(first, "shop", "www.example.com");
    let refused = store.accept(&back, AppChange::Pin).await.unwrap_err();
    assert!(matches!(refused, StoreError::HostTaken { .. }), "{refused}");

    // An app that goes has none.
    store.mark_app_deleting(second).await.unwrap();
    store.accept(&back, AppChange::Spec).await.unwrap();
}

#[tokio::test]
async fn hosts_are_written_down_anew_when_the_domain_changes() {
    let world = World::new().await;
    let store = world.store.clone();
    let (older, newer) = (some_app(), some_app());
    store
        .create_app(AccountId::FIRST, &with_domain(older, "shop", "blog.example.com"))
        .await
        .unwrap();
    store
        .create_app(AccountId::FIRST, &new(newer, "blog"))
        .await
        .unwrap();
    // Now the younger one's own host is the other's domain.
    let store = store.with_domain("example.com").await.unwrap();
    let refused = store
        .accept(&new(newer, "blog"), AppChange::Nothing)
        .await
        .unwrap_err();
    let StoreError::HostTaken { host } = refused else {
        panic!("{refused}")
    };
    assert_eq!(host, "blog.example.com");
}

#[tokio::test]
async fn an_account_goes_once_it_has_no_app_and_its_users_go_with_it() {
    let world = World::new().await;
    let store = &world.store;
    let acme = account(store, "acme").await;
    assert!(
        !store
            .insert_account(some_id(), "acme", Timestamp::now())
            .await
            .unwrap()
    );
    let ann = user(acme, "ann@example.com", "owner");
    assert!(store.insert_user(&ann).await.unwrap());
    assert!(
        !store
            .insert_user(&user(acme, "ann@example.com", "member"))
            .await
            .unwrap()
    );
    let elsewhere = user(AccountId::FIRST, "ann@example.com", "member");
    assert!(store.insert_user(&elsewhere).await.unwrap());
    let token = TokenRow {
        id: "t".into(),
        user: ann.id,
        name: "t".into(),
        scope: "admin".into(),
        app: None,
        created_at: Timestamp::UNIX_EPOCH,
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    };
    assert!(store.insert_token(&token, "hash", 1).await.unwrap());
    let another = TokenRow {
        id: "u".into(),
        ..token.clone()
    };
    assert!(
        !store.insert_token(&another, "another hash", 1).await.unwrap(),
        "one is good, and one may be"
    );
    assert_eq!(store.tokens(acme).await.unwrap(), [token]);
    assert_eq!(store.tokens(AccountId::FIRST).await.unwrap(), []);
    assert!(
        !store
            .revoke_token(AccountId::FIRST, "t", Timestamp::now())
            .await
            .unwrap()
    );
    assert_eq!(store.token_by_hash("hash").await.unwrap().unwrap().1, ann);
    let deleted = store.delete_user(acme, ann.id, Timestamp::now()).await.unwrap();
    assert_eq!(deleted, Removal::InUse, "the token is good");
    let app = some_app();
    store.create_app(acme, &new(app, "shop")).await.unwrap();
    assert_eq!(store.delete_account(acme).await.unwrap(), Removal::InUse);
    store.delete_app(app).await.unwrap();
    assert_eq!(store.delete_account(acme).await.unwrap(), Removal::Done);
    assert_eq!(store.delete_account(acme).await.unwrap(), Removal::Unknown);
    assert!(store.token_by_hash("hash").await.unwrap().is_none());
    assert_eq!(
        store.delete_account(AccountId::FIRST).await.unwrap(),
        Removal::InUse
    );
    assert_eq!(store.accounts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_first_account_keeps_an_owner() {
    let world = World::new().await;
    let store = &world.store;
    let first = store.users(AccountId::FIRST).await.unwrap().remove(0);
    assert_eq!((first.id, first.role.as_str()), (UserId::FIRST, "owner"));
    let disabled = UserRow {
        disabled_at: Some(Timestamp::now()),
        ..first.clone()
    };
    assert_eq!(store.update_user(&disabled).await.unwrap(), Removal::InUse);
    let gone = async || {
        store
            .delete_user(AccountId::FIRST, UserId::FIRST, Timestamp::now())
            .await
            .unwrap()
    };
    assert_eq!(gone().await, Removal::InUse);
    let other = user(AccountId::FIRST, "ann@example.com", "owner");
    store.insert_user(&other).await.unwrap();
    assert_eq!(store.update_user(&disabled).await.unwrap(), Removal::Done);
    assert_eq!(gone().await, Removal::Done);
    assert_eq!(store.users(AccountId::FIRST).await.unwrap(), [other]);
}

fn some_id() -> AccountId {
    AccountId::from_uuid(Uuid::new_v4())
}
