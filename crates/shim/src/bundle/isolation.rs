//! What an instance may not do: capabilities, namespaces, hidden paths, resource limits.

use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

/// What root of an instance keeps, over its own files and processes only (all of it is relative to its user namespace). Of the usual
/// container set, device nodes, audit messages and raw sockets are left out: the first two mean nothing in a user namespace, the
/// third would let an instance forge packets on the app's network.
const CAPABILITIES: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Files of the kernel that tell about the host.
pub(super) const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Files of the kernel that would change the host.
pub(super) const READ_ONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Open files, where the caller's own hard limit allows as many: raising it needs a capability that a server in a container lacks,
/// and the runtime would fail.
const OPEN_FILES: u64 = 65536;

pub(super) fn capabilities() -> Value {
    // Nothing inheritable or ambient: a process that is not root keeps none of them.
    json!({ "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES })
}

pub(super) fn namespaces() -> Value {
    let kinds = ["pid", "ipc", "uts", "mount", "network", "user", "cgroup"];
    kinds.iter().map(|kind| json!({ "type": kind })).collect()
}

pub(super) fn id_mapping(base: u32) -> Value {
    json!({ "containerID": 0, "hostID": base, "size": 65536 })
}

/// Any user of an instance may listen on port 80: the ports are the instance's own.
pub(super) fn sysctls() -> Value {
    json!({ "net.ipv4.ip_unprivileged_port_start": "0" })
}

pub(super) fn resource_limits(hard_limit_of_open_files: u64) -> Value {
    let open_files = OPEN_FILES.min(hard_limit_of_open_files);
    json!([
        { "type": "RLIMIT_NOFILE", "soft": open_files, "hard": open_files },
        // A core file would fill the disk of the instance and tell nobody anything.
        { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
    ])
}

pub(super) fn hard_limit_of_open_files() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}
