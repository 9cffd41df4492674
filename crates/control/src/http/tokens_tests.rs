//! An account has at most so many good tokens, and the API says so.

use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use mainstay_api::TokenScope;
use mainstay_spec::ids::AccountId;
use mainstay_store::TokenRow;
use mainstay_testkit::Place;
use serde_json::{Value, json};

use super::{
    accounts_tests::{operator, owner_of_another_account},
    test_client::send,
};
use crate::{app::Application, system::World};

/// As docs and changelog promise it, written down apart from the code that keeps to it.
const GOOD_MAX: u64 = 1000;

/// Gives the only user of the account tokens until it has `count`.
async fn fill(application: &Application, account: AccountId, count: u64) {
    let store = &application.platform.store;
    let users = application.users(account).await.expect("nothing is wrong");
    let had = application.tokens(account).await.expect("nothing is wrong").len() as u64;
    for number in had..count {
        let row = TokenRow {
            id: uuid::Uuid::new_v4().to_string(),
            user: users[0].id,
            name: format!("number {number}"),
            scope: TokenScope::Read.as_str().to_owned(),
            app: None,
            created_at: Timestamp::now(),
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        };
        let stored = store
            .insert_token(&row, &format!("hash of {number}"), GOOD_MAX)
            .await;
        assert!(stored.expect("nothing is wrong"), "number {number}");
    }
}

#[test]
fn the_token_above_the_most_is_refused_until_another_is_revoked() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let operator = operator(application).await;
        let (account, owner) = owner_of_another_account(application).await;
        fill(application, account, GOOD_MAX - 1).await;
        let router = super::router(application.clone());
        let make = async |token: &str| {
            let wish = json!({ "name": "one more", "scope": "read" });
            send(&router, Method::POST, "/v2/mainstay/tokens", token, &wish).await
        };
        let (status, last) = make(&owner).await;
        assert_eq!(status, StatusCode::OK, "{last}");

        let (status, told) = make(&owner).await;
        assert_eq!(
            (status, &told["id"], &told["message"]),
            (
                StatusCode::CONFLICT,
                &json!("conflict"),
                &json!("the account has 1000 tokens that are good, which is the most: revoke some first")
            ),
            "{told}"
        );
        let kept = application.tokens(account).await.expect("nothing is wrong");
        assert_eq!(kept.len() as u64, GOOD_MAX);
        let (status, told) = make(&operator).await;
        assert_eq!(status, StatusCode::OK, "another account has its own: {told}");

        let id = last["token"]["id"].as_str().expect("it was made");
        let path = format!("/v2/mainstay/tokens/{id}");
        let (status, told) = send(&router, Method::DELETE, &path, &owner, &Value::Null).await;
        assert!(status.is_success(), "{told}");
        let (status, told) = make(&owner).await;
        assert_eq!(status, StatusCode::OK, "{told}");
    });
    assert!(lived.is_some(), "nothing kills this server");
}
