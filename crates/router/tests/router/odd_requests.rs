//! Requests that no well-behaved client sends, and what becomes of each: this table is the router's contract with attackers.

use std::fmt::Write;

use super::{
    app::OddApp,
    harness::{HOST, Router, endpoint, route, service, snapshot},
};

/// What a request is answered with, and what the app received of it.
fn outcome(request: &[u8]) -> (String, Option<String>) {
    let app = OddApp::start(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    let router = Router::start_with(
        snapshot(vec![route("/", service(vec![endpoint("web", app.address)]))]),
        &["--threads", "1", "--header-timeout-ms", "1000"],
    );
    let mut visitor = router.connect();
    visitor.send(request);
    let answers = String::from_utf8_lossy(&visitor.rest()).into_owned();
    let statuses: Vec<&str> = answers
        .lines()
        .filter_map(|line| line.strip_prefix("HTTP/1.1 ")?.split(' ').next())
        .collect();
    (statuses.join(" "), app.received_so_far())
}

#[test]
#[expect(clippy::too_many_lines, reason = "one flat table")]
fn the_table_of_odd_requests() {
    let long = "x".repeat(17 << 10);
    let many = (0..40).fold(String::new(), |mut lines, number| {
        let _ = write!(lines, "x-{number}: {}\r\n", "y".repeat(2_000));
        lines
    });
    let host = format!("Host: {HOST}\r\n");
    let cases = [
        (
            "two different lengths",
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            "400",
        ),
        (
            "a length with a sign",
            format!("POST / HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\na"),
            "400",
        ),
        (
            "an unknown transfer coding",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n"),
            "400",
        ),
        (
            "chunked not last",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked, identity\r\n\r\n"),
            "400",
        ),
        (
            "another coding before chunked",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            "501",
        ),
        (
            "chunked twice",
            format!(
                "POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            "501",
        ),
        (
            "chunked in HTTP/1.0",
            format!("POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "400",
        ),
        (
            "space before the colon",
            format!("GET / HTTP/1.1\r\n{host}X-A : b\r\n\r\n"),
            "400",
        ),
        (
            "a folded line",
            format!("GET / HTTP/1.1\r\n{host}X-A: b\r\n c\r\n\r\n"),
            "400",
        ),
        (
            "two hosts",
            format!("GET / HTTP/1.1\r\n{host}Host: b.test\r\n\r\n"),
            "400",
        ),
        (
            "the same host twice",
            format!("GET / HTTP/1.1\r\n{host}{host}\r\n"),
            "400",
        ),
        ("no host", "GET / HTTP/1.1\r\n\r\n".into(), "400"),
        ("no host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n".into(), ""),
        (
            "a host that is no name",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(),
            "400",
        ),
        (
            "a target with another host",
            format!("GET http://b.test/ HTTP/1.1\r\n{host}\r\n"),
            "400",
        ),
        (
            "a header line of 17 kB",
            format!("GET / HTTP/1.1\r\n{host}X-A: {long}\r\n\r\n"),
            "431",
        ),
        (
            "80 kB of headers",
            format!("GET / HTTP/1.1\r\n{host}{many}\r\n"),
            "431",
        ),
        (
            "a target of 17 kB",
            format!("GET /{long} HTTP/1.1\r\n{host}\r\n"),
            "431",
        ),
        ("TRACE", format!("TRACE / HTTP/1.1\r\n{host}\r\n"), "405"),
        (
            "CONNECT",
            format!("CONNECT {HOST}:443 HTTP/1.1\r\n{host}\r\n"),
            "405",
        ),
        (
            "a path above the root",
            format!("GET /../x HTTP/1.1\r\n{host}\r\n"),
            "400",
        ),
        (
            "an encoded way up",
            format!("GET /a/..%2fb HTTP/1.1\r\n{host}\r\n"),
            "400",
        ),
        (
            "a backslash way up",
            format!("GET /a/..%5cb HTTP/1.1\r\n{host}\r\n"),
            "400",
        ),
        (
            "no HTTP at all",
            "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".into(),
            "400",
        ),
    ];
    for (name, request, expected) in cases {
        // The answer to HTTP/1.0 is HTTP/1.0, which the filter for statuses leaves out.
        let (statuses, received) = outcome(request.as_bytes());
        assert_eq!(statuses, expected, "{name}");
        assert_eq!(received, None, "{name}: nothing of it may reach the app");
    }
}

#[test]
fn what_is_passed_on_has_one_meaning() {
    let host = format!("Host: {HOST}\r\n");
    let close = "Connection: close\r\n";
    let both = format!(
        "POST / HTTP/1.1\r\n{host}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    );
    let other_order = format!(
        "POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n1\r\na\r\n0\r\n\r\n"
    );
    for request in [both, other_order] {
        let smuggled = format!("{request}GET /smuggled HTTP/1.1\r\n{host}\r\n");
        let (statuses, received) = outcome(smuggled.as_bytes());
        let received = received.unwrap().to_ascii_lowercase();
        assert_eq!(statuses, "200", "one answer, then the connection ends");
        assert!(
            received.contains("transfer-encoding: chunked") && !received.contains("content-length"),
            "{received}"
        );
    }
    let cases = [
        (
            "dot segments",
            format!("GET //a/%2e%2e/b HTTP/1.1\r\n{host}{close}\r\n"),
            "GET /b HTTP/1.1\r\n",
        ),
        (
            "absolute form",
            format!("GET http://{HOST}/x?y HTTP/1.1\r\n{host}{close}\r\n"),
            "GET /x?y HTTP/1.1\r\n",
        ),
        (
            "bare line feeds",
            format!("GET /lf HTTP/1.1\nHost: {HOST}\nConnection: close\n\n"),
            "GET /lf HTTP/1.1\r\n",
        ),
        (
            "a named header",
            format!("GET / HTTP/1.1\r\n{host}Connection: close, X-Secret\r\nX-Secret: 1\r\n\r\n"),
            "GET / HTTP/1.1\r\n",
        ),
    ];
    for (name, request, line) in cases {
        let (statuses, received) = outcome(request.as_bytes());
        assert_eq!(statuses, "200", "{name}");
        let received = received.unwrap();
        assert!(received.starts_with(line), "{name}: {received}");
        assert!(
            !received.to_ascii_lowercase().contains("x-secret"),
            "{name}: {received}"
        );
    }
}

#[test]
fn pipelined_requests_get_their_answers_in_order() {
    let app = super::app::App::start("web");
    let router = Router::start(super::harness::served_by(&[&app]));
    let mut visitor = router.connect();
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    visitor.send([one("/1"), one("/2"), one("/3")].concat().as_bytes());
    for path in ["/1", "/2", "/3"] {
        assert_eq!(visitor.answer().text(), format!("web {path}"));
    }
    visitor.send([one("/4").as_str(), "garbage\r\n\r\n"].concat().as_bytes());
    assert_eq!(
        visitor.answer().text(),
        "web /4",
        "the answer before the garbage is not lost"
    );
    assert_eq!(visitor.answer().status, 400);
    assert!(visitor.is_closed());
}

#[test]
fn a_chunk_that_lies_about_its_size_ends_the_request() {
    let app = super::app::App::start("web");
    let router = Router::start(super::harness::served_by(&[&app]));
    let mut visitor = router.connect();
    visitor.request("POST", HOST, "/echo", &[("Transfer-Encoding", "chunked")]);
    visitor.send(b"zz\r\nlie\r\n0\r\n\r\n");
    let answer = String::from_utf8_lossy(&visitor.rest()).into_owned();
    assert!(!answer.contains("lie"), "{answer}");
}
