//! Docker's daemon in namespaces of its own: its bridge, its `FORWARD` policy, its mounts and its processes are nobody else's, and the
//! kernel ends them all with the first of them.
//!
//! ```text
//!  bench ─▶ setpriv (ends with the bench) ─▶ unshare net, mount, pid ─▶ docker-init (PID 1, reaps)
//!                                                                         └─▶ this program, `--docker-daemon` ─▶ dockerd ─▶ containerd …
//! ```

use std::{
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::mount::{MountFlags, mount};

/// Given to this program by itself, before the daemon's directory and the name of its cgroups.
pub const ENTRY: &str = "--docker-daemon";

const DAEMON: &str = "/usr/sbin/dockerd";
const INIT: &str = "/usr/bin/docker-init";

/// Starts everything; the child is the outermost process, and all end with it.
pub(super) fn spawn(directory: &Path, name: &str) -> io::Result<Child> {
    fs::write(configuration(directory), configuration_text(directory))?;
    let log = fs::File::create(directory.join("daemon.log"))?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare"]);
    command.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child=SIGKILL",
        "--mount-proc",
    ]);
    command.args(["--propagation", "private", INIT, "-s", "--"]);
    command
        .arg(std::env::current_exe()?)
        .arg(ENTRY)
        .arg(directory)
        .arg(name);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn()
}

/// Becomes the daemon, inside of the namespaces. Returns only when that fails.
pub fn become_daemon(directory: &Path, name: &str) -> io::Error {
    match prepare() {
        Ok(()) => daemon(directory, name).exec(),
        Err(error) => error,
    }
}

/// What the daemon keeps below `/run`, its containers' sockets among it, goes with the namespace.
fn prepare() -> io::Result<()> {
    mount(
        "tmpfs",
        "/run",
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        None,
    )?;
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other("ip link set lo up failed"))
    }
}

/// As Debian starts it, but for where its files are.
fn daemon(directory: &Path, name: &str) -> Command {
    let mut command = Command::new(DAEMON);
    command.arg("--config-file").arg(configuration(directory));
    command.arg("--data-root").arg(directory.join("data"));
    command
        .arg("--host")
        .arg(format!("unix://{}", socket(directory).display()));
    command.args(["--group", "root", "--storage-driver", "overlay2"]);
    command.args([
        "--exec-opt",
        "native.cgroupdriver=cgroupfs",
        "--cgroup-parent",
        &format!("/{name}"),
    ]);
    command
}

pub(super) fn socket(directory: &Path) -> PathBuf {
    directory.join("docker.sock")
}

fn configuration(directory: &Path) -> PathBuf {
    directory.join("daemon.json")
}

/// The key would be written to /etc/docker otherwise.
fn configuration_text(directory: &Path) -> String {
    serde_json::json!({ "deprecated-key-path": directory.join("key.json") }).to_string()
}
