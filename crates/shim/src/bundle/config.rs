//! The configuration as data. Field names are those of the OCI runtime specification 1.0.2.

use std::collections::BTreeMap;

use mainstay_shim::{
    protocol::ExecCommand,
    spec::{Limits, ShimSpec},
};
use serde_json::{Value, json};

use crate::create::Places;

use super::{isolation, seccomp};

/// Where init is seen in the instance; `/dev` is the runtime's own tmpfs, so no image and no layer ever holds a trace of it.
const INIT_INSIDE: &str = "/dev/mainstay-init";

/// The period of the CPU quota. The kernel's own default.
const CPU_PERIOD_MICROS: u64 = 100_000;

/// The kernel refuses a smaller quota.
const CPU_QUOTA_MICROS_MIN: u64 = 1000;

pub(super) fn container(spec: &ShimSpec, places: &Places, open_files: u64) -> Value {
    let stop_signal = spec.stop_signal.to_string();
    let mut argv = vec![INIT_INSIDE, "run", &stop_signal, &spec.process.working_dir];
    argv.extend(spec.process.argv.iter().map(String::as_str));
    json!({
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": { "path": places.root(), "readonly": false },
        "process": process(spec, &argv, &spec.process.env, None, open_files),
        "mounts": mounts(places),
        "linux": {
            "namespaces": isolation::namespaces(),
            "uidMappings": [isolation::id_mapping(spec.id_base)],
            "gidMappings": [isolation::id_mapping(spec.id_base)],
            "cgroupsPath": spec.cgroup_path,
            "resources": resources(spec.limits),
            "sysctl": isolation::sysctls(),
            "maskedPaths": isolation::MASKED_PATHS,
            "readonlyPaths": isolation::READ_ONLY_PATHS,
            "seccomp": seccomp::policy(),
        },
    })
}

pub(super) fn exec_process(spec: &ShimSpec, command: &ExecCommand, open_files: u64) -> Value {
    let mut argv = vec![INIT_INSIDE, "exec", &spec.process.working_dir];
    argv.extend(command.argv.iter().map(String::as_str));
    let mut additional = command.env.clone();
    if command.terminal.is_some() {
        additional
            .entry("TERM".to_owned())
            .or_insert_with(|| "xterm".to_owned());
    }
    let env = with_additional(&spec.process.env, &additional);
    process(spec, &argv, &env, command.terminal, open_files)
}

/// Variables in `additional` replace those of the same name.
fn with_additional(env: &[String], additional: &BTreeMap<String, String>) -> Vec<String> {
    let kept = env.iter().filter(|variable| {
        let name = variable
            .split_once('=')
            .map_or(variable.as_str(), |(name, _)| name);
        !additional.contains_key(name)
    });
    kept.cloned()
        .chain(additional.iter().map(|(name, value)| format!("{name}={value}")))
        .collect()
}

fn process(
    spec: &ShimSpec,
    argv: &[&str],
    env: &[String],
    terminal: Option<(u16, u16)>,
    open_files: u64,
) -> Value {
    let mut process = json!({
        "terminal": terminal.is_some(),
        "user": {
            "uid": spec.process.uid,
            "gid": spec.process.gid,
            "additionalGids": spec.process.additional_gids,
        },
        "args": argv,
        "env": env,
        // Init enters the working directory itself, so that its absence has an errno.
        "cwd": "/",
        "capabilities": isolation::capabilities(),
        "noNewPrivileges": true,
        "rlimits": isolation::resource_limits(open_files),
        "oomScoreAdj": 0,
    });
    if let Some((columns, rows)) = terminal {
        process["consoleSize"] = json!({ "width": columns, "height": rows });
    }
    process
}

fn mounts(places: &Places) -> Value {
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
          "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
          "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
          "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
        { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] },
        { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
        { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
          "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] },
        { "destination": INIT_INSIDE, "type": "bind", "source": places.init(),
          "options": ["bind", "ro", "nosuid", "nodev"] },
    ])
}

fn resources(limits: Limits) -> Value {
    let quota = (u64::from(limits.cpu_millis) * CPU_PERIOD_MICROS / 1000).max(CPU_QUOTA_MICROS_MIN);
    json!({
        "devices": [{ "allow": false, "access": "rwm" }],
        // Memory and swap together at the same number: no swap.
        "memory": { "limit": limits.memory_bytes, "swap": limits.memory_bytes },
        "cpu": { "shares": limits.cpu_shares, "quota": quota, "period": CPU_PERIOD_MICROS },
        "pids": { "limit": limits.pids },
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use mainstay_shim::{
        files::Durability,
        log::LogLimits,
        spec::{FileOwners, ProcessSpec},
    };

    use super::*;

    fn spec() -> ShimSpec {
        ShimSpec {
            instance: "00000000-0000-0000-0000-000000000001".into(),
            container_id: "ms-000000000001".into(),
            data_dir: "/var/lib/mainstay/instances/1".into(),
            disk_templates: "/var/lib/mainstay/disk-templates".into(),
            runtime: "runc".into(),
            init: "/usr/lib/mainstay/mainstay-init".into(),
            cgroup_root: "/sys/fs/cgroup".into(),
            cgroup_path: "/mainstay/app/instance".into(),
            id_base: 200_000,
            owners: FileOwners::Idmapped,
            layers: vec!["/layers/base".into()],
            mounts: Vec::new(),
            held: Vec::new(),
            process: ProcessSpec {
                argv: vec!["web".into(), "--port".into(), "8080".into()],
                env: vec!["PATH=/bin".into(), "NAME=old".into()],
                working_dir: "/app".into(),
                uid: 1000,
                gid: 1000,
                additional_gids: vec![50],
            },
            hostname: "web-0".into(),
            limits: Limits {
                memory_bytes: 512 << 20,
                cpu_millis: 500,
                cpu_shares: 1024,
                pids: 256,
                disk_bytes: None,
            },
            stop_signal: 15,
            resolv_conf: String::new(),
            log: LogLimits::default(),
            record: Durability::PowerCut,
        }
    }

    #[test]
    fn the_container_is_as_the_golden_file_says() {
        let places = Places {
            run_dir: PathBuf::from("/run/mainstay/1"),
        };
        insta::with_settings!({ snapshot_path => "../../tests/golden", prepend_module_to_snapshot => false }, {
            insta::assert_json_snapshot!("container", container(&spec(), &places, 65536));
        });
    }

    #[test]
    fn an_exec_has_the_instance_s_environment_with_its_own_on_top() {
        let command = ExecCommand {
            argv: vec!["sh".into()],
            env: BTreeMap::from([("NAME".into(), "new".into())]),
            terminal: Some((80, 24)),
        };
        let process = exec_process(&spec(), &command, 65536);
        assert_eq!(process["env"], json!(["PATH=/bin", "NAME=new", "TERM=xterm"]));
        assert_eq!(process["args"], json!([INIT_INSIDE, "exec", "/app", "sh"]));
        assert_eq!(process["consoleSize"], json!({ "width": 80, "height": 24 }));
    }

    #[test]
    fn a_tiny_share_of_a_cpu_is_still_a_valid_quota() {
        let limits = Limits {
            cpu_millis: 1,
            ..spec().limits
        };
        assert_eq!(resources(limits)["cpu"]["quota"], json!(1000));
    }
}
