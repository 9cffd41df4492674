//! Files of cgroup v2: kernel documentation, admin-guide/cgroup-v2.

use std::fs;

use super::{Cgroup, CgroupVersion, Usage, read_keyed, read_number};

pub(super) fn memory_kills(cgroup: &Cgroup) -> u64 {
    read_keyed(&cgroup.controller("memory").join("memory.events"), "oom_kill").unwrap_or(0)
}

pub(super) fn usage(cgroup: &Cgroup) -> Usage {
    let directory = cgroup.controller("memory");
    let cpu = directory.join("cpu.stat");
    Usage {
        memory_bytes: read_number(&directory.join("memory.current")),
        memory_limit_bytes: read_number(&directory.join("memory.max")),
        // Since kernel 5.19; before, the peak is not known.
        memory_peak_bytes: read_number(&directory.join("memory.peak")),
        memory_kills: memory_kills(cgroup),
        cpu_usage_micros: read_keyed(&cpu, "usage_usec"),
        cpu_throttled_micros: read_keyed(&cpu, "throttled_usec"),
        pids: read_number(&directory.join("pids.current")),
        pids_limit_hits: read_keyed(&directory.join("pids.events"), "max"),
    }
}

/// Asks the kernel (5.14 and later) to kill the whole tree at once; false when it cannot.
pub(super) fn kill(cgroup: &Cgroup) -> bool {
    let file = cgroup.controller("memory").join("cgroup.kill");
    cgroup.version() == CgroupVersion::V2 && file.exists() && fs::write(file, "1").is_ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn usage_is_read_from_the_one_directory() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "cgroup.controllers", "cpu memory pids\n");
        put(root.path(), "ms/a/memory.max", "67108864\n");
        put(root.path(), "ms/a/memory.current", "4096\n");
        put(root.path(), "ms/a/memory.peak", "67108864\n");
        put(
            root.path(),
            "ms/a/memory.events",
            "low 0\nhigh 0\nmax 31\noom 1\noom_kill 1\noom_group_kill 0\n",
        );
        put(
            root.path(),
            "ms/a/cpu.stat",
            "usage_usec 900\nuser_usec 1\nthrottled_usec 80\n",
        );
        put(root.path(), "ms/a/pids.current", "2\n");
        put(root.path(), "ms/a/pids.events", "max 1\n");
        let cgroup = Cgroup::new(root.path(), "/ms/a");
        assert_eq!(cgroup.version(), CgroupVersion::V2);
        let expected = Usage {
            memory_bytes: Some(4096),
            memory_limit_bytes: Some(67_108_864),
            memory_peak_bytes: Some(67_108_864),
            memory_kills: 1,
            cpu_usage_micros: Some(900),
            cpu_throttled_micros: Some(80),
            pids: Some(2),
            pids_limit_hits: Some(1),
        };
        assert_eq!(cgroup.usage(), expected);
    }

    #[test]
    fn max_is_no_limit_and_a_missing_peak_is_not_known() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "cgroup.controllers", "memory\n");
        put(root.path(), "ms/memory.max", "max\n");
        let usage = Cgroup::new(root.path(), "/ms").usage();
        assert_eq!((usage.memory_limit_bytes, usage.memory_peak_bytes), (None, None));
    }
}
