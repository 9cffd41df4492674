//! Kills for memory: how many, when, and whom the kernel chose.
//!
//! The count is the cgroup's own counter. The victim's name and number come from the kernel's message of the kill, where `/dev/kmsg`
//! can be read; without it the end of the main process tells whether it was the victim.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use mainstay_diagnosis::facts::MemoryKill;
use mainstay_shim::{
    cgroup::{Cgroup, CgroupVersion},
    log::{LogSource, LogWriter},
};
use rustix::{
    event::{EventfdFlags, PollFlags, eventfd},
    fs::inotify,
};

use super::drain;

/// On v1 the notice comes before the kill, so the counter is looked at again for a while.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const LOOK_AGAIN_FOR: Duration = Duration::from_secs(2);

/// As many as a record can hold without growing for ever in an app that forks into its limit.
const KILLS_MAX: usize = 100;

#[derive(Debug)]
pub(super) struct MemoryWatch {
    notice: Option<Notice>,
    messages: Option<File>,
    seen: u64,
    kills: Vec<MemoryKill>,
    look_until: Option<Instant>,
    next_look: Option<Instant>,
}

/// Becomes readable when the kernel ran out of this cgroup's memory.
#[derive(Debug)]
enum Notice {
    /// v1: an eventfd registered on `memory.oom_control`, which must stay open.
    Event { event: OwnedFd, _control: File },
    /// v2: inotify on `memory.events`.
    Inotify(OwnedFd),
}

/// The kernel's message of one kill.
#[derive(Debug, PartialEq, Eq)]
struct Victim {
    cgroup: String,
    name: String,
    pid: i32,
}

impl MemoryWatch {
    /// Where the kernel gives no notice, the counter is still read at the end.
    pub(super) fn open(cgroup: &Cgroup) -> Self {
        Self {
            notice: register(cgroup).ok(),
            messages: open_messages().ok(),
            seen: 0,
            kills: Vec::new(),
            look_until: None,
            next_look: None,
        }
    }

    pub(super) fn descriptor(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match self.notice.as_ref()? {
            Notice::Event { event, .. } => Some((event.as_fd(), PollFlags::IN)),
            Notice::Inotify(descriptor) => Some((descriptor.as_fd(), PollFlags::IN)),
        }
    }

    pub(super) fn notified(&mut self, now: Instant) {
        match &self.notice {
            Some(Notice::Event { event, .. }) => drain(event),
            Some(Notice::Inotify(descriptor)) => drain(descriptor),
            None => {}
        }
        self.look_until = Some(now + LOOK_AGAIN_FOR);
        self.next_look = Some(now);
    }

    pub(super) fn next_moment(&self) -> Option<Instant> {
        self.next_look
    }

    pub(super) fn kills(&self) -> &[MemoryKill] {
        &self.kills
    }

    /// Looks at the counter if it is time to; the kills that are new.
    pub(super) fn look(&mut self, now: Instant, cgroup: &Cgroup, main_pid: Option<i32>) -> Vec<MemoryKill> {
        if self.next_look.is_none_or(|moment| now < moment) {
            return Vec::new();
        }
        let new = self.collect(cgroup, main_pid);
        let over = !new.is_empty() || self.look_until.is_none_or(|end| now >= end);
        self.next_look = (!over).then_some(now + LOOK_AGAIN);
        new
    }

    /// Reads the counter now; the kills that are new.
    pub(super) fn collect(&mut self, cgroup: &Cgroup, main_pid: Option<i32>) -> Vec<MemoryKill> {
        let count = cgroup.memory_kills();
        let fresh = usize::try_from(count.saturating_sub(self.seen)).unwrap_or(usize::MAX);
        if fresh == 0 {
            return Vec::new();
        }
        self.seen = count;
        let mut victims = self.victims(cgroup.path()).into_iter();
        let at = Timestamp::now();
        let new: Vec<MemoryKill> = (0..fresh.min(KILLS_MAX))
            .map(|_| match victims.next() {
                Some(victim) => MemoryKill {
                    at,
                    main_process: main_pid.map(|main| main == victim.pid),
                    process: Some(victim.name),
                },
                None => MemoryKill {
                    at,
                    main_process: None,
                    process: None,
                },
            })
            .collect();
        let room = KILLS_MAX.saturating_sub(self.kills.len());
        self.kills.extend(new.iter().take(room).cloned());
        new
    }

