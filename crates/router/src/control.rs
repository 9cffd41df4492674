//! The control socket: one JSON request per line, one JSON answer per line, many per connection.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// What is in force.
    Status,
    /// Answers once a snapshot of at least this version is in force, or with `timed_out`.
    WaitForVersion { version: u64, timeout_ms: u64 },
    /// Answers once no request and no upgraded connection uses the endpoint any more, or with `timed_out` and what is left.
    /// The endpoint must have left the snapshot file before; an endpoint that is still routed gets an error.
    Drain { endpoint: String, timeout_ms: u64 },
    /// What visitors were sent since it was last taken; nothing is told twice.
    TakeTraffic,
    /// Replaces the serving process by a new one from `program` (the supervisor answers); no request is lost.
    /// Answered once the new process serves and the old one takes no new connection; the old one then drains by itself.
    HandOver,
    /// Ends the router: no new connections, running requests finish until the deadline.
    Shutdown { timeout_ms: u64 },
    /// Asked by a starting supervisor only: a serving process that lost its supervisor passes on its listening sockets.
    Adopt,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    Status(Status),
    Done,
    /// Bytes of answers' bodies and of websockets towards visitors, by app; counted when an answer ends.
    Traffic {
        bytes: BTreeMap<String, u64>,
    },
    TimedOut {
        in_flight: u64,
    },
    Error {
        message: String,
    },
}

/// What is in force. Counters are sums over the serving process and those that still drain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The snapshot's version that every thread of the serving process routes by.
    pub version: u64,
    /// The serving process.
    pub pid: u32,
    /// Processes that were replaced and still finish requests.
    pub draining: Vec<u32>,
    /// Missing while a serving process has lost its supervisor and waits to be adopted by a new one.
    pub supervisor: Option<u32>,
    pub listening: Vec<SocketAddr>,
    /// Why the file's content is not in force; the last good snapshot is.
    pub snapshot_error: Option<String>,
    pub connections: u64,
    /// Requests and upgraded connections.
    pub in_flight: u64,
    pub requests_total: u64,
    /// Answers by the router itself instead of by an app, by their `mainstay-reason` or `mainstay-detail`.
    pub refusals_total: BTreeMap<String, u64>,
    pub retries_total: u64,
    pub panics_total: u64,
    /// Access log lines that were not written because the disk did not keep up.
    pub log_lines_dropped_total: u64,
    /// Serving processes that ended without being asked to.
    pub worker_deaths_total: u64,
    pub endpoints: Vec<EndpointLoad>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointLoad {
    pub endpoint: String,
    pub in_flight: u64,
    pub requests_total: u64,
    pub failures_total: u64,
}
