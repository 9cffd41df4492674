//! Headers on their way to the app and back.

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const CANDIDATE: HeaderName = HeaderName::from_static("mainstay-candidate");
const REASON: HeaderName = HeaderName::from_static("mainstay-reason");
const DETAIL: HeaderName = HeaderName::from_static("mainstay-detail");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const CONNECTING_ADDRESS: HeaderName = HeaderName::from_static("do-connecting-ip");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Headers that a request has on its way to an app and need not have had before.
const HEADERS_ADDED: usize = 5;

/// What the connection tells about the visitor, formatted once per connection.
#[derive(Debug)]
pub struct Visitor {
    pub address_text: HeaderValue,
}

impl Visitor {
    pub fn new(address: std::net::IpAddr) -> Self {
        let address = address.to_canonical();
        let address_text = HeaderValue::from_str(&address.to_string()).expect("an address is plain ASCII");
        Self { address_text }
    }
}

/// Which headers there are that a proxy has to care for: seen in one pass, because each look-up by name costs a hash.
#[derive(Debug, Default, Clone, Copy)]
pub struct Headers {
    pub hosts: usize,
    pub transfer_encoding: bool,
    connection: bool,
    upgrade: bool,
    te: bool,
    expect: bool,
    forwarded_for: bool,
    /// Others that concern one connection only.
    hop_by_hop: bool,
    /// Headers that only the router may set.
    ours: bool,
}

impl Headers {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        // A name comes once with each of its values.
        for (name, _) in headers {
            seen.note(name);
        }
        seen
    }

    fn note(&mut self, name: &HeaderName) {
        match name.as_str() {
            "host" => self.hosts += 1,
            "transfer-encoding" => self.transfer_encoding = true,
            "connection" => self.connection = true,
            "upgrade" => self.upgrade = true,
            "te" => self.te = true,
            "expect" => self.expect = true,
            "x-forwarded-for" => self.forwarded_for = true,
            "keep-alive" | "proxy-connection" | "proxy-authenticate" => self.hop_by_hop = true,
            "mainstay-reason" | "mainstay-detail" => self.ours = true,
            _ => {}
        }
    }
}

/// What the app is told about where a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'r> {
    pub visitor: &'r Visitor,
    pub host: &'r HeaderValue,
    pub request_id: &'r HeaderValue,
}

/// Turns the visitor's headers into those for the app. Returns the protocol that the visitor wants to upgrade to.
pub fn prepare_request(
    headers: &mut HeaderMap,
    seen: &Headers,
    version: Version,
    origin: &Origin<'_>,
) -> Option<HeaderValue> {
    let upgrade = if seen.upgrade {
        wanted_upgrade(headers, version)
    } else {
        None
    };
    let takes_trailers = seen.te
        && headers
            .get(header::TE)
            .is_some_and(|te| contains_token(te, "trailers"));
    remove_hop_by_hop(headers, seen);
    if seen.expect {
        // The body is passed on as soon as it comes; hyper has answered this by then.
        headers.remove(header::EXPECT);
    }
    if let Some(protocol) = &upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    // Grown once: a map that grows hashes all of its headers again.
    headers.reserve(HEADERS_ADDED);
    let address = &origin.visitor.address_text;
    let chain = if seen.forwarded_for {
        longer_chain(headers, address)
    } else {
        address.clone()
    };
    headers.insert(FORWARDED_FOR, chain);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(FORWARDED_HOST, origin.host.clone());
    headers.insert(CONNECTING_ADDRESS, address.clone());
    headers.insert(REQUEST_ID, origin.request_id.clone());
    upgrade
}

/// Turns the app's headers into those for the visitor. Only the router speaks of reasons.
pub fn prepare_response(headers: &mut HeaderMap, is_upgrade: bool) {
    let seen = Headers::of(headers);
    let upgrade = headers.get(header::UPGRADE).filter(|_| is_upgrade).cloned();
    remove_hop_by_hop(headers, &seen);
    if seen.ours {
        headers.remove(REASON);
        headers.remove(DETAIL);
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
}

/// A visitor's own request id is kept when it cannot confuse a log.
pub fn acceptable_request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(&REQUEST_ID)?;
    let harmless = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'=' | b'+' | b'/')
    };
    ((1..=128).contains(&id.len()) && id.as_bytes().iter().all(harmless)).then(|| id.clone())
}

fn wanted_upgrade(headers: &HeaderMap, version: Version) -> Option<HeaderValue> {
    let protocol = headers.get(header::UPGRADE)?;
    let asks = headers
        .get_all(header::CONNECTION)
        .iter()
        .any(|value| contains_token(value, "upgrade"));
    let is_h2c = protocol.as_bytes().eq_ignore_ascii_case(b"h2c");
    (version == Version::HTTP_11 && asks && !is_h2c).then(|| protocol.clone())
}

