//! Changes under load: not one request may fail.

use std::time::{Duration, Instant};

use mainstay_router::control::{Answer, Request};
use mainstay_testkit::load::{Connections, Load, Visitors};

use super::{
    app::App,
    harness::{HOST, Router, served_by},
};

fn visitors(router: &Router) -> Visitors {
    Visitors::of(router.address, HOST)
}

/// Kept connections and new ones at once, started within the router's runtime.
fn mixed_load(router: &Router) -> [Load; 2] {
    let kept = visitors(router);
    let new = Visitors {
        connections: Connections::NewEachTime,
        count: 4,
        ..visitors(router)
    };
    router.block_on(async { [kept.start(), new.start()] })
}

fn stop(router: &Router, loads: impl IntoIterator<Item = Load>) -> u64 {
    let mut requests = 0;
    for load in loads {
        let report = router.block_on(load.stop());
        assert_eq!(report.failed(), 0, "{:?}", report.failures);
        requests += report.requests;
    }
    requests
}

#[test]
fn fifty_snapshots_a_second_lose_no_request() {
    let (one, two) = (App::start("one"), App::start("two"));
    let mut router = Router::start(served_by(&[&one]));
    let loads = mixed_load(&router);
    let started = Instant::now();
    let mut changes = 0_u32;
    while started.elapsed() < Duration::from_secs(2) {
        let app = if changes.is_multiple_of(2) { &two } else { &one };
        router.write(served_by(&[app]));
        changes += 1;
        std::thread::park_timeout((Duration::from_millis(20) * changes).saturating_sub(started.elapsed()));
    }
    let requests = stop(&router, loads);
    assert!(
        changes >= 50 && requests > 100,
        "{changes} changes, {requests} requests"
    );
    assert!(
        one.requests() > 0 && two.requests() > 0,
        "both apps were routed to"
    );
}

#[test]
fn a_switch_with_drain_and_stop_of_the_old_app_loses_no_request() {
    let mut old = App::start("app-0");
    let mut router = Router::start(served_by(&[&old]));
    let loads = mixed_load(&router);
    for number in 1..=8 {
        let new = App::start(&format!("app-{number}"));
        router.route(served_by(&[&new]));
        let drain = Request::Drain {
            endpoint: old.name.clone(),
            timeout_ms: 10_000,
        };
        assert_eq!(router.ask(drain), Answer::Done);
        // Ends the old app: a request that still went there would fail.
        old = new;
    }
    stop(&router, loads);
}

#[test]
fn hand_overs_under_load_lose_no_request() {
    let app = App::start("web");
    let router = Router::start_with(served_by(&[&app]), &["--linger-ms", "300"]);
    let mut slow = router.connect();
    slow.request("GET", HOST, "/gated", &[]);
    app.wait_until_arrived(1);
    let mut tunnel = super::tunnels::open_tunnel(&router);
    let mut loads = mixed_load(&router);
    let first = router.status().pid;
    for _ in 0..3 {
        let before = loads[0].requests();
        assert!(router.block_on(loads[0].reached(before + 200, Duration::from_secs(20))));
        let serving = router.status().pid;
        assert_eq!(router.ask(Request::HandOver), Answer::Done);
        assert_ne!(router.status().pid, serving);
    }
    router.wait_for("the processes without slow requests ended", |status| {
        status.draining == [first]
    });
    super::tunnels::echo(&mut tunnel, b"still here");
    app.open_gate(1);
    let answer = slow.answer();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    drop(tunnel);
    router.wait_for("the first process ended", |status| status.draining.is_empty());
    assert_eq!(router.status().worker_deaths_total, 0);
    stop(&router, loads);
}

#[test]
fn a_drain_counts_requests_in_the_replaced_process() {
    let (old, new) = (App::start("old"), App::start("new"));
    let mut router = Router::start(served_by(&[&old]));
    let mut slow = router.connect();
    slow.request("GET", HOST, "/gated", &[]);
    old.wait_until_arrived(1);
    assert_eq!(router.ask(Request::HandOver), Answer::Done);
    router.route(served_by(&[&new]));
    let drain = |timeout_ms| Request::Drain {
        endpoint: "old".into(),
        timeout_ms,
    };
    assert_eq!(router.ask(drain(50)), Answer::TimedOut { in_flight: 1 });
    old.open_gate(1);
    assert_eq!(slow.answer().status, 200);
    assert_eq!(router.ask(drain(10_000)), Answer::Done);
}

#[test]
fn a_killed_instance_costs_no_get_while_another_lives() {
    let (one, two) = (App::start("one"), App::start("two"));
    let router = Router::start(served_by(&[&one, &two]));
    let mut loads = mixed_load(&router);
    assert!(router.block_on(loads[0].reached(200, Duration::from_secs(20))));
    drop(two);
    let before = loads[0].requests();
    assert!(router.block_on(loads[0].reached(before + 200, Duration::from_secs(20))));
    stop(&router, loads);
}
