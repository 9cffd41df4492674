//! The control socket: one JSON request per line, one JSON answer per line, many per connection.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// What is in force.
    Status,
    /// Answers once a snapshot of at least this version is in force, or with `timed_out`.
    WaitForVersion { version: u64, timeout_ms: u64 },
    /// Answers once no request and no upgraded connection uses the endpoint any more, or with `timed_out` and what is left.
    /// The endpoint must have left the snapshot before.
    Drain { endpoint: String, timeout_ms: u64 },
    /// Replaces the serving process by a new one from `program` (the supervisor answers); no request is lost.
    HandOver,
    /// Ends the router: no new connections, running requests finish until the deadline.
    Shutdown { timeout_ms: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    Status {
        version: u64,
        pid: u32,
        requests_total: u64,
        in_flight: u64,
        endpoints: Vec<EndpointLoad>,
    },
    Done,
    TimedOut {
        in_flight: u64,
    },
    Error {
        message: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointLoad {
    pub endpoint: String,
    pub in_flight: u64,
    pub requests_total: u64,
    pub failures_total: u64,
}
