//! What the API tells of traffic is what the router counted.

use axum::http::{Method, StatusCode};
use jiff::{ToSpan, tz::TimeZone};
use mainstay_spec::ids::AccountId;
use mainstay_testkit::Place;
use serde_json::{Value, json};

use super::{
    accounts_tests::{operator, owner_of_another_account},
    test_client::send,
};
use crate::{server, system::World, traffic};

#[test]
fn the_bandwidth_of_a_day_is_what_was_collected_on_it() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let token = operator(application).await;
        let (_, stranger) = owner_of_another_account(application).await;
        let app = server.serving_app().await;
        let router = super::router(application.clone());
        let one = format!("/v2/apps/{app}/metrics/bandwidth_daily");
        let all = "/v2/apps/metrics/bandwidth_daily";
        let now = application.now();
        for bytes in [1000, 24] {
            world.visitors_are_sent(app, bytes);
            traffic::collect(&application.platform)
                .await
                .expect("the router answers");
        }
        let today = now.to_zoned(TimeZone::UTC).start_of_day().expect("in range");
        let body = json!({ "app_ids": [app], "date": now });
        let counted = json!({
            "app_bandwidth_usage": [{ "app_id": app, "bandwidth_bytes": "1024" }],
            "date": today.timestamp(),
        });
        let (status, told) = send(&router, Method::POST, all, &token, &body).await;
        assert_eq!((status, &told), (StatusCode::OK, &counted));
        let path = format!("{one}?date={now}");
        let (status, told) = send(&router, Method::GET, &path, &token, &Value::Null).await;
        assert_eq!((status, &told), (StatusCode::OK, &counted));
        // Without a date it is yesterday.
        let (_, told) = send(&router, Method::GET, &one, &token, &Value::Null).await;
        let yesterday = today.checked_sub(1.day()).expect("in range").timestamp();
        assert_eq!(told, json!({ "app_bandwidth_usage": [], "date": yesterday }));
        // Another account's app is as one that is not there.
        let (status, told) = send(&router, Method::POST, all, &stranger, &body).await;
        assert_eq!(
            (status, &told["app_bandwidth_usage"]),
            (StatusCode::OK, &json!([]))
        );
    });
    assert!(lived.is_some(), "nothing kills this server");
}

#[test]
fn traffic_that_cannot_be_stored_is_with_the_next_and_the_last_is_collected_at_the_end() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let app = world.live(async |server| {
        let platform = &server.application.platform;
        let app = server.serving_app().await;
        world.visitors_are_sent(app, 1000);
        world.refuse_next_commit();
        let refused = traffic::collect(platform).await;
        assert!(
            refused.is_err() && world.has_refused(),
            "nothing was to be stored"
        );
        world.visitors_are_sent(app, 24);
        server::end(platform).await;
        app
    });
    let app = app.expect("nothing kills this server");
    let counted = world.live(async |server| {
        let application = &server.application;
        let today = application.now().to_zoned(TimeZone::UTC).date();
        let bytes = application.traffic(AccountId::FIRST, &[app], today).await;
        bytes.expect("the store is there").remove(&app)
    });
    assert_eq!(counted, Some(Some(1024)));
}
