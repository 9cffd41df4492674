//! A router of its own for each test: own directory, own port, ended with its value.

use std::{
    borrow::Borrow,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use mainstay_router::{
    client::Control,
    control::{Answer, Request, Status},
    snapshot::{Endpoint, Host, Protocol, Route, Snapshot, Target, Unavailable},
};
use tempfile::TempDir;

use super::{
    app::App,
    raw::{PATIENCE, Raw},
};

pub(crate) const HOST: &str = "shop.localhost";

#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) address: SocketAddr,
    pub(crate) supervisor: Child,
    place: TempDir,
    arguments: Vec<String>,
    runtime: tokio::runtime::Runtime,
    version: u64,
}

impl Router {
    pub(crate) fn start(snapshot: impl Borrow<Snapshot>) -> Self {
        Self::start_with(snapshot, &[])
    }

    pub(crate) fn start_with(snapshot: impl Borrow<Snapshot>, arguments: &[&str]) -> Self {
        let (place, snapshot) = (tempfile::tempdir().unwrap(), snapshot.borrow());
        snapshot.write(&place.path().join("routes.json")).unwrap();
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let (supervisor, address) = supervise(place.path(), "127.0.0.1:0".parse().unwrap(), &arguments);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self {
            address,
            supervisor,
            place,
            arguments,
            runtime,
            version: snapshot.version,
        }
    }

    /// Starts another supervisor on the same address and control socket.
    pub(crate) fn start_supervisor(&mut self) {
        (self.supervisor, _) = supervise(self.place.path(), self.address, &self.arguments);
    }

    pub(crate) fn connect(&self) -> Raw {
        Raw::connect(self.address)
    }

    pub(crate) fn place(&self) -> &Path {
        self.place.path()
    }

    pub(crate) fn snapshot_path(&self) -> PathBuf {
        self.place.path().join("routes.json")
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.place.path().join("access.log")
    }

    /// Brings new routes into force.
    pub(crate) fn route(&mut self, snapshot: Snapshot) {
        let version = self.write(snapshot);
        assert_eq!(
            self.ask(Request::WaitForVersion {
                version,
                timeout_ms: 10_000
            }),
            Answer::Done
        );
    }

    /// Writes new routes without waiting for them.
    pub(crate) fn write(&mut self, mut snapshot: Snapshot) -> u64 {
        self.version += 1;
        snapshot.version = self.version;
        snapshot.write(&self.snapshot_path()).unwrap();
        self.version
    }

    pub(crate) fn control(&self) -> Control {
        Control::new(&self.place.path().join("control.sock"))
    }

    pub(crate) fn ask(&self, request: Request) -> Answer {
        self.block_on(self.control().ask(request))
            .expect("the router answers")
    }

    pub(crate) fn status(&self) -> Status {
        self.block_on(self.control().status())
            .expect("the router answers")
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(future)
    }

    /// Waits until a status shows what is expected.
    pub(crate) fn wait_for(&self, what: &str, mut expected: impl FnMut(&Status) -> bool) -> Status {
        let mut last = None;
        wait_until(what, || {
            last = self.block_on(self.control().status()).ok();
            last.as_ref().is_some_and(&mut expected)
        });
        last.expect("a status was seen")
    }
}

impl Drop for Router {
    /// Ends it the hard way: tests of an orderly end do that themselves.
    fn drop(&mut self) {
        let worker = self.block_on(async {
            tokio::time::timeout(Duration::from_secs(2), self.control().status())
                .await
                .ok()?
                .ok()
        });
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
        for pid in worker
            .iter()
            .flat_map(|status| status.draining.iter().chain([&status.pid]))
        {
            kill(*pid);
        }
    }
}

/// Waits until the condition holds; asks again and again, because there is nothing to be notified by.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a process id");
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

pub(crate) fn terminate(pid: u32) {
    signal(pid, rustix::process::Signal::TERM);
}

pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a process id");
    rustix::process::kill_process(pid, signal).unwrap();
}

/// True while the process runs; a zombie does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn supervise(place: &Path, listen: SocketAddr, arguments: &[String]) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mainstay-router"))
        .arg("supervise")
        .args(["--listen", &listen.to_string()])
        .arg("--snapshot")
        .arg(place.join("routes.json"))
        .arg("--control")
        .arg(place.join("control.sock"))
        .arg("--log")
        .arg(place.join("access.log"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let announced: serde_json::Value = serde_json::from_str(&line).expect("the router says where it listens");
    let address = announced["listening"][0].as_str().unwrap().parse().unwrap();
    (child, address)
}

// === Snapshots ===

pub(crate) fn endpoint(id: &str, address: SocketAddr) -> Endpoint {
    Endpoint {
        id: id.into(),
        address,
    }
}

pub(crate) fn service(endpoints: Vec<Endpoint>) -> Target {
    Target::Service {
        endpoints,
        protocol: Protocol::Http1,
        unavailable: Unavailable {
            status: 503,
            code: Some("ContainerExitNonZero".into()),
            sentence: "web ended with exit code 3.".into(),
        },
    }
}

pub(crate) fn route(path_prefix: &str, target: Target) -> Route {
    Route {
        path_prefix: path_prefix.into(),
        exact: false,
        component: "web".into(),
        preserve_path_prefix: true,
        rewrite: None,
        target,
    }
}

pub(crate) fn host(routes: Vec<Route>) -> Host {
    Host {
        app: "shop".into(),
        routes,
    }
}

/// [`HOST`] with these routes.
pub(crate) fn snapshot(routes: Vec<Route>) -> Snapshot {
    Snapshot {
        version: 1,
        hosts: [(HOST.to_owned(), host(routes))].into(),
        ..Snapshot::default()
    }
}

/// [`HOST`] served by these apps, each an endpoint named as the app.
pub(crate) fn served_by(apps: &[&App]) -> Snapshot {
    snapshot(vec![route(
        "/",
        service(apps.iter().map(|app| endpoint(&app.name, app.address)).collect()),
    )])
}
