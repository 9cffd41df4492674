//! Draining one instance, and waiting for a version.

use mainstay_router::control::{Answer, Request};

use super::{
    app::App,
    harness::{HOST, Router, served_by},
    tunnels::{echo, open_tunnel},
};

fn drain(endpoint: &str, timeout_ms: u64) -> Request {
    Request::Drain {
        endpoint: endpoint.into(),
        timeout_ms,
    }
}

#[test]
fn a_drain_waits_for_the_slow_request_and_the_tunnel() {
    let (old, new) = (App::start("old"), App::start("new"));
    let mut router = Router::start(served_by(&[&old]));
    let mut slow = router.connect();
    slow.request("GET", HOST, "/gated", &[]);
    old.wait_until_arrived(1);
    let mut tunnel = open_tunnel(&router);

    router.route(served_by(&[&new]));
    assert_eq!(router.connect().get(HOST, "/").text(), "new /");
    assert_eq!(router.ask(drain("old", 50)), Answer::TimedOut { in_flight: 2 });
    echo(&mut tunnel, b"still here");

    let control = router.control();
    let drained = router.spawn(async move { control.ask(drain("old", 20_000)).await });
    old.open_gate(1);
    assert_eq!(slow.answer().status, 200);
    assert_eq!(router.ask(drain("old", 50)), Answer::TimedOut { in_flight: 1 });
    drop(tunnel);
    assert_eq!(router.block_on(drained).unwrap().unwrap(), Answer::Done);
    assert_eq!(router.ask(drain("old", 0)), Answer::Done, "and stays drained");
}

#[test]
fn idle_connections_to_a_drained_instance_are_closed() {
    let (old, new) = (App::start("old"), App::start("new"));
    let mut router = Router::start(served_by(&[&old]));
    assert_eq!(router.connect().get(HOST, "/").text(), "old /");
    router.route(served_by(&[&new]));
    assert_eq!(router.ask(drain("old", 10_000)), Answer::Done);
    // The instance would wait for idle connections at its end; the kernel's table shows that there are none.
    super::harness::wait_until("no connection to the old instance is left", || {
        !is_connected_to(old.address.port())
    });
}

fn is_connected_to(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!("0100007F:{port:04X}");
    let established = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(2) == Some(&remote.as_str()) && fields.get(3) == Some(&"01")
    };
    table.lines().skip(1).any(established)
}

#[test]
fn what_is_still_routed_cannot_be_drained() {
    let app = App::start("web");
    let router = Router::start(served_by(&[&app]));
    let refused = router
        .block_on(router.control().ask(drain("web", 1_000)))
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("endpoint `web` is still in the routes"),
        "{refused}"
    );
    assert_eq!(router.ask(drain("never-seen", 1_000)), Answer::Done);
}

#[test]
fn waiting_for_a_version_ends_when_it_is_in_force_or_the_time_is_over() {
    let app = App::start("web");
    let mut router = Router::start(served_by(&[&app]));
    let wait = |version, timeout_ms| Request::WaitForVersion { version, timeout_ms };
    assert_eq!(router.ask(wait(1, 1_000)), Answer::Done);
    assert_eq!(router.ask(wait(2, 30)), Answer::TimedOut { in_flight: 0 });
    let control = router.control();
    let waiting = router.spawn(async move { control.ask(wait(2, 10_000)).await });
    router.write(served_by(&[&app]));
    assert_eq!(router.block_on(waiting).unwrap().unwrap(), Answer::Done);
}
