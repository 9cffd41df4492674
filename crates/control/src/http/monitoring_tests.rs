//! What was measured is told in the shape of a Prometheus matrix, to those whose app it is.

use std::time::Duration;

use axum::{
    Router,
    http::{Method, StatusCode},
};
use mainstay_testkit::Place;
use serde_json::{Value, json};

use super::{
    accounts_tests::{operator, owner_of_another_account},
    test_client::send,
};
use crate::{
    metrics::Metrics,
    system::{Server, World},
};

const KINDS: [&str; 3] = ["cpu_percentage", "memory_percentage", "restart_count"];

/// Who asks, and what.
struct Asker<'a> {
    router: &'a Router,
    token: &'a str,
}

impl Asker<'_> {
    async fn asks(&self, kind: &str, query: &str) -> (StatusCode, Value) {
        let path = format!("/v2/monitoring/metrics/apps/{kind}?{query}");
        send(self.router, Method::GET, &path, self.token, &Value::Null).await
    }

    async fn is_refused(&self, query: &str) -> String {
        let (status, told) = self.asks("cpu_percentage", query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {told}");
        assert_eq!(told["id"], "bad_request");
        told["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// An empty matrix.
fn nothing() -> Value {
    json!({ "status": "success", "data": { "resultType": "matrix", "result": [] } })
}

#[test]
fn what_instances_use_is_told_as_a_matrix_of_their_places() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let token = operator(application).await;
        let router = super::router(application.clone());
        let us = Asker {
            router: &router,
            token: &token,
        };
        let app = server.serving_app().await;
        let now = application.now().as_second();
        let all = format!("app_id={app}&start=0&end={}", now + 3600);
        for kind in KINDS {
            assert_eq!(us.asks(kind, &all).await, (StatusCode::OK, nothing()));
        }
        look(server).await;
        for (kind, value) in KINDS.into_iter().zip(["37.00", "50.00", "0"]) {
            let (status, told) = us.asks(kind, &format!("{all}&app_component=web")).await;
            assert_eq!((status, &told["status"]), (StatusCode::OK, &json!("success")));
            let result = told["data"]["result"].as_array().expect("it is there");
            let names: Vec<&Value> = result
                .iter()
                .map(|series| &series["metric"]["app_component_instance"])
                .collect();
            assert_eq!(names, ["web-0", "web-1"], "{told}");
            let [series, _] = &result[..] else {
                panic!("{told}")
            };
            assert_eq!(
                (&series["metric"]["app_component"], &series["metric"]["app_uuid"]),
                (&json!("web"), &json!(app))
            );
            let values = series["values"].as_array().expect("it is there");
            let last = values.last().expect("there were two looks");
            assert!(last[0].as_i64().is_some_and(|at| at >= now), "{told}");
            assert_eq!(last[1], value, "{kind}: {told}");
            assert_eq!(
                us.asks(kind, &format!("{all}&app_component=api")).await.1,
                nothing()
            );
        }
        let before = format!("app_id={app}&start=0&end=1");
        assert_eq!(us.asks("restart_count", &before).await.1, nothing());
        // Another account's is not there.
        let (_, stranger) = owner_of_another_account(application).await;
        let they = Asker {
            router: &router,
            token: &stranger,
        };
        assert_eq!(they.asks("cpu_percentage", &all).await.0, StatusCode::NOT_FOUND);
    });
    assert!(lived.is_some(), "nothing kills this server");
}

/// Three looks at instances that use what is asserted. The first of a server has no use of the CPU.
async fn look(server: &Server<'_>) {
    server.world.instances_use(37, 512 << 20);
    let mut metrics = Metrics::default();
    for _ in 0..3 {
        metrics.look(&server.application).await.expect("nothing is wrong");
        server.world.clock_goes_on(Duration::from_mins(1));
    }
}

#[test]
fn what_cannot_be_a_time_is_refused_by_name() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let token = operator(application).await;
        let router = super::router(application.clone());
        let us = Asker {
            router: &router,
            token: &token,
        };
        let app = server.serving_app().await;
        let id = format!("app_id={app}");
        let rule = "it must be a time in seconds since 1970";
        for (query, message) in [
            (
                "start=1&end=2".to_owned(),
                "app_id is missing: it must be the id of an app".to_owned(),
            ),
            (format!("{id}&end=2"), format!("start is missing: {rule}")),
            (format!("{id}&start=1"), format!("end is missing: {rule}")),
            (
                format!("{id}&start=today&end=2"),
                format!("start is \"today\": {rule}"),
            ),
            (format!("{id}&start=-1&end=2"), format!("start is \"-1\": {rule}")),
            (
                format!("{id}&start=1&end=1e99"),
                format!("end is \"1e99\": {rule}"),
            ),
            (
                format!("{id}&start=3&end=2"),
                "end is 2: it must not be before start, which is 3".to_owned(),
            ),
        ] {
            assert_eq!(us.is_refused(&query).await, message);
        }
        let long = format!("{id}&start=1&end=2&app_component={}", "a".repeat(65));
        assert!(us.is_refused(&long).await.starts_with("app_component is longer"));
        let (status, _) = us.asks("cpu_percentage", "app_id=x&start=1&end=2").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    });
    assert!(lived.is_some(), "nothing kills this server");
}
