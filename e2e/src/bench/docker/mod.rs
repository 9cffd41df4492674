//! Debian's Docker, with nothing of it outside of its own namespaces, one directory and one name of cgroups. Dropping it removes it all.

mod api;
mod daemon;
mod remains;

use std::{
    fs::{self, File},
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::Duration,
};

use rustix::{
    fd::AsFd,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use serde_json::Value;
use tempfile::TempDir;

pub use daemon::{ENTRY, become_daemon};

use crate::{
    run::{Answer, run},
    visit::{Page, Waiting},
    wait_until,
};

const CLIENT: &str = "/usr/bin/docker";
const STARTS_WITHIN: Duration = Duration::from_mins(1);
const CLIENT_WITHIN: Duration = Duration::from_mins(10);

/// What containers get, in Docker's words: the same as ours.
pub(super) const LIMITS: [&str; 8] = [
    "--memory",
    "512m",
    "--memory-swap",
    "512m",
    "--cpus",
    "1",
    "--pids-limit",
    "2048",
];

/// A running daemon.
#[derive(Debug)]
pub(super) struct Docker {
    directory: TempDir,
    name: String,
    daemon: Child,
    /// The network namespace that the containers' bridge is in.
    network: File,
}

impl Docker {
    pub(super) fn start() -> Self {
        for program in [
            CLIENT,
            "/usr/sbin/dockerd",
            "/usr/bin/docker-init",
            "/usr/bin/setpriv",
            "/usr/bin/unshare",
        ] {
            assert!(
                Path::new(program).exists(),
                "{program} is missing: `./x bench` installs Debian's docker.io"
            );
        }
        let directory = tempfile::Builder::new()
            .prefix("mainstay-bench-docker-")
            .tempdir();
        let directory = directory.expect("the temporary directory is writable");
        let name = format!("msbench{}-docker", std::process::id());
        let mut daemon = daemon::spawn(directory.path(), &name).expect("the daemon's programs are there");
        let socket = daemon::socket(directory.path());
        let ended = |daemon: &mut Child| matches!(daemon.try_wait(), Ok(Some(_)));
        let answers = || api::call(&socket, "GET", "/_ping", None).is_ok();
        let up = wait_until(STARTS_WITHIN, || ended(&mut daemon) || answers()) && answers();
        let network = up.then(|| network_of(&daemon)).and_then(Result::ok);
        let Some(network) = network else {
            // Whatever of it runs ends with the outermost process.
            drop(daemon.kill());
            drop(daemon.wait());
            remains::remove_cgroups(&name);
            panic!(
                "Docker does not start:\n{}",
                tail(&directory.path().join("daemon.log"))
            );
        };
        Self {
            directory,
            name,
            daemon,
            network,
        }
    }

    /// Docker's command line program.
    pub(super) fn client(&self, arguments: &[&str]) -> Answer {
        let mut command = self.command();
        command.args(arguments);
        run(&mut command, CLIENT_WITHIN).expect_success(&format!("docker {}", arguments.join(" ")))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(CLIENT);
        command.env(
            "DOCKER_HOST",
            format!("unix://{}", daemon::socket(self.directory.path()).display()),
        );
        command.env("DOCKER_CONFIG", self.directory.path().join("client"));
        // The builder of today's Docker, which this version has to be asked for.
        command.env("DOCKER_BUILDKIT", "1").env_remove("DOCKER_CONTEXT");
        command
    }

    /// The engine, without the program.
    pub(super) fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = api::call(&daemon::socket(self.directory.path()), method, path, body);
        answer.unwrap_or_else(|error| panic!("Docker's API: {error}"))
    }

    /// Makes an image of directories that hold root file systems, the later ones above the earlier ones. They are on the temporary
    /// directory's file system, or there is only one.
    pub(super) fn import(&self, layers: &[PathBuf], changes: &[String], image: &str) {
        let archive = self.directory.path().join("import.tar");
        match layers {
            [only] => pack(only, &archive),
            several => {
                let merged = self.directory.path().join("import");
                merge(several, &merged);
                pack(&merged, &archive);
                fs::remove_dir_all(merged).expect("our own directory");
            }
        }
        let archive_path = archive.display().to_string();
        let changes = changes.iter().flat_map(|change| ["--change", change]);
        let arguments: Vec<&str> = ["import"]
            .into_iter()
            .chain(changes)
            .chain([archive_path.as_str(), image])
            .collect();
        let _ = self.client(&arguments);
        fs::remove_file(archive).expect("our own file");
    }

    /// Where a container of the default bridge answers.
    pub(super) fn address(&self, container: &str, port: u16) -> SocketAddr {
        let described = self.api("GET", &format!("/containers/{container}/json"), None);
        let address = described
            .pointer("/NetworkSettings/IPAddress")
            .and_then(Value::as_str);
        let address: Option<IpAddr> = address.and_then(|text| text.parse().ok());
        SocketAddr::new(
            address.unwrap_or_else(|| panic!("{container} has no address")),
            port,
        )
    }

    /// Asks a container until it answers as wanted.
    pub(super) fn wait_for_page(&self, waiting: &Waiting<'_>) -> Page {
        let network = self.network.as_fd();
        // The thread is in the containers' network and ends there.
        let asked = thread::scope(|scope| {
            let asking = scope.spawn(move || {
                move_into_link_name_space(network, Some(LinkNameSpaceType::Network))?;
                Ok::<_, io::Error>(waiting.wait())
            });
            asking.join().expect("the waiting does not panic")
        });
        asked
            .expect("root may change its namespace")
            .unwrap_or_else(|reason| panic!("{reason}"))
    }

    pub(super) fn log(&self, container: &str) -> String {
        let answer = self.client(&["logs", container]);
        answer.stdout + &answer.stderr
    }

    /// All processes in Docker's process namespace: its own and the containers'.
    pub(super) fn processes(&self) -> Vec<u32> {
        remains::processes_like(inner(&self.daemon))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let processes = self.processes();
        drop(self.daemon.kill());
        drop(self.daemon.wait());
        let left = remains::wait_and_remove(&processes, &self.name);
        if !left.is_empty() {
            eprintln!("taking Docker down left behind:\n  {}", left.join("\n  "));
        }
    }
}

fn pack(directory: &Path, archive: &Path) {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--numeric-owner", "--file"]).arg(archive);
    tar.arg("--directory").arg(directory).arg(".");
    let _ = run(&mut tar, CLIENT_WITHIN).expect_success("tar");
}

/// Files are linked: nobody writes to them.
fn merge(layers: &[PathBuf], merged: &Path) {
    for layer in layers {
        let mut copy = Command::new("cp");
        copy.args([
            "--archive",
            "--link",
            "--remove-destination",
            "--no-target-directory",
        ]);
        copy.arg(layer).arg(merged);
        let _ = run(&mut copy, CLIENT_WITHIN).expect_success("cp");
    }
}

/// The first process inside of the namespaces.
fn inner(daemon: &Child) -> Option<u32> {
    let outer = daemon.id();
    let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn network_of(daemon: &Child) -> io::Result<File> {
    let inner = inner(daemon).ok_or_else(|| io::Error::other("the daemon has ended"))?;
    File::open(format!("/proc/{inner}/ns/net"))
}

fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
