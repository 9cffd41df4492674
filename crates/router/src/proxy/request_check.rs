//! What must hold before a request is routed. The HTTP parser refuses bad framing; this is what it leaves to us.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, Method, Uri, request::Parts};

use super::{headers::Headers, refusal::Refusal};
use crate::table::path;

/// One header line, and the request target.
const LINE_BYTES_MAX: usize = 16 << 10;
/// All header lines together.
const HEADERS_BYTES_MAX: usize = 64 << 10;

/// Who is asked for what: the only basis of routing.
#[derive(Debug, PartialEq, Eq)]
pub struct Place<'r> {
    /// Lower case, without port and final dot.
    pub host: Cow<'r, str>,
    /// Normalised.
    pub path: Cow<'r, str>,
}

/// `host` and `uri` are the request's own; they are lent apart from it, because the rest of it is taken to pieces meanwhile.
pub fn check<'r>(
    request: &Parts,
    seen: &Headers,
    host: Option<&'r HeaderValue>,
    uri: &'r Uri,
) -> Result<Place<'r>, Refusal> {
    check_sizes(&request.headers, uri)?;
    check_transfer_coding(&request.headers, seen)?;
    if matches!(request.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::MethodNotAllowed);
    }
    // HTTP/1.0 may leave the host out, but then there is nothing to route by either.
    let host = host.ok_or(Refusal::HostMissing)?;
    if seen.hosts > 1 {
        return Err(Refusal::HostRepeated);
    }
    if uri.authority().is_some_and(|authority| {
        !authority
            .as_str()
            .as_bytes()
            .eq_ignore_ascii_case(host.as_bytes())
    }) {
        return Err(Refusal::HostDiffersFromTarget);
    }
    place(host, uri)
}

/// The place that a host and a target mean.
pub fn place<'r>(host: &'r HeaderValue, uri: &'r Uri) -> Result<Place<'r>, Refusal> {
    let host = host_name(host.as_bytes()).ok_or(Refusal::HostInvalid)?;
    let path = match uri.path() {
        "*" | "" => Cow::Borrowed("/"),
        path => path::normalise(path).map_err(|_| Refusal::PathAmbiguous)?,
    };
    Ok(Place { host, path })
}

fn check_sizes(headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let mut total = target;
    for (name, value) in headers {
        let line = name.as_str().len() + value.len();
        if line > LINE_BYTES_MAX {
            return Err(Refusal::HeaderTooLong);
        }
        total += line;
    }
    if target > LINE_BYTES_MAX || total > HEADERS_BYTES_MAX {
        Err(Refusal::HeaderTooLong)
    } else {
        Ok(())
    }
}

/// Only `chunked` is undone and redone here. (A `Content-Length` beside it never arrives: the parser drops it and closes the
/// connection after the answer.)
fn check_transfer_coding(headers: &HeaderMap, seen: &Headers) -> Result<(), Refusal> {
    if !seen.transfer_encoding {
        return Ok(());
    }
    let mut codings = headers.get_all(http::header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Refusal::TransferCodingUnknown),
    }
}

/// The name in a `Host` header: lower case, without port and final dot.
fn host_name(host: &[u8]) -> Option<Cow<'_, str>> {
    let host = std::str::from_utf8(host).ok()?;
    let (name, port) = match host.strip_prefix('[') {
        Some(_) => host.split_at(host.find(']')? + 1),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port_is_valid =
        port.is_empty() || port[1..].bytes().all(|byte| byte.is_ascii_digit()) && port.starts_with(':');
    let name = name.strip_suffix('.').unwrap_or(name);
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_address = name.starts_with('[') && name[1..name.len() - 1].parse::<std::net::Ipv6Addr>().is_ok();
    if !port_is_valid || name.is_empty() || !(is_address || name.bytes().all(letters)) {
        return None;
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Some(Cow::Owned(name.to_ascii_lowercase()))
    } else {
        Some(Cow::Borrowed(name))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn host_names_lose_port_case_and_final_dot() {
        let cases = [
            ("shop.localhost", Some("shop.localhost")),
            ("Shop.LocalHost:8080", Some("shop.localhost")),
            ("shop.localhost.", Some("shop.localhost")),
            ("[::1]:80", Some("[::1]")),
            ("a_b.test", Some("a_b.test")),
            ("", None),
            (":80", None),
            ("a:b", None),
            ("a b", None),
            ("a/b", None),
            ("[::1", None),
            ("[x]", None),
            ("[::1]x", None),
        ];
        for (sent, name) in cases {
            assert_eq!(host_name(sent.as_bytes()).as_deref(), name, "{sent}");
        }
    }

    fn check_one(uri: &str, headers: &[(&'static str, &str)]) -> Result<String, Refusal> {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let host = HeaderValue::from_static("a.test");
        check(&parts, &Headers::of(&parts.headers), Some(&host), &parts.uri)
            .map(|place| place.path.into_owned())
    }

    #[test]
    fn what_the_parser_lets_through_is_refused_here() {
        let long = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(check_one("/a/../b", &[]).unwrap(), "/b");
        assert_eq!(check_one("http://a.test/x", &[]).unwrap(), "/x");
        assert_eq!(
            check_one("http://b.test/x", &[]),
            Err(Refusal::HostDiffersFromTarget)
        );
        assert_eq!(check_one("/", &[("x", &long)]), Err(Refusal::HeaderTooLong));
        assert_eq!(
            check_one("/", &[("transfer-encoding", "gzip, chunked")]),
            Err(Refusal::TransferCodingUnknown)
        );
        assert_eq!(check_one("/a/..%2fb", &[]), Err(Refusal::PathAmbiguous));
    }
}
