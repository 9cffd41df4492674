//! Processes of this node, as /proc shows them.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    pub pid: i32,
    /// In clock ticks since boot: field 22 of `/proc/<pid>/stat`, see proc(5).
    pub start_time: u64,
}

impl ProcessIdentity {
    /// `None` when there is no such process.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self {
            pid,
            start_time: start_time_of(&stat)?,
        })
    }

    /// Whether exactly this process still exists (a zombie does).
    pub fn exists(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Blocks until it is gone; false when it outlives the deadline. The process need not be a child.
    pub fn wait_gone(self, deadline: Duration) -> bool {
        let began = Instant::now();
        let Some(pid) = Pid::from_raw(self.pid) else {
            return true;
        };
        while let Some(left) = deadline.checked_sub(began.elapsed()) {
            let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else {
                return true;
            };
            // The descriptor may be of a later process with the same number, so the look comes after it was opened.
            if !self.exists() {
                return true;
            }
            let timeout = Timespec::try_from(left).unwrap_or_default();
            if poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&timeout))
                .is_ok_and(|ready| ready > 0)
            {
                // Readable means ended, although its parent may not have collected it.
                return true;
            }
        }
        false
    }
}

/// The name in parentheses may hold spaces and parentheses itself, so fields are counted after the last one.
fn start_time_of(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The children of a process, oldest first.
pub fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// A process's id in its innermost process namespace.
pub fn inner_pid(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    ids.split_ascii_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_no_trap() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1 1";
        assert_eq!(start_time_of(stat), Some(12345));
    }

    #[test]
    fn this_process_exists_and_an_earlier_one_does_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let this = ProcessIdentity::of(pid).unwrap();
        assert!(this.exists());
        let earlier = ProcessIdentity {
            start_time: this.start_time - 1,
            ..this
        };
        assert!(!earlier.exists());
    }
}
