//! Files of the v1 controllers: kernel documentation, admin-guide/cgroup-v1.

use std::path::{Path, PathBuf};

use super::{Cgroup, Usage, read_keyed, read_number};

/// Every hierarchy in which an OCI runtime makes a cgroup, where it is mounted.
pub const V1_CONTROLLERS: [&str; 15] = [
    "memory",
    "cpu",
    "cpuacct",
    "cpu,cpuacct",
    "pids",
    "devices",
    "freezer",
    "cpuset",
    "blkio",
    "net_cls",
    "net_prio",
    "perf_event",
    "hugetlb",
    "systemd",
    // Beside the controllers on a hybrid host: runc makes a cgroup there too.
    "unified",
];

/// Above this, a limit file means "no limit": the kernel shows the largest page-aligned number.
const NO_LIMIT: u64 = 1 << 62;

pub(super) fn hierarchies(root: &Path) -> impl Iterator<Item = PathBuf> {
    V1_CONTROLLERS
        .iter()
        .map(|controller| root.join(controller))
        .filter(|directory| directory.is_dir() && !directory.is_symlink())
}

pub(super) fn memory_kills(cgroup: &Cgroup) -> u64 {
    read_keyed(
        &cgroup.controller("memory").join("memory.oom_control"),
        "oom_kill",
    )
    .unwrap_or(0)
}

pub(super) fn usage(cgroup: &Cgroup) -> Usage {
    let memory = cgroup.controller("memory");
    let pids = cgroup.controller("pids");
    let limit = read_number(&memory.join("memory.limit_in_bytes"));
    Usage {
        memory_bytes: read_number(&memory.join("memory.usage_in_bytes")),
        memory_limit_bytes: limit.filter(|limit| *limit < NO_LIMIT),
        memory_peak_bytes: read_number(&memory.join("memory.max_usage_in_bytes")),
        memory_kills: memory_kills(cgroup),
        cpu_usage_micros: read_number(&cgroup.controller("cpuacct").join("cpuacct.usage")).map(to_micros),
        cpu_throttled_micros: read_keyed(&cgroup.controller("cpu").join("cpu.stat"), "throttled_time")
            .map(to_micros),
        pids: read_number(&pids.join("pids.current")),
        pids_limit_hits: read_keyed(&pids.join("pids.events"), "max"),
    }
}

fn to_micros(nanos: u64) -> u64 {
    nanos / 1000
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn usage_is_read_from_every_controller() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "memory/ms/a/memory.limit_in_bytes", "536870912\n");
        put(root.path(), "memory/ms/a/memory.usage_in_bytes", "1000\n");
        put(
            root.path(),
            "memory/ms/a/memory.max_usage_in_bytes",
            "536870912\n",
        );
        put(
            root.path(),
            "memory/ms/a/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        );
        put(root.path(), "cpuacct/ms/a/cpuacct.usage", "5000000\n");
        put(
            root.path(),
            "cpu/ms/a/cpu.stat",
            "nr_periods 3\nnr_throttled 1\nthrottled_time 7000\n",
        );
        put(root.path(), "pids/ms/a/pids.current", "4\n");
        put(root.path(), "pids/ms/a/pids.events", "max 9\n");
        let usage = Cgroup::new(root.path(), "/ms/a").usage();
        let expected = Usage {
            memory_bytes: Some(1000),
            memory_limit_bytes: Some(536_870_912),
            memory_peak_bytes: Some(536_870_912),
            memory_kills: 2,
            cpu_usage_micros: Some(5000),
            cpu_throttled_micros: Some(7),
            pids: Some(4),
            pids_limit_hits: Some(9),
        };
        assert_eq!(usage, expected);
    }

    #[test]
    fn an_unlimited_cgroup_has_no_limit() {
        let root = tempfile::tempdir().unwrap();
        put(
            root.path(),
            "memory/ms/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        assert_eq!(Cgroup::new(root.path(), "/ms").usage().memory_limit_bytes, None);
    }

    #[test]
    fn pids_of_sub_cgroups_and_of_every_hierarchy_are_listed_once() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "memory/ms/cgroup.procs", "11\n12\n");
        put(root.path(), "memory/ms/below/cgroup.procs", "13\n");
        put(root.path(), "pids/ms/cgroup.procs", "12\n0\n");
        assert_eq!(Cgroup::new(root.path(), "/ms").pids(), [11, 12, 13]);
    }
}
