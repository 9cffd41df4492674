//! Which component answers, and what visitors are told when none does.

use mainstay_router::snapshot::{Route, Snapshot, Target};

use super::{
    app::App,
    harness::{HOST, Router, endpoint, host, route, served_by, service, snapshot},
};

#[test]
fn host_and_longest_prefix_choose_the_component() {
    let (web, api, other) = (App::start("web"), App::start("api"), App::start("other"));
    let cut = Route {
        preserve_path_prefix: false,
        ..route("/api", service(vec![endpoint("api", api.address)]))
    };
    let rewritten = Route {
        rewrite: Some("/v2".into()),
        ..route("/old", service(vec![endpoint("api", api.address)]))
    };
    let mut routes = snapshot(vec![
        route("/", service(vec![endpoint("web", web.address)])),
        cut,
        rewritten,
    ]);
    let wild = host(vec![route("/", service(vec![endpoint("other", other.address)]))]);
    routes.hosts.insert("*.other.test".into(), wild);
    let router = Router::start(routes);
    let mut visitor = router.connect();
    let cases = [
        (HOST, "/", "web /"),
        ("SHOP.localhost:8080", "/x", "web /x"),
        ("shop.localhost.", "/apix", "web /apix"),
        (HOST, "/api", "api /"),
        (HOST, "/api/users?id=1", "api /users"),
        (HOST, "//api/users", "api /users"),
        (HOST, "/x/../api/users", "api /users"),
        (HOST, "/old/a", "api /v2/a"),
        ("a.b.other.test", "/", "other /"),
    ];
    for (host, path, answer) in cases {
        assert_eq!(visitor.get(host, path).text(), answer, "{host}{path}");
    }
    assert_eq!(visitor.get("other.test", "/").status, 404);
    visitor.get(HOST, "/old/a?q=a%20b");
    assert_eq!(api.last_seen().target, "/v2/a?q=a%20b", "the query stays");
}

#[test]
fn an_unknown_host_gets_the_platforms_page() {
    let router = Router::start(snapshot(vec![]));
    let mut visitor = router.connect();
    let page = visitor.ask("GET", "nobody.localhost", "/", &[("Accept", "text/html")]);
    assert_eq!(
        (page.status, page.header("mainstay-detail")),
        (404, Some("host_unknown"))
    );
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.text().contains("No app is served under this name."));
    let plain = visitor.get("nobody.localhost", "/");
    assert!(plain.header("content-type").unwrap().starts_with("text/plain"));
    assert!(plain.text().contains(plain.header("x-request-id").unwrap()));
    let json = visitor.ask("GET", HOST, "/", &[("Accept", "application/json")]);
    let value: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(value["id"], "route_unknown");
    let head = visitor.ask("HEAD", "nobody.localhost", "/", &[]);
    assert_eq!(head.status, 404);
}

#[test]
fn a_service_without_instances_tells_the_code() {
    let router = Router::start(snapshot(vec![route("/", service(vec![]))]));
    let answer = router.connect().ask("GET", HOST, "/", &[("Accept", "text/html")]);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("mainstay-reason"), Some("ContainerExitNonZero"));
    assert!(answer.text().contains("web ended with exit code 3."));
    assert_eq!(router.status().refusals_total["unavailable"], 1);
}

#[test]
fn a_candidate_is_reached_by_its_key_only() {
    let (live, candidate) = (App::start("live"), App::start("candidate"));
    let mut routes = served_by(&[&live]);
    let waiting = host(vec![route(
        "/",
        service(vec![endpoint("candidate", candidate.address)]),
    )]);
    routes.candidates.insert("key-1".into(), waiting);
    let router = Router::start(routes);
    let mut visitor = router.connect();
    assert_eq!(visitor.get(HOST, "/").text(), "live /");
    let probed = visitor.ask("GET", HOST, "/health", &[("Mainstay-Candidate", "key-1")]);
    assert_eq!(probed.text(), "candidate /health");
    assert!(!candidate.last_seen().headers.contains_key("mainstay-candidate"));
    let unknown = visitor.ask("GET", HOST, "/", &[("Mainstay-Candidate", "key-2")]);
    assert_eq!(
        (unknown.status, unknown.header("mainstay-detail")),
        (404, Some("candidate_unknown"))
    );
    assert_eq!(live.requests(), 1);
}

#[test]
fn redirects_keep_what_the_rule_does_not_name() {
    let rule = Target::Redirect {
        scheme: Some("https".into()),
        authority: Some("www.shop.test".into()),
        port: None,
        path: None,
        status: 308,
    };
    let router = Router::start(snapshot(vec![route("/", rule)]));
    let answer = router.connect().get(HOST, "/a/b?c=d");
    assert_eq!(
        (answer.status, answer.header("location")),
        (308, Some("https://www.shop.test/a/b?c=d"))
    );
}

#[test]
fn an_empty_snapshot_or_none_is_no_crash() {
    let router = Router::start(Snapshot::default());
    assert_eq!(router.connect().get(HOST, "/").status, 404);
}
