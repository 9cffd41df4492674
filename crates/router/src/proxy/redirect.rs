//! Redirects by rule.

use http::{HeaderValue, Response, StatusCode, Uri, header};

use super::body::Source;
use crate::table::host::Redirect;

pub fn answer(redirect: &Redirect, host: &HeaderValue, uri: &Uri, path: &str) -> Response<Source> {
    let location = location(redirect, host.to_str().unwrap_or_default(), path, uri.query());
    let mut response = Response::new(Source::Empty);
    *response.status_mut() = StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::FOUND);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A new authority or scheme without a port means that scheme's own port.
fn location(redirect: &Redirect, host: &str, path: &str, query: Option<&str>) -> String {
    let (name, port) = split_port(host);
    let scheme = redirect.scheme.as_deref().unwrap_or("http");
    let stays = redirect.authority.is_none() && redirect.scheme.is_none();
    let authority = redirect.authority.as_deref().unwrap_or(name);
    let port = redirect
        .port
        .map(|port| port.to_string())
        .or_else(|| port.filter(|_| stays).map(str::to_owned));
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    let target = match (&redirect.path, query) {
        (Some(path), _) => path.clone(),
        (None, Some(query)) => format!("{path}?{query}"),
        (None, None) => path.to_owned(),
    };
    format!("{scheme}://{authority}{port}{target}")
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rule_does_not_name_stays() {
        let same = Redirect {
            scheme: None,
            authority: None,
            port: None,
            path: None,
            status: 302,
        };
        let https = Redirect {
            scheme: Some("https".into()),
            ..copy(&same)
        };
        let moved = Redirect {
            authority: Some("www.b.test".into()),
            path: Some("/new".into()),
            ..copy(&same)
        };
        let port = Redirect {
            port: Some(8443),
            ..copy(&https)
        };
        let cases = [
            (&same, "http://a.test:8080/x?q=1"),
            (&https, "https://a.test/x?q=1"),
            (&moved, "http://www.b.test/new"),
            (&port, "https://a.test:8443/x?q=1"),
        ];
        for (rule, expected) in cases {
            assert_eq!(location(rule, "a.test:8080", "/x", Some("q=1")), expected);
        }
        assert_eq!(location(&https, "[::1]", "/", None), "https://[::1]/");
    }

    fn copy(rule: &Redirect) -> Redirect {
        let Redirect {
            scheme,
            authority,
            port,
            path,
            status,
        } = rule;
        Redirect {
            scheme: scheme.clone(),
            authority: authority.clone(),
            port: *port,
            path: path.clone(),
            status: *status,
        }
    }
}