/// The visitor's own chain, with its address at the end.
fn longer_chain(headers: &HeaderMap, address: &HeaderValue) -> HeaderValue {
    let earlier = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
    let chain = earlier
        .chain([address.as_bytes()])
        .collect::<Vec<_>>()
        .join(&b", "[..]);
    HeaderValue::from_bytes(&chain).unwrap_or_else(|_| address.clone())
}

/// RFC 9110, section 7.6.1: what concerns one connection only, including what `Connection` names.
fn remove_hop_by_hop(headers: &mut HeaderMap, seen: &Headers) {
    if seen.connection {
        remove_nominated(headers);
        headers.remove(header::CONNECTION);
    }
    if seen.hop_by_hop || seen.te || seen.upgrade {
        for name in [
            KEEP_ALIVE,
            PROXY_CONNECTION,
            header::TE,
            header::UPGRADE,
            header::PROXY_AUTHENTICATE,
        ] {
            headers.remove(name);
        }
    }
}

fn remove_nominated(headers: &mut HeaderMap) {
    let connection: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    for token in connection
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
    {
        if is_option(token) {
            continue;
        }
        let Ok(name) = HeaderName::from_bytes(token.as_bytes()) else {
            continue;
        };
        // Nobody may take away what routing and framing rest on.
        if ![header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&name) {
            headers.remove(name);
        }
    }
}

/// About the connection itself: nearly every client and server says one of these, and there is no such header or it is removed anyway.
fn is_option(token: &str) -> bool {
    ["keep-alive", "close"]
        .iter()
        .any(|option| token.eq_ignore_ascii_case(option))
}

fn contains_token(value: &HeaderValue, token: &str) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn prepared(lines: &[(&'static str, &'static str)]) -> (HeaderMap, Option<HeaderValue>) {
        let mut headers = headers(lines);
        let visitor = Visitor::new([192, 0, 2, 7].into());
        let host = HeaderValue::from_static("a.test:8080");
        let id = HeaderValue::from_static("id");
        let seen = Headers::of(&headers);
        let origin = Origin {
            visitor: &visitor,
            host: &host,
            request_id: &id,
        };
        let upgrade = prepare_request(&mut headers, &seen, Version::HTTP_11, &origin);
        (headers, upgrade)
    }

    #[test]
    fn headers_named_in_connection_are_removed() {
        let (headers, _) = prepared(&[
            ("host", "a.test"),
            ("connection", "close, X-Secret, host"),
            ("connection", "x-forwarded-for"),
            ("x-secret", "1"),
            ("x-forwarded-for", "203.0.113.9"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("cookie", "a=1"),
        ]);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        let expected = [
            "cookie",
            "do-connecting-ip",
            "host",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-request-id",
        ];
        assert_eq!(left, expected);
        assert_eq!(
            headers["x-forwarded-for"], "192.0.2.7",
            "the visitor cannot name what we add"
        );
    }

    #[test]
    fn the_chain_of_addresses_grows_and_the_connecting_address_is_ours() {
        let (headers, _) = prepared(&[
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "198.51.100.2"),
            ("do-connecting-ip", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
        ]);
        assert_eq!(headers["x-forwarded-for"], "203.0.113.9, 198.51.100.2, 192.0.2.7");
        assert_eq!(headers["do-connecting-ip"], "192.0.2.7");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "a.test:8080");
    }

    #[test]
    fn upgrades_need_both_headers_and_are_never_h2c() {
        let (headers, upgrade) = prepared(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(upgrade.unwrap(), "websocket");
        assert_eq!(headers[header::CONNECTION], "upgrade");
        assert_eq!(headers[header::UPGRADE], "websocket");
        for lines in [
            &[("upgrade", "websocket")][..],
            &[("connection", "upgrade"), ("upgrade", "h2c")],
        ] {
            let (headers, upgrade) = prepared(lines);
            assert!(upgrade.is_none() && !headers.contains_key(header::UPGRADE));
        }
    }

    #[test]
    fn an_app_cannot_speak_in_the_routers_name() {
        let mut headers = headers(&[
            ("mainstay-reason", "x"),
            ("mainstay-detail", "x"),
            ("upgrade", "h2"),
            ("etag", "1"),
        ]);
        prepare_response(&mut headers, false);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn odd_request_ids_are_replaced() {
        for (id, kept) in [("abc-1", true), ("", false), ("a b", false), ("a\"b", false)] {
            assert_eq!(
                acceptable_request_id(&headers(&[("x-request-id", id)])).is_some(),
                kept,
                "{id}"
            );
        }
    }
}
