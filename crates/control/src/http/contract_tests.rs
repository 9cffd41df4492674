//! Every operation of the original's description has a route, and none answers without a token.

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};
use mainstay_testkit::Place;
use serde_json::Value;

use super::test_client::ask;
use crate::system::World;

const CONTRACT: &str = include_str!("../../../../e2e/contract/openapi-apps.json");
const OPERATIONS: usize = 41;

/// Method and path, with every place in it filled in by the id of nothing.
fn operations() -> Vec<(Method, String)> {
    let contract: Value = serde_json::from_str(CONTRACT).expect("the contract is JSON");
    let paths = contract["paths"].as_object().expect("it has paths");
    let mut found = Vec::new();
    for (path, methods) in paths {
        let filled: Vec<&str> = path
            .split('/')
            .map(|part| {
                if part.starts_with('{') {
                    "00000000-0000-4000-8000-000000000000"
                } else {
                    part
                }
            })
            .collect();
        for method in methods.as_object().expect("methods").keys() {
            if let Ok(method) = method.to_uppercase().parse::<Method>() {
                found.push((method, filled.join("/")));
            }
        }
    }
    found
}

#[test]
fn every_operation_of_the_contract_has_a_route_behind_the_token() {
    let place = Place::claim();
    let world = World::new(place.address(3).port(), 0);
    let lived = world.live(async |server| {
        let application = &server.application;
        let token = application.first_token().await.expect("nothing is wrong");
        let token = token.expect("there was none");
        let operations = operations();
        assert_eq!(operations.len(), OPERATIONS);
        let mut missing = BTreeSet::new();
        for (method, path) in &operations {
            // Where there is no route nobody asks for a token; where only the method is missing, the right token finds out.
            let without = ask(application, method, path, None).await;
            let with = ask(application, method, path, Some(&token)).await;
            let wrong = ask(application, method, path, Some("mst_wrong")).await;
            let guarded = without == StatusCode::UNAUTHORIZED && wrong == StatusCode::UNAUTHORIZED;
            if !guarded || with == StatusCode::METHOD_NOT_ALLOWED || with.is_server_error() {
                missing.insert(format!("{method} {path}: {without}, with a token {with}"));
            }
        }
        assert!(missing.is_empty(), "{missing:#?}");
    });
    assert!(lived.is_some());
}
