//! The log format of instances and builds: one line of text per line, with its sequence number, time and stream.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    Stdout,
    Stderr,
    /// Written by the platform, in its true place.
    Platform,
}

/// One line, without its line end. Bytes that are no UTF-8 are replaced when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Grows by one per line; never reused within a log.
    pub sequence: u64,
    pub at: Timestamp,
    pub source: LogSource,
    pub text: String,
}
