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

/// What the connection tells about the visitor, formatted once per connection.
#[derive(Debug)]
pub struct Visitor {
    pub address: std::net::IpAddr,
    address_text: HeaderValue,
}

impl Visitor {
    pub fn new(address: std::net::IpAddr) -> Self {
        let address = address.to_canonical();
        let address_text = HeaderValue::from_str(&address.to_string()).expect("an address is plain ASCII");
        Self {
            address,
            address_text,
        }
    }
}

/// Turns the visitor's headers into those for the app. Returns the protocol that the visitor wants to upgrade to.
pub fn prepare_request(
    headers: &mut HeaderMap,
    visitor: &Visitor,
    host: &HeaderValue,
    version: Version,
    request_id: &HeaderValue,
) -> Option<HeaderValue> {
    let upgrade = wanted_upgrade(headers, version);
    let takes_trailers = headers
        .get(header::TE)
        .is_some_and(|te| contains_token(te, "trailers"));
    remove_hop_by_hop(headers);
    headers.remove(CANDIDATE);
    // The body is passed on as soon as it comes; hyper has answered this by then.
    headers.remove(header::EXPECT);
    if let Some(protocol) = &upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let chain = forwarded_for(headers, visitor);
    headers.insert(FORWARDED_FOR, chain);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(FORWARDED_HOST, host.clone());
    headers.insert(CONNECTING_ADDRESS, visitor.address_text.clone());
    headers.insert(REQUEST_ID, request_id.clone());
    upgrade
}

/// Turns the app's headers into those for the visitor. Only the router speaks of reasons.
pub fn prepare_response(headers: &mut HeaderMap, is_upgrade: bool) {
    let upgrade = headers.get(header::UPGRADE).filter(|_| is_upgrade).cloned();
    remove_hop_by_hop(headers);
    headers.remove(REASON);
    headers.remove(DETAIL);
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

fn forwarded_for(headers: &HeaderMap, visitor: &Visitor) -> HeaderValue {
    let earlier: Vec<&[u8]> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if earlier.is_empty() {
        return visitor.address_text.clone();
    }
    let chain = [
        earlier.join(&b", "[..]).as_slice(),
        visitor.address_text.as_bytes(),
    ]
    .join(&b", "[..]);
    HeaderValue::from_bytes(&chain).unwrap_or_else(|_| visitor.address_text.clone())
}

/// RFC 9110, section 7.6.1: what concerns one connection only, including what `Connection` names.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        remove_nominated(headers);
        headers.remove(header::CONNECTION);
    }
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

fn remove_nominated(headers: &mut HeaderMap) {
    let connection: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    for token in connection
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let Ok(name) = HeaderName::from_bytes(token.trim().as_bytes()) else {
            continue;
        };
        // Nobody may take away what routing and framing rest on.
        if ![header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&name) {
            headers.remove(name);
        }
    }
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
        let upgrade = prepare_request(&mut headers, &visitor, &host, Version::HTTP_11, &id);
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
            ("mainstay-candidate", "key"),
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
