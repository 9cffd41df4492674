//! A load client: many visitors at once, every failed request counted with its reason.
//!
//! A visitor behaves as a browser or a good client library does: it keeps its connection, and makes a new one after
//! `Connection: close`. It never sends a request twice, so that whatever a router loses is seen.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::watch, task::JoinSet, time};

/// What one group of visitors does.
#[derive(Debug, Clone)]
pub struct Visitors {
    pub address: SocketAddr,
    /// The `Host` header.
    pub host: String,
    pub path: String,
    /// Visitors at once, one connection each.
    pub count: usize,
    /// Requests per second of all of them together; as fast as possible unless given.
    pub rate: Option<f64>,
    pub connections: Connections,
    /// An answer that takes longer is a failure.
    pub patience: Duration,
    /// Further headers, such as `mainstay-candidate`.
    pub headers: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// One for as long as the server keeps it.
    Kept,
    /// A new one for each request.
    NewEachTime,
}

/// How it went.
#[derive(Debug, Default, Clone)]
pub struct Report {
    pub requests: u64,
    /// Why a request failed → how often. An answer that is not 2xx is a failure.
    pub failures: BTreeMap<String, u64>,
    /// Value of the `x-answered-by` header → how often, where apps tell who they are.
    pub answered_by: BTreeMap<String, u64>,
    pub connections: u64,
    pub latencies: Vec<Duration>,
}

/// Visitors at work.
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    progress: watch::Receiver<u64>,
    visitors: JoinSet<Report>,
}

impl Visitors {
    /// Visitors of one host's root with kept connections, as fast as possible.
    pub fn of(address: SocketAddr, host: &str) -> Self {
        Self {
            address,
            host: host.to_owned(),
            path: "/".to_owned(),
            count: 8,
            rate: None,
            connections: Connections::Kept,
            patience: Duration::from_secs(10),
            headers: Vec::new(),
        }
    }

    /// Begins; must be called within a tokio runtime.
    pub fn start(self) -> Load {
        let (stop, stopped) = watch::channel(false);
        let (count, progress) = watch::channel(0);
        let mut visitors = JoinSet::new();
        for index in 0..self.count {
            visitors.spawn(Visitor::new(self.clone(), index, stopped.clone(), count.clone()).run());
        }
        Load {
            stop,
            progress,
            visitors,
        }
    }
}

impl Load {
    /// Waits until this many requests were answered or failed, all visitors together, or the time is over.
    pub async fn reached(&mut self, requests: u64, limit: Duration) -> bool {
        time::timeout(limit, self.progress.wait_for(|done| *done >= requests))
            .await
            .is_ok_and(|seen| seen.is_ok())
    }

    pub fn requests(&self) -> u64 {
        *self.progress.borrow()
    }

    /// Lets every visitor finish its request, and sums up.
    pub async fn stop(mut self) -> Report {
        self.stop.send_replace(true);
        let mut sum = Report::default();
        while let Some(report) = self.visitors.join_next().await {
            match report {
                Ok(report) => sum.add(report),
                Err(error) => *sum.failures.entry(format!("visitor ended: {error}")).or_default() += 1,
            }
        }
        sum.latencies.sort_unstable();
        sum
    }
}

impl Report {
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// The latency that this share of the requests did not exceed.
    pub fn percentile(&self, share: f64) -> Duration {
        let count = self.latencies.len();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = (count as f64 * share) as usize;
        self.latencies
            .get(index.min(count.saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }

    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.connections += other.connections;
        self.latencies.extend(other.latencies);
        for (name, count) in other.failures {
            *self.failures.entry(name).or_default() += count;
        }
        for (name, count) in other.answered_by {
            *self.answered_by.entry(name).or_default() += count;
        }
    }
}

struct Visitor {
    plan: Visitors,
    index: usize,
    stopped: watch::Receiver<bool>,
    progress: watch::Sender<u64>,
    connection: Option<SendRequest<Empty<Bytes>>>,
    report: Report,
}

impl Visitor {
    fn new(
        plan: Visitors,
        index: usize,
        stopped: watch::Receiver<bool>,
        progress: watch::Sender<u64>,
    ) -> Self {
        Self {
            plan,
            index,
            stopped,
            progress,
            connection: None,
            report: Report::default(),
        }
    }

    async fn run(mut self) -> Report {
        let mut ticks = self.pace().await;
        while !*self.stopped.borrow() {
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            let started = Instant::now();
            let outcome = time::timeout(self.plan.patience, self.request()).await;
            self.report.requests += 1;
            self.report.latencies.push(started.elapsed());
            let failure = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(failure)) => Some(failure),
                Err(_) => Some(format!("no answer within {:?}", self.plan.patience)),
            };
            if let Some(failure) = failure {
                self.connection = None;
                *self.report.failures.entry(failure).or_default() += 1;
            }
            self.progress.send_modify(|count| *count += 1);
        }
        self.report
    }

    /// The visitors' requests are spread evenly over time.
    async fn pace(&self) -> Option<time::Interval> {
        let rate = self.plan.rate?;
        #[expect(clippy::cast_precision_loss, reason = "numbers of visitors are small")]
        let (period, share) = (
            self.plan.count as f64 / rate,
            self.index as f64 / self.plan.count as f64,
        );
        time::sleep(Duration::from_secs_f64(period * share)).await;
        let mut ticks = time::interval(Duration::from_secs_f64(period));
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        Some(ticks)
    }

    async fn request(&mut self) -> Result<(), String> {
        let mut connection = self.connection().await?;
        let request = self.build();
        let sent = connection.send_request(request).await;
        let response = sent.map_err(|error| format!("no answer: {}", describe(&error)))?;
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| format!("answer broke off: {}", describe(&error)))?;
        drop(body);
        if !parts.status.is_success() {
            let detail = parts
                .headers
                .get("mainstay-detail")
                .and_then(|detail| detail.to_str().ok())
                .unwrap_or("");
            return Err(format!("status {} {detail}", parts.status.as_u16()));
        }
        if let Some(name) = parts
            .headers
            .get("x-answered-by")
            .and_then(|name| name.to_str().ok())
        {
            *self.report.answered_by.entry(name.to_owned()).or_default() += 1;
        }
        let says_close = parts
            .headers
            .get(header::CONNECTION)
            .is_some_and(|value| value == "close");
        if self.plan.connections == Connections::Kept && !says_close {
            self.connection = Some(connection);
        }
        Ok(())
    }

    /// The kept connection, or a new one where the server closed it while nothing was asked.
    async fn connection(&mut self) -> Result<SendRequest<Empty<Bytes>>, String> {
        if let Some(mut kept) = self.connection.take()
            && kept.ready().await.is_ok()
        {
            return Ok(kept);
        }
        let mut connection = self.connect().await?;
        connection
            .ready()
            .await
            .map_err(|error| format!("connection lost before the request: {error}"))?;
        Ok(connection)
    }

    fn build(&self) -> Request<Empty<Bytes>> {
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(&self.plan.path)
            .header(header::HOST, &self.plan.host);
        if self.plan.connections == Connections::NewEachTime {
            request = request.header(header::CONNECTION, "close");
        }
        for (name, value) in &self.plan.headers {
            request = request.header(name, value);
        }
        request
            .body(Empty::new())
            .expect("a test gives a valid path, host and headers")
    }

    async fn connect(&mut self) -> Result<SendRequest<Empty<Bytes>>, String> {
        let stream = TcpStream::connect(self.plan.address)
            .await
            .map_err(|error| format!("cannot connect: {error}"))?;
        let _ = stream.set_nodelay(true);
        self.report.connections += 1;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| format!("cannot connect: {error}"))?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