    /// What the end of the main process says about kills whose victim is not known: a main process that was not killed by SIGKILL
    /// was none of them; one that was, and not by the platform, was the last of them.
    pub(super) fn conclude(&mut self, main_was_killed: bool, by_platform: bool) {
        let known = self.kills.iter().any(|kill| kill.main_process == Some(true));
        let mut last = !known && main_was_killed && !by_platform;
        if main_was_killed && by_platform {
            return;
        }
        for kill in self
            .kills
            .iter_mut()
            .rev()
            .filter(|kill| kill.main_process.is_none())
        {
            kill.main_process = Some(last);
            last = false;
        }
    }

    fn victims(&mut self, cgroup_path: &str) -> Vec<Victim> {
        let Some(messages) = &mut self.messages else {
            return Vec::new();
        };
        // One read is one message; EPIPE says that older ones were overwritten, and reading goes on.
        let mut victims = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            match messages.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => victims.extend(victim_of(&String::from_utf8_lossy(&buffer[..count]))),
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        victims.retain(|victim| victim.cgroup == cgroup_path);
        victims
    }
}

/// Says in the log, where it happened, what the app itself could not say.
pub(super) fn tell(kills: &[MemoryKill], log: &mut LogWriter) {
    for kill in kills {
        let process = kill.process.as_deref().unwrap_or("a process");
        let text =
            format!("the kernel killed {process} because the memory limit of the instance was reached");
        log.line(LogSource::Platform, kill.at, text.as_bytes());
    }
}

fn register(cgroup: &Cgroup) -> io::Result<Notice> {
    let directory = cgroup.controller("memory");
    match cgroup.version() {
        CgroupVersion::V1 => {
            let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            let control = File::open(directory.join("memory.oom_control"))?;
            let registration = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
            fs::write(directory.join("cgroup.event_control"), registration)?;
            Ok(Notice::Event {
                event,
                _control: control,
            })
        }
        CgroupVersion::V2 => {
            let descriptor = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
            inotify::add_watch(
                &descriptor,
                directory.join("memory.events"),
                inotify::WatchFlags::MODIFY,
            )?;
            Ok(Notice::Inotify(descriptor))
        }
    }
}

/// The kernel's messages from now on.
fn open_messages() -> io::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

/// The line that `mem_cgroup_print_oom_context` of the kernel writes:
/// `…;oom-kill:constraint=…,task_memcg=/ms/app/instance,task=node,pid=4711,uid=200000`. A task's name may hold a comma.
fn victim_of(message: &str) -> Option<Victim> {
    let (_, text) = message.split_once(";oom-kill:")?;
    let (_, from_cgroup) = text.split_once(",task_memcg=")?;
    let (cgroup, from_name) = from_cgroup.split_once(",task=")?;
    let (name, from_pid) = from_name.rsplit_once(",pid=")?;
    let pid = from_pid.split(',').next()?.parse().ok()?;
    Some(Victim {
        cgroup: cgroup.to_owned(),
        name: name.to_owned(),
        pid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "6,1201,99,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=i,mems_allowed=0,\
        oom_memcg=/ms/app/i,task_memcg=/ms/app/i,task=my,app,pid=4711,uid=200000\n";

    #[test]
    fn the_victim_is_read_from_the_kernel_s_message() {
        let expected = Victim {
            cgroup: "/ms/app/i".into(),
            name: "my,app".into(),
            pid: 4711,
        };
        assert_eq!(victim_of(MESSAGE), Some(expected));
        assert_eq!(victim_of("6,1,2,-;usb 1-1: new device"), None);
    }

    fn unknown(count: usize) -> MemoryWatch {
        let kill = MemoryKill {
            at: Timestamp::UNIX_EPOCH,
            main_process: None,
            process: None,
        };
        MemoryWatch {
            notice: None,
            messages: None,
            seen: 0,
            kills: vec![kill; count],
            look_until: None,
            next_look: None,
        }
    }

    fn concluded(main_was_killed: bool, by_platform: bool) -> Vec<Option<bool>> {
        let mut watch = unknown(2);
        watch.conclude(main_was_killed, by_platform);
        watch.kills().iter().map(|kill| kill.main_process).collect()
    }

    #[test]
    fn the_end_of_the_main_process_tells_whom_the_kernel_killed() {
        assert_eq!(concluded(false, false), [Some(false), Some(false)]);
        assert_eq!(concluded(true, false), [Some(false), Some(true)]);
        assert_eq!(concluded(true, true), [None, None]);
    }
}
