//! Visitors: one request, or many for a while.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use mainstay_testkit::load::{Load, Report, Visitors};
use tokio::runtime::Runtime;

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug, Clone)]
pub struct Page {
    pub status: u16,
    /// Head and body as they came.
    pub text: String,
}

/// Asks once, on a connection of its own.
pub(crate) fn get(address: SocketAddr, host: &str, path: &str) -> io::Result<Page> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no HTTP answer: {text:?}")))?;
    Ok(Page { status, text })
}

/// Visitors who come until they are told to stop.
#[derive(Debug)]
pub struct Visiting {
    runtime: Runtime,
    load: Load,
}

impl Visiting {
    pub(crate) fn start(address: SocketAddr, host: &str, per_second: f64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread can be made");
        let visitors = Visitors {
            count: 4,
            rate: Some(per_second),
            ..Visitors::of(address, host)
        };
        let load = {
            let _within = runtime.enter();
            visitors.start()
        };
        Self { runtime, load }
    }

    /// How many requests were answered or failed so far.
    pub fn requests(&self) -> u64 {
        self.load.requests()
    }

    /// Ends when every visitor has its answer.
    pub fn stop(self) -> Report {
        self.runtime.block_on(self.load.stop())
    }

    /// Ends, and fails the test if one request failed.
    pub fn stop_unharmed(self, at_least: u64) {
        let report = self.stop();
        assert_eq!(
            report.failed(),
            0,
            "of {} requests failed: {:?}",
            report.requests,
            report.failures
        );
        assert!(
            report.requests >= at_least,
            "only {} requests were made",
            report.requests
        );
    }
}
