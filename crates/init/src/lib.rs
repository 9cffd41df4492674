//! What init tells the shim: fixed-size records on file descriptor 3.
//!
//! Each record is eight bytes, a kind and a value, both little-endian 32-bit. Writes of this size to a pipe are atomic (POSIX,
//! `PIPE_BUF`), so the reader never sees half a record.

/// The descriptor that init writes to; closed on exec, so the app never holds it.
pub const REPORT_FD: i32 = 3;

/// The size of one record on the pipe.
pub const RECORD_BYTES: usize = 8;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The app was executed; its process id in the instance's process namespace.
    Started { pid: i32 },
    /// The working directory could not be entered.
    WorkingDirectoryFailed { errno: i32 },
    /// No process could be made.
    ForkFailed { errno: i32 },
    /// The kernel refused to execute the app.
    ExecFailed { errno: i32 },
    /// The app ended, with the status as `waitpid(2)` gave it.
    Exited { wait_status: i32 },
}

impl Report {
    pub fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let (kind, value) = match self {
            Self::Started { pid } => (1_u32, pid),
            Self::WorkingDirectoryFailed { errno } => (2, errno),
            Self::ForkFailed { errno } => (3, errno),
            Self::ExecFailed { errno } => (4, errno),
            Self::Exited { wait_status } => (5, wait_status),
        };
        let mut bytes = [0; RECORD_BYTES];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[4..].copy_from_slice(&value.to_le_bytes());
        bytes
    }

    /// `None` for a kind that this version does not know.
    pub fn from_bytes(bytes: [u8; RECORD_BYTES]) -> Option<Self> {
        let [k0, k1, k2, k3, v0, v1, v2, v3] = bytes;
        let value = i32::from_le_bytes([v0, v1, v2, v3]);
        match u32::from_le_bytes([k0, k1, k2, k3]) {
            1 => Some(Self::Started { pid: value }),
            2 => Some(Self::WorkingDirectoryFailed { errno: value }),
            3 => Some(Self::ForkFailed { errno: value }),
            4 => Some(Self::ExecFailed { errno: value }),
            5 => Some(Self::Exited { wait_status: value }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_pipe() {
        for report in [
            Report::Started { pid: 2 },
            Report::WorkingDirectoryFailed { errno: 2 },
            Report::ForkFailed { errno: 11 },
            Report::ExecFailed { errno: 13 },
            Report::Exited {
                wait_status: 137 << 8,
            },
        ] {
            assert_eq!(Report::from_bytes(report.to_bytes()), Some(report));
        }
    }

    #[test]
    fn unknown_kinds_are_no_report() {
        assert_eq!(Report::from_bytes([9, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
