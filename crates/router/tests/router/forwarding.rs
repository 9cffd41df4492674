//! What reaches the app, what comes back, and what happens when the app does not answer.

use std::time::Instant;

use mainstay_router::snapshot::{Protocol, Target};

use super::{
    app::{App, DyingApp, OddApp, dead_address},
    harness::{HOST, Router, endpoint, route, served_by, service, snapshot},
};

fn service_at(address: std::net::SocketAddr) -> mainstay_router::snapshot::Snapshot {
    snapshot(vec![route("/", service(vec![endpoint("web-1", address)]))])
}

#[test]
fn the_app_learns_who_asked_and_under_which_name() {
    let app = App::start("web");
    let router = Router::start(served_by(&[&app]));
    let mut visitor = router.connect();
    let answer = visitor.ask(
        "GET",
        "Shop.localhost:8080",
        "/x",
        &[
            ("X-Forwarded-For", "203.0.113.9"),
            ("Connection", "keep-alive, X-Internal"),
            ("X-Internal", "1"),
            ("do-connecting-ip", "1.1.1.1"),
        ],
    );
    let seen = app.last_seen();
    let one = |name: &str| seen.headers.get(name).map(|values| values.join("|"));
    assert_eq!(one("x-forwarded-for").as_deref(), Some("203.0.113.9, 127.0.0.1"));
    assert_eq!(one("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(one("x-forwarded-host").as_deref(), Some("Shop.localhost:8080"));
    assert_eq!(one("host").as_deref(), Some("Shop.localhost:8080"));
    assert_eq!(one("do-connecting-ip").as_deref(), Some("127.0.0.1"));
    assert_eq!(one("x-internal"), None);
    assert_eq!(one("x-request-id").as_deref(), answer.header("x-request-id"));
    assert_eq!(answer.header("x-request-id").unwrap().len(), 32);

    let named = visitor.ask("GET", HOST, "/x", &[("X-Request-Id", "mine-1")]);
    assert_eq!(named.header("x-request-id"), Some("mine-1"));
    assert_eq!(app.last_seen().headers["x-request-id"], ["mine-1"]);
}

#[test]
fn answers_pass_unchanged_but_for_the_routers_own_headers() {
    let app = App::start("web");
    let router = Router::start(served_by(&[&app]));
    let mut visitor = router.connect();
    assert_eq!(visitor.get(HOST, "/teapot").status, 418);
    assert_eq!(visitor.get(HOST, "/empty").status, 204);
    assert_eq!(visitor.get(HOST, "/spoof").header("mainstay-reason"), None);
    let closing = visitor.get(HOST, "/close");
    assert_eq!(
        closing.header("connection"),
        None,
        "the app's connection is not the visitor's"
    );
    let head = visitor.ask("HEAD", HOST, "/sized?100", &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("100")));
    let large = visitor.get(HOST, "/sized?3000000");
    assert_eq!(large.body.len(), 3_000_000);
}

#[test]
fn connections_to_the_app_are_used_again() {
    let app = App::start("web");
    let router = Router::start_with(served_by(&[&app]), &["--threads", "1"]);
    let mut visitor = router.connect();
    for _ in 0..20 {
        assert_eq!(visitor.get(HOST, "/").status, 200);
    }
    assert_eq!(app.connections(), 1);
    drop(router.connect().get(HOST, "/"));
    assert_eq!(app.connections(), 1, "visitors share connections");
}

#[test]
fn pieces_pass_both_ways_before_the_body_ends() {
    let app = App::start("web");
    let router = Router::start(served_by(&[&app]));

    let mut visitor = router.connect();
    visitor.request("GET", HOST, "/stream", &[]);
    assert!(visitor.head().starts_with("HTTP/1.1 200"));
    assert_eq!(visitor.chunk(), b"first");
    app.open_gate(1);
    assert_eq!(visitor.chunk(), b"second");
    assert!(visitor.chunk().is_empty());

    visitor.request("POST", HOST, "/upload", &[("Transfer-Encoding", "chunked")]);
    visitor.send(b"5\r\nhello\r\n");
    assert!(visitor.head().starts_with("HTTP/1.1 200"));
    assert_eq!(
        visitor.chunk(),
        b"5\n",
        "the app answers while the body is still being sent"
    );
    visitor.send(b"3\r\nyou\r\n0\r\n\r\n");
    assert_eq!(visitor.chunk(), b"3\n");
    assert!(visitor.chunk().is_empty());
}

#[test]
fn an_early_end_of_an_answer_is_seen_by_the_visitor() {
    let app = OddApp::start(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this");
    let router = Router::start(service_at(app.address));
    let mut visitor = router.connect();
    visitor.request("GET", HOST, "/", &[]);
    assert!(visitor.head().starts_with("HTTP/1.1 200"));
    assert_eq!(
        visitor.rest(),
        b"only this",
        "the connection ends instead of pretending to be complete"
    );
}

#[test]
fn failures_of_the_app_have_a_status_and_a_name() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let cases = [
        (dead_address(), 502, "upstream_refused"),
        (OddApp::start(b"").address, 502, "upstream_closed"),
        (
            OddApp::start(b"this is no HTTP\r\n\r\n").address,
            502,
            "upstream_invalid",
        ),
        (
            OddApp::start(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")
                .address,
            502,
            "upstream_invalid",
        ),
        (silent.local_addr().unwrap(), 504, "upstream_silent"),
    ];
    for (address, status, detail) in cases {
        let router = Router::start_with(service_at(address), &["--answer-timeout-ms", "300"]);
        let answer = router
            .connect()
            .ask("POST", HOST, "/", &[("Content-Length", "0")]);
        assert_eq!(
            (answer.status, answer.header("mainstay-detail")),
            (status, Some(detail))
        );
        assert_eq!(
            answer.header("mainstay-reason"),
            None,
            "the router knows no code of the reference here"
        );
        assert_eq!(router.status().refusals_total[detail], 1);
    }
}

#[test]
fn the_answer_limit_counts_from_the_last_piece_of_the_body() {
    let app = App::start("web");
    let router = Router::start_with(served_by(&[&app]), &["--answer-timeout-ms", "1000"]);
    let mut visitor = router.connect();
    visitor.request("POST", HOST, "/gated", &[("Content-Length", "12")]);
    app.wait_until_arrived(1);
    let started = Instant::now();
    // Twelve pieces, each later than the one before: together longer than the limit.
    for _ in 0..12 {
        std::thread::park_timeout(std::time::Duration::from_millis(150));
        visitor.send(b"x");
    }
    assert!(started.elapsed().as_millis() > 1000);
    app.open_gate(1);
    assert_eq!(visitor.answer().status, 200);
}

#[test]
fn a_dead_instance_costs_no_request_while_another_lives() {
    let app = App::start("web-2");
    let routes = snapshot(vec![route(
        "/",
        service(vec![
            endpoint("web-1", dead_address()),
            endpoint("web-2", app.address),
        ]),
    )]);
    let router = Router::start(routes);
    for _ in 0..10 {
        let mut visitor = router.connect();
        assert_eq!(
            visitor
                .ask("POST", HOST, "/echo", &[("Content-Length", "0")])
                .status,
            200
        );
        assert_eq!(visitor.get(HOST, "/").text(), "web-2 /");
    }
    let status = router.status();
    let dead = status
        .endpoints
        .iter()
        .find(|load| load.endpoint == "web-1")
        .unwrap();
    assert!(
        dead.failures_total >= 1 && dead.failures_total < 20,
        "it is avoided after a failure: {dead:?}"
    );
}

/// It has the fewest requests, and its listener takes connections for a moment more: still, a GET that it lost goes to the other one.
#[test]
fn what_a_dying_instance_lost_is_asked_of_another() {
    let (dying, app) = (DyingApp::start(), App::start("web-2"));
    let mut router = Router::start_with(served_by(&[&app]), &["--threads", "1"]);
    let mut busy = router.connect();
    busy.request("GET", HOST, "/gated", &[]);
    app.wait_until_arrived(1);
    router.route(snapshot(vec![route(
        "/",
        service(vec![
            endpoint("web-1", dying.address),
            endpoint("web-2", app.address),
        ]),
    )]));
    let mut visitor = router.connect();
    assert_eq!(visitor.get(HOST, "/").text(), "dying");
    let answer = visitor.get(HOST, "/");
    assert_eq!((answer.status, answer.text()), (200, "web-2 /".to_owned()));
    app.open_gate(1);
    assert_eq!(busy.answer().status, 200);
}

#[test]
fn what_may_have_happened_is_not_asked_twice() {
    let (lost, app) = (OddApp::start(b""), App::start("web-2"));
    let routes = snapshot(vec![route(
        "/",
        service(vec![
            endpoint("web-1", lost.address),
            endpoint("web-2", app.address),
        ]),
    )]);
    let router = Router::start_with(routes, &["--threads", "1"]);
    let mut posts = Vec::new();
    for _ in 0..4 {
        posts.push(
            router
                .connect()
                .ask("POST", HOST, "/echo", &[("Content-Length", "0")])
                .status,
        );
    }
    assert!(
        posts.contains(&502),
        "a POST that reached the app is not sent to another one: {posts:?}"
    );
    let received = lost.received();
    assert!(received.starts_with("POST /echo"), "{received}");
    for _ in 0..4 {
        assert_eq!(router.connect().get(HOST, "/").status, 200, "a GET is");
    }
}

#[test]
fn an_instance_that_is_full_is_not_given_more() {
    let app = App::start("web");
    let router = Router::start_with(served_by(&[&app]), &["--in-flight-per-endpoint-max", "1"]);
    let mut slow = router.connect();
    slow.request("GET", HOST, "/gated", &[]);
    app.wait_until_arrived(1);
    let refused = router.connect().get(HOST, "/");
    assert_eq!(
        (refused.status, refused.header("mainstay-detail")),
        (503, Some("endpoint_saturated"))
    );
    app.open_gate(1);
    assert_eq!(slow.answer().status, 200);
    assert_eq!(router.connect().get(HOST, "/").status, 200);
}

#[test]
fn http2_apps_are_asked_over_one_connection() {
    let app = App::start_http2("grpc");
    let Target::Service {
        endpoints,
        unavailable,
        ..
    } = service(vec![endpoint("grpc", app.address)])
    else {
        panic!("a service")
    };
    let target = Target::Service {
        endpoints,
        unavailable,
        protocol: Protocol::Http2,
    };
    let router = Router::start_with(snapshot(vec![route("/", target)]), &["--threads", "1"]);
    let mut visitors: Vec<_> = (0..5).map(|_| router.connect()).collect();
    for visitor in &mut visitors {
        assert_eq!(visitor.get(HOST, "/a?b=c").text(), "grpc /a");
    }
    visitors[0].request("POST", HOST, "/echo", &[("Transfer-Encoding", "chunked")]);
    visitors[0].send(b"5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(visitors[0].answer().text(), "hello");
    assert_eq!(app.connections(), 1);
    assert_eq!(app.last_seen().target, format!("http://{HOST}/echo"));
}

#[test]
fn the_access_log_tells_each_request_without_its_query() {
    let app = App::start("web");
    let mut router = Router::start(served_by(&[&app]));
    router
        .connect()
        .ask("GET", HOST, "/x?token=secret", &[("X-Request-Id", "id-1")]);
    router.connect().get("nobody.localhost", "/y");
    super::harness::terminate(router.supervisor.id());
    router.supervisor.wait().unwrap();
    let text = std::fs::read_to_string(router.log_path()).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{text}");
    let first = lines.iter().find(|line| line["request_id"] == "id-1").unwrap();
    assert_eq!(
        (&first["host"], &first["path"], &first["status"]),
        (&HOST.into(), &"/x".into(), &200.into())
    );
    assert_eq!((&first["endpoint"], &first["bytes"]), (&"web".into(), &6.into()));
    assert!(lines.iter().any(|line| line["detail"] == "host_unknown"));
    assert!(!text.contains("secret"));
}
