//! The kernel's own record of memory kills (`/dev/kmsg`): it alone names the victim. It refines what the counter proved, and is never
//! needed: the log may be unreadable, rate limited or overwritten.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
};

/// Longest record of the kernel (`CONSOLE_EXT_LOG_MAX`).
const RECORD_MAX: usize = 8192;
/// Records read in one go; a memory kill prints about fifty.
const RECORDS_PER_READ: usize = 20_000;

/// A process killed by the kernel for memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Victim {
    /// The group whose limit was hit.
    pub limit_cgroup: String,
    /// The group the process was in.
    pub task_cgroup: String,
    pub name: String,
    pub pid: i32,
}

/// Reads what the kernel logs from now on.
#[derive(Debug)]
pub(crate) struct KernelLog {
    file: File,
}

impl KernelLog {
    /// `None` when the log may not be read.
    pub(crate) fn open_at_end() -> Option<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open("/dev/kmsg")
            .ok()?;
        file.seek(SeekFrom::End(0)).ok()?;
        Some(Self { file })
    }

    /// Memory kills below `cgroup` since the last call.
    pub(crate) fn victims_below(&mut self, cgroup: &str) -> Vec<Victim> {
        let mut victims = Vec::new();
        let mut record = [0; RECORD_MAX];
        for _ in 0..RECORDS_PER_READ {
            match self.file.read(&mut record) {
                Ok(length) => victims.extend(
                    std::str::from_utf8(&record[..length])
                        .ok()
                        .and_then(parse)
                        .filter(|victim| is_below(&victim.limit_cgroup, cgroup)),
                ),
                // Records were overwritten before we came: the next read continues with the oldest that is left.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
                Err(_) => break,
            }
        }
        victims
    }
}

fn is_below(path: &str, cgroup: &str) -> bool {
    path.strip_prefix(cgroup)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// "6,544,2035977968,-;oom-kill:constraint=…,oom_memcg=/a,task_memcg=/a/b,task=dd,pid=6331,uid=0"
fn parse(record: &str) -> Option<Victim> {
    let message = record.split_once(';')?.1.lines().next()?;
    let fields = message.strip_prefix("oom-kill:")?;
    let (_, from_limit) = fields.split_once(",oom_memcg=")?;
    let (limit_cgroup, from_task) = from_limit.split_once(",task_memcg=")?;
    // The name is chosen by the process and may contain anything, so the pid is looked for from the end.
    let (task_cgroup, from_name) = from_task.split_once(",task=")?;
    let (name, from_pid) = from_name.rsplit_once(",pid=")?;
    let pid = from_pid.split(',').next()?.parse().ok()?;
    Some(Victim {
        limit_cgroup: limit_cgroup.to_owned(),
        task_cgroup: task_cgroup.to_owned(),
        name: name.to_owned(),
        pid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_record_is_understood() {
        let record = "6,544,2035977968,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=ctr,mems_allowed=0,\
                      oom_memcg=/m/b1,task_memcg=/m/b1/steps/ctr,task=a,pid=1,b,pid=6331,uid=0\n";
        assert_eq!(
            parse(record),
            Some(Victim {
                limit_cgroup: "/m/b1".to_owned(),
                task_cgroup: "/m/b1/steps/ctr".to_owned(),
                name: "a,pid=1,b".to_owned(),
                pid: 6331,
            })
        );
        assert_eq!(parse("6,1,2,-;usb 1-1: new device\n"), None);
    }

    #[test]
    fn a_longer_name_is_not_below() {
        assert!(is_below("/m/b1/steps", "/m/b1"));
        assert!(is_below("/m/b1", "/m/b1"));
        assert!(!is_below("/m/b12", "/m/b1"));
    }
}
