//! Visitors: one request, or many for a while.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use mainstay_testkit::load::{Load, Report, Visitors};
use tokio::runtime::Runtime;

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Of somebody who waits for a version to appear: an exact time, and next to no load.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// What came back.
#[derive(Debug, Clone)]
pub struct Page {
    pub status: u16,
    /// Head and body as they came.
    pub text: String,
}

/// Asks once, on a connection of its own.
pub(crate) fn get(address: SocketAddr, host: &str, path: &str) -> io::Result<Page> {
    get_with(address, host, path, "")
}

/// The same with header lines added.
pub(crate) fn get_with(address: SocketAddr, host: &str, path: &str, headers: &str) -> io::Result<Page> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n"
    )?;
    read_page(stream)
}

/// Sends a form, with header lines added.
pub(crate) fn post_with(
    address: SocketAddr,
    host: &str,
    path: &str,
    form: &str,
    headers: &str,
) -> io::Result<Page> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{form}",
        form.len()
    )?;
    read_page(stream)
}

fn read_page(mut stream: TcpStream) -> io::Result<Page> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no HTTP answer: {text:?}")))?;
    Ok(Page { status, text })
}

/// Asking again and again until the answer is as wanted.
pub(crate) struct Waiting<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    /// Of an answer with status 200.
    pub(crate) wanted: &'a (dyn Fn(&str) -> bool + Sync),
    pub(crate) within: Duration,
}

impl Waiting<'_> {
    pub(crate) fn wait(&self) -> Result<Page, String> {
        let deadline = Instant::now() + self.within;
        loop {
            let answer = get(self.address, self.host, self.path);
            match answer {
                Ok(page) if page.status == 200 && (self.wanted)(&page.text) => return Ok(page),
                last if Instant::now() >= deadline => {
                    return Err(format!("{} does not answer as wanted: {last:?}", self.host));
                }
                _ => std::thread::sleep(ASK_EVERY),
            }
        }
    }
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
        eprintln!("  {} requests, none failed", report.requests);
    }
}
