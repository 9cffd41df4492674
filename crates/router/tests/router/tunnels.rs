//! Upgraded connections.

use super::{
    app::App,
    harness::{HOST, Router, served_by},
    raw::Raw,
};

pub(crate) fn open_tunnel(router: &Router) -> Raw {
    let mut visitor = router.connect();
    let answer = visitor.ask(
        "GET",
        HOST,
        "/ws",
        &[
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ],
    );
    assert_eq!(
        (answer.status, answer.header("upgrade")),
        (101, Some("websocket")),
        "{}",
        answer.head
    );
    assert_eq!(answer.header("connection"), Some("upgrade"));
    visitor
}

pub(crate) fn echo(tunnel: &mut Raw, bytes: &[u8]) {
    tunnel.send(bytes);
    assert_eq!(tunnel.exactly(bytes.len()), bytes);
}

#[test]
fn a_websocket_passes_bytes_both_ways_until_it_ends() {
    let app = App::start("web");
    let router = Router::start(served_by(&[&app]));
    let mut tunnel = open_tunnel(&router);
    echo(&mut tunnel, b"hello");
    echo(&mut tunnel, &vec![7; 300_000]);
    assert_eq!(app.last_seen().headers["sec-websocket-version"], ["13"]);
    let status = router.status();
    assert_eq!(
        (
            status.in_flight,
            status.connections,
            status.endpoints[0].in_flight
        ),
        (1, 1, 1)
    );
    drop(tunnel);
    router.wait_for("the tunnel is gone", |status| {
        status.in_flight == 0 && status.connections == 0
    });
}

#[test]
fn an_app_that_refuses_to_upgrade_answers_as_always() {
    let app = App::start("web");
    let router = Router::start(served_by(&[&app]));
    let mut visitor = router.connect();
    let refused = visitor.ask(
        "GET",
        HOST,
        "/teapot",
        &[("Connection", "Upgrade"), ("Upgrade", "websocket")],
    );
    assert_eq!(refused.status, 418);
    assert_eq!(visitor.get(HOST, "/").status, 200, "the connection goes on");
    let without = visitor.ask("GET", HOST, "/ws", &[("Upgrade", "websocket")]);
    assert_eq!(
        without.status, 426,
        "an Upgrade that Connection does not name is not passed on"
    );
}
