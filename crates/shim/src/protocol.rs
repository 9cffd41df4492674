//! The socket protocol: one JSON line per message; after an accepted [`Request::Exec`] the connection carries frames.

use std::{collections::BTreeMap, net::Ipv4Addr};

use jiff::Timestamp;
use mainstay_diagnosis::facts::{Course, ExitRecord, MemoryRecord, StopReason, Termination};
use serde::{Deserialize, Serialize};

use crate::process::ProcessIdentity;

/// The socket's file name in the instance's run directory.
pub const SOCKET_FILE: &str = "shim.sock";

/// The longest line that the shim accepts.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Asked by the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Prepares everything up to, but without, executing the app. Answered by [`Reply::Created`]. If the connection ends before
    /// [`Request::Start`] was answered, the shim takes everything back and ends without a record.
    Create,
    /// On the connection that created. Answered by [`Reply::Started`] or [`Reply::Refused`]; what was started is waited for from then on, as
    /// after [`Request::Wait`].
    Start {
        /// The address that the network gave the instance.
        address: Option<Ipv4Addr>,
        /// The text of `/etc/hosts`.
        hosts: String,
    },
    /// Answered by [`Reply::Started`].
    Status,
    /// Answered by [`Reply::Ended`], when it has ended.
    Wait,
    /// Answered at once by [`Reply::Accepted`]. A later, shorter grace period shortens the first one.
    Stop {
        reason: StopReason,
        grace_period_ms: u64,
    },
    /// Answered by [`Reply::Stats`].
    Stats,
    /// Answered by [`Reply::Accepted`], then frames both ways.
    Exec(ExecCommand),
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecCommand {
    pub argv: Vec<String>,
    /// Added to the instance's own environment.
    pub env: BTreeMap<String, String>,
    /// Columns and rows of a terminal; `None`: no terminal.
    pub terminal: Option<(u16, u16)>,
}

impl std::fmt::Debug for ExecCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecCommand")
            .field("argv", &self.argv)
            .field("terminal", &self.terminal)
            .finish_non_exhaustive()
    }
}

/// Answered by the shim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// `pid`: a process in the instance's network namespace.
    Created {
        pid: i32,
    },
    Started(InstanceState),
    Refused(StartRefusal),
    /// A fault of the platform, in words for its log.
    Failed {
        message: String,
    },
    Accepted,
    Stats(StatsReply),
    Ended(Box<ExitRecord>),
}

/// The kernel refused to execute the main process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRefusal {
    pub stage: StartStage,
    pub errno: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartStage {
    WorkingDirectory,
    Fork,
    Exec,
}

/// A running instance, as a later server needs to know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceState {
    pub shim: ProcessIdentity,
    /// PID 1 of the instance.
    pub init: ProcessIdentity,
    /// The app's main process on this node; `None` when it ended before it could be looked up.
    pub main_pid: Option<i32>,
    pub started_at: Timestamp,
    pub address: Option<Ipv4Addr>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatsReply {
    pub at: Timestamp,
    pub memory_bytes: u64,
    pub memory: MemoryRecord,
    pub cpu_usage_micros: u64,
    pub cpu_throttled_micros: u64,
    pub pids: u32,
    /// An older shim tells none.
    #[serde(default)]
    pub course: Course,
}

/// How an exec ended: the payload of [`FrameKind::Ended`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ended", rename_all = "snake_case")]
pub enum ExecEnd {
    Terminated {
        termination: Termination,
    },
    Refused(StartRefusal),
    /// A fault of the platform, in words for its log.
    Failed {
        message: String,
    },
}

/// A frame is its kind, its length as 32-bit little-endian, and that many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// To the shim.
    Stdin = 0,
    /// To the shim: columns and rows, 16-bit little-endian each.
    Resize = 1,
    /// To the shim.
    CloseStdin = 2,
    /// From the shim.
    Stdout = 3,
    /// From the shim.
    Stderr = 4,
    /// From the shim, always last: [`ExecEnd`] as JSON.
    Ended = 5,
}

impl FrameKind {
    pub fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Stdin,
            Self::Resize,
            Self::CloseStdin,
            Self::Stdout,
            Self::Stderr,
            Self::Ended,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// Bytes before a frame's payload.
pub const FRAME_HEADER_BYTES: usize = 5;

/// The longest payload.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// One frame, ready to send.
///
/// # Panics
/// When the payload is longer than [`FRAME_PAYLOAD_BYTES_MAX`].
pub fn frame(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    assert!(
        payload.len() <= FRAME_PAYLOAD_BYTES_MAX,
        "the sender cuts its data into frames"
    );
    let length = u32::try_from(payload.len()).expect("64 KiB fit into 32 bits");
    let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES + payload.len());
    bytes.push(kind as u8);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// What a frame header says: the kind and the payload's length; `None` when it is no header of this protocol.
pub fn parse_frame_header(header: [u8; FRAME_HEADER_BYTES]) -> Option<(FrameKind, usize)> {
    let [kind, l0, l1, l2, l3] = header;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
    let kind = FrameKind::from_byte(kind)?;
    (length <= FRAME_PAYLOAD_BYTES_MAX).then_some((kind, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_back() {
        let bytes = frame(FrameKind::Stderr, b"no such file");
        let header = bytes[..FRAME_HEADER_BYTES].try_into().unwrap();
        assert_eq!(parse_frame_header(header), Some((FrameKind::Stderr, 12)));
    }

    #[test]
    fn an_oversized_or_unknown_frame_is_refused() {
        assert_eq!(parse_frame_header([3, 0xff, 0xff, 0xff, 0]), None);
        assert_eq!(parse_frame_header([9, 0, 0, 0, 0]), None);
    }

    #[test]
    fn debug_of_an_exec_shows_no_environment() {
        let command = ExecCommand {
            argv: vec!["env".into()],
            env: BTreeMap::from([("TOKEN".into(), "hunter2".into())]),
            terminal: None,
        };
        assert!(!format!("{command:?}").contains("hunter2"));
    }
}
