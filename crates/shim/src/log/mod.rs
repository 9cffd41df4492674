//! The log of an instance or a build: one line of text per line, with its sequence number, time and stream.
//!
//! A log is a directory of segments, each named after the sequence number of its first line. The writer appends to the newest and
//! starts another when it is full; the oldest are removed. A line on disk is `<sequence> <microseconds since 1970> <o|e|p> <text>`,
//! so that a reader finds its place from the file names and an operator can read it with any pager.

mod format;
mod reader;
mod splitter;
mod writer;

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use reader::{LogReader, has_log};
pub use splitter::LineSplitter;
pub use writer::LogWriter;

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

/// The longest line; what is longer goes on in a further line.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// How much of a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    pub segment_bytes: u64,
    /// The newest segments, the one being written included; at least 1.
    pub segments: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            segment_bytes: 10 * 1024 * 1024,
            segments: 5,
        }
    }
}

/// A log could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} the log file {}", path.display())]
pub struct LogError {
    pub operation: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: std::io::Error,
}

impl LogError {
    fn on(operation: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self {
            operation,
            path,
            source,
        }
    }
}
