//! Watches the kernel's memory-kill counter of a build.
//!
//! v1 counts a kill only in the victim's own group, which the runtime removes; an eventfd on the group that holds the limit sees every
//! one of them. v2 counts hierarchically in `memory.events`. Both keep the count until it is read, so nothing is missed between two looks.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::event::{EventfdFlags, eventfd};

use super::cgroup::BuildCgroup;

/// Counts processes of a build that were killed for memory.
#[derive(Debug)]
pub(crate) enum MemoryWatch {
    V1 {
        events: OwnedFd,
        /// Kept open: the registration belongs to it.
        _control: fs::File,
    },
    V2 {
        file: PathBuf,
        seen: u64,
    },
}

impl MemoryWatch {
    pub(crate) fn new(cgroup: &BuildCgroup) -> io::Result<Self> {
        let directory = cgroup.memory_directory();
        if cgroup.is_v2() {
            let file = directory.join("memory.events");
            let seen = read_kills(&file);
            return Ok(Self::V2 { file, seen });
        }
        Self::register(&directory)
    }

    /// Documentation/admin-guide/cgroup-v1/memory.rst, section 10.
    fn register(directory: &Path) -> io::Result<Self> {
        let control = fs::File::open(directory.join("memory.oom_control"))?;
        let events = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let registration = format!("{} {}", events.as_raw_fd(), control.as_raw_fd());
        fs::write(directory.join("cgroup.event_control"), registration)?;
        Ok(Self::V1 {
            events,
            _control: control,
        })
    }

    /// Kills since the last call. Never waits.
    pub(crate) fn new_kills(&mut self) -> u64 {
        match self {
            Self::V1 { events, .. } => take_count(events),
            Self::V2 { file, seen } => {
                let total = read_kills(file).max(*seen);
                let new = total - *seen;
                *seen = total;
                new
            }
        }
    }
}

/// Zero when nothing happened: the descriptor does not block.
fn take_count(events: &OwnedFd) -> u64 {
    let mut buffer = [0; 8];
    match rustix::io::read(events, &mut buffer) {
        Ok(8) => u64::from_ne_bytes(buffer),
        _ => 0,
    }
}

fn read_kills(file: &Path) -> u64 {
    fs::read_to_string(file)
        .ok()
        .and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        })
        .unwrap_or(0)
}
