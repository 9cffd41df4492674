//! Health probes: TCP connect or HTTP GET, with a transcript that tells what really came back (`app-platform.md` d.1).

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use mainstay_diagnosis::facts::{ProbeAttempt, ProbeOutcome};
use tokio::{net::TcpStream, time::timeout};

/// How much of an answer's body is kept as evidence.
const BODY_START_BYTES_MAX: usize = 1024;

/// How many headers of an answer are kept, and how much of each.
const HEADERS_MAX: usize = 40;
const HEADER_CHARS_MAX: usize = 256;

/// What an app gives to one visitor is not for others.
const SECRET_HEADERS: [&str; 4] = [
    "set-cookie",
    "set-cookie2",
    "authorization",
    "proxy-authorization",
];
const NOT_SHOWN: &str = "(not shown)";

/// What to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProbeTarget {
    pub address: SocketAddr,
    /// `None`: a TCP connect is enough.
    pub http: Option<HttpProbe>,
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpProbe {
    pub path: String,
    pub host: String,
    /// Sent along: the candidate header, when the probe goes through the router.
    pub headers: Vec<(String, String)>,
}

/// Probes once. Never takes longer than the target's timeout.
pub(crate) async fn probe(target: &ProbeTarget) -> ProbeAttempt {
    let at = Timestamp::now();
    let started = std::time::Instant::now();
    let outcome = timeout(target.timeout, attempt(target))
        .await
        .unwrap_or(ProbeOutcome::TimedOut);
    ProbeAttempt {
        at,
        target: describe(target),
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        outcome,
    }
}

fn describe(target: &ProbeTarget) -> String {
    match &target.http {
        Some(http) => format!("GET http://{}{}", target.address, http.path),
        None => format!("connect to {}", target.address),
    }
}

async fn attempt(target: &ProbeTarget) -> ProbeOutcome {
    let stream = match TcpStream::connect(target.address).await {
        Ok(stream) => stream,
        Err(error) => return connect_outcome(&error),
    };
    let Some(http) = &target.http else {
        return ProbeOutcome::Connected;
    };
    match request(stream, http).await {
        Ok(outcome) => outcome,
        Err(error) => ProbeOutcome::Broken {
            message: chain(&error),
        },
    }
}

fn connect_outcome(error: &std::io::Error) -> ProbeOutcome {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => ProbeOutcome::Refused,
        std::io::ErrorKind::TimedOut => ProbeOutcome::TimedOut,
        std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
            ProbeOutcome::Unreachable
        }
        _ => ProbeOutcome::Broken {
            message: error.to_string(),
        },
    }
}

async fn request(stream: TcpStream, http: &HttpProbe) -> Result<ProbeOutcome, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let _closed = AbortOnDrop(connection);
    let mut request = Request::get(http.path.as_str())
        .header("host", &http.host)
        .header("user-agent", "mainstay-probe/1")
        .header("accept", "*/*")
        .header("connection", "close");
    for (name, value) in &http.headers {
        request = request.header(name, value);
    }
    let Ok(request) = request.body(Empty::<Bytes>::new()) else {
        return Ok(ProbeOutcome::Broken {
            message: format!("{:?} is no valid path", http.path),
        });
    };
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let headers = kept_headers(response.headers());
    let body_start = body_start(response.into_body()).await;
    Ok(ProbeOutcome::Response {
        status,
        headers,
        body_start,
    })
}

fn kept_headers(headers: &hyper::HeaderMap) -> Vec<(String, String)> {
    let kept = headers.iter().take(HEADERS_MAX).map(|(name, value)| {
        let value = if SECRET_HEADERS.contains(&name.as_str()) {
            NOT_SHOWN.to_owned()
        } else {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.chars().take(HEADER_CHARS_MAX).collect()
        };
        (name.as_str().to_owned(), value)
    });
    kept.collect()
}

/// The answer has its status already; a body that breaks off is shown as far as it came.
async fn body_start(mut body: hyper::body::Incoming) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < BODY_START_BYTES_MAX {
        match body.frame().await {
            Some(Ok(frame)) => bytes.extend(frame.data_ref().map(Bytes::as_ref).unwrap_or_default()),
            _ => break,
        }
    }
    bytes.truncate(BODY_START_BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE};

    use super::*;

    #[test]
    fn headers_are_kept_without_what_is_secret_in_them() {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_static("/login"));
        headers.append(SET_COOKIE, HeaderValue::from_static("session=hunter2"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer hunter2"));
        let long = HeaderValue::from_str(&"x".repeat(9000)).unwrap();
        headers.insert(HeaderName::from_static("x-long"), long);
        let kept = kept_headers(&headers);
        assert!(kept.contains(&("location".into(), "/login".into())));
        assert!(kept.contains(&("set-cookie".into(), NOT_SHOWN.into())));
        assert!(!format!("{kept:?}").contains("hunter2"));
        assert!(kept.iter().all(|(_, value)| value.len() <= HEADER_CHARS_MAX));
    }
}
