//! A real engine on directories and control groups of its own, and a base image made from Debian's static busybox.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use mainstay_build::{
    BuildLimits, BuildLog, BuildVariable,
    dockerfile::{
        DockerfileConfig, DockerfileEngine, DockerfileReport, DockerfileRequest, ImportSettings, StepNetwork,
    },
};
use mainstay_shim::log::LogSource;
use mainstay_spec::ids::{AppId, BuildId};
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) const BASE: &str = "mainstay-test/base:1";

/// What a test builds in. Dropping it removes everything, also after a panic.
pub(crate) struct World {
    pub(crate) engine: DockerfileEngine,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) cgroup_prefix: String,
    pub(crate) app: AppId,
    pub(crate) log: Arc<TestLog>,
    pub(crate) cancel: watch::Sender<bool>,
}

/// Keeps the lines of a build.
#[derive(Debug)]
pub(crate) struct TestLog {
    lines: Mutex<Vec<(LogSource, String)>>,
    changed: watch::Sender<usize>,
}

impl BuildLog for TestLog {
    fn line(&self, source: LogSource, text: &str) {
        self.lines.lock().unwrap().push((source, text.to_owned()));
        self.changed.send_modify(|count| *count += 1);
    }
}

impl TestLog {
    pub(crate) fn text(&self) -> String {
        let lines = self.lines.lock().unwrap();
        let texts: Vec<String> = lines
            .iter()
            .map(|(source, text)| format!("{source:?}: {text}"))
            .collect();
        texts.join("\n")
    }

    pub(crate) fn has(&self, source: LogSource, wanted: &str) -> bool {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .any(|(from, text)| *from == source && text.contains(wanted))
    }

    /// Waits until a step printed this line.
    pub(crate) async fn wait_for(&self, wanted: &str) {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !self.has(LogSource::Stdout, wanted) {
                changed.changed().await.unwrap();
            }
        };
        let printed = tokio::time::timeout(Duration::from_mins(1), wait).await;
        assert!(printed.is_ok(), "{wanted:?} was not printed:\n{}", self.text());
    }
}

/// True when this machine can run the test; says why not.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn can_run() -> bool {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root");
        return false;
    }
    for tool in [
        "/usr/bin/buildah",
        "/usr/sbin/runc",
        "/usr/bin/apt-get",
        "/usr/bin/dpkg-deb",
    ] {
        if !Path::new(tool).exists() {
            eprintln!("SKIPPED: {tool} is not installed");
            return false;
        }
    }
    true
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With settings changed before the engine is made.
    pub(crate) async fn with(change: impl FnOnce(&mut DockerfileConfig)) -> Self {
        let world = Self::without_base(change).await;
        let settings = ImportSettings {
            env: vec![("PATH".to_owned(), "/bin".to_owned())],
            command: vec!["/bin/sh".to_owned()],
        };
        world
            .engine
            .import_base(BASE, &busybox_root(), &settings)
            .await
            .unwrap();
        world
    }

    /// As a machine is on which nothing was built yet: `BASE` is not there.
    pub(crate) async fn without_base(change: impl FnOnce(&mut DockerfileConfig)) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("mainstay-dockerfile-")
            .tempdir()
            .unwrap();
        let cgroup_prefix = format!("/mainstay-test-{}", Uuid::new_v4().simple());
        let mut config = DockerfileConfig::new(
            directory.path().join("state"),
            directory.path().join("run"),
            StepNetwork::Host,
        );
        config.cgroup_prefix.clone_from(&cgroup_prefix);
        config.grace_period = Duration::from_secs(3);
        config.pull_retry_delay = Duration::from_millis(50);
        config.disk_free_floor_bytes = 0;
        change(&mut config);
        let engine = DockerfileEngine::new(config).await.unwrap();
        fs::create_dir(directory.path().join("source")).unwrap();
        Self {
            engine,
            cgroup_prefix,
            directory,
            app: AppId::from_uuid(Uuid::new_v4()),
            log: Arc::new(TestLog {
                lines: Mutex::default(),
                changed: watch::Sender::new(0),
            }),
            cancel: watch::Sender::new(false),
        }
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.directory.path().join("source")
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.source().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn request(&self) -> DockerfileRequest {
        DockerfileRequest {
            build: BuildId::from_uuid(Uuid::new_v4()),
            app: self.app,
            component: "web".to_owned(),
            source_root: self.source(),
            source_dir: "/".to_owned(),
            dockerfile_path: None,
            target: None,
            variables: BTreeMap::new(),
            force: false,
            limits: BuildLimits {
                memory_bytes: 256 << 20,
                cpu_millis: 2000,
                pids: 64,
                disk_bytes: 1 << 30,
                time_seconds: 120,
            },
        }
    }

    /// Builds this Dockerfile (`BASE` stands for the base image) and checks that nothing is left over.
    pub(crate) async fn build(&self, dockerfile: &str) -> DockerfileReport {
        self.build_with(dockerfile, |_| {}).await
    }

    pub(crate) async fn build_with(
        &self,
        dockerfile: &str,
        change: impl FnOnce(&mut DockerfileRequest),
    ) -> DockerfileReport {
        self.write("Dockerfile", &dockerfile.replace("BASE", BASE));
        let mut request = self.request();
        change(&mut request);
        let report = self.run(request).await;
        self.assert_nothing_left();
        report
    }

    pub(crate) async fn run(&self, request: DockerfileRequest) -> DockerfileReport {
        let log: Arc<dyn BuildLog> = self.log.clone();
        self.engine.build(request, log, self.cancel.subscribe()).await
    }

    pub(crate) fn assert_nothing_left(&self) {
        let left = self.left_over();
        assert!(left.is_empty(), "left over: {left:?}\n{}", self.log.text());
    }

    /// Mounts, control groups, processes and working containers of this world.
    fn left_over(&self) -> Vec<String> {
        let mut left = Vec::new();
        let directory = self.directory.path().to_str().unwrap().to_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(
            mounts
                .lines()
                .filter(|line| line.contains(&directory))
                .map(str::to_owned),
        );
        left.extend(
            cgroups(&self.cgroup_prefix)
                .into_iter()
                .map(|path| path.display().to_string()),
        );
        left.extend(
            processes(&self.cgroup_prefix)
                .into_iter()
                .map(|pid| format!("process {pid}")),
        );
        for entry in walkdir::WalkDir::new(self.directory.path()).into_iter().flatten() {
            let is_list = entry.file_name() == "containers.json";
            if is_list && fs::read_to_string(entry.path()).unwrap().trim() != "[]" {
                left.push(entry.path().display().to_string());
            }
        }
        if let Ok(entries) = fs::read_dir(self.directory.path().join("run/builds")) {
            left.extend(entries.flatten().map(|entry| entry.path().display().to_string()));
        }
        left
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for pid in processes(&self.cgroup_prefix) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let directory = self.directory.path().to_str().unwrap().to_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for mount in mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .filter(|m| m.starts_with(&directory))
        {
            let _ = rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH);
        }
        for path in cgroups("/")
            .into_iter()
            .filter(|path| path.to_string_lossy().contains(&self.cgroup_prefix))
        {
            let _ = fs::remove_dir(path);
        }
    }
}

/// Directories below the prefix (not the prefix itself), deepest first, in every tree.
fn cgroups(prefix: &str) -> Vec<PathBuf> {
    walkdir::WalkDir::new("/sys/fs/cgroup")
        .contents_first(true)
        .max_depth(6)
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_type().is_dir())
        .map(walkdir::DirEntry::into_path)
        .filter(|path| {
            let text = path.to_string_lossy();
            text.contains("/mainstay-test-") && text.contains(&format!("{}/", prefix.trim_end_matches('/')))
        })
        .collect()
}

fn processes(prefix: &str) -> Vec<i32> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        // A zombie is gone; it only waits for process 1 to take note of it.
        .filter(|pid| {
            !fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|text| text.contains(") Z "))
        })
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/cgroup"))
                .is_ok_and(|text| text.contains(&format!("{prefix}/")))
        })
        .collect()
}

pub(crate) fn secret(value: &str) -> BuildVariable {
    BuildVariable {
        value: value.to_owned(),
        secret: true,
    }
}

pub(crate) fn plain(value: &str) -> BuildVariable {
    BuildVariable {
        value: value.to_owned(),
        secret: false,
    }
}

/// The file tree of a tiny system: busybox with its names. Made once per machine and kept.
fn busybox_root() -> PathBuf {
    let cache = std::env::temp_dir().join("mainstay-test-busybox");
    let root = cache.join("root");
    if root.join("complete").exists() {
        return root;
    }
    // Several test processes may get here at once: each makes its own, the first rename wins.
    let draft = tempfile::Builder::new()
        .prefix("mainstay-test-busybox-")
        .tempdir()
        .unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(draft.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    run(
        "apt-get",
        &[
            "download",
            "-q",
            "-o",
            "APT::Sandbox::User=root",
            "busybox-static",
        ],
    );
    let package = fs::read_dir(draft.path())
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .file_name();
    run("dpkg-deb", &["-x", package.to_str().unwrap(), "unpacked"]);
    let made = draft.path().join("root");
    fs::create_dir_all(made.join("bin")).unwrap();
    fs::create_dir_all(made.join("etc")).unwrap();
    fs::create_dir_all(made.join("tmp")).unwrap();
    fs::write(made.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").unwrap();
    fs::copy(
        draft.path().join("unpacked/bin/busybox"),
        made.join("bin/busybox"),
    )
    .unwrap();
    for name in run("unpacked/bin/busybox", &["--list"])
        .lines()
        .filter(|name| *name != "busybox")
    {
        std::os::unix::fs::symlink("busybox", made.join("bin").join(name)).unwrap();
    }
    fs::write(made.join("complete"), "").unwrap();
    fs::create_dir_all(&cache).unwrap();
    if fs::rename(&made, &root).is_err() {
        assert!(
            root.join("complete").exists(),
            "the cached base is broken: remove {}",
            cache.display()
        );
    }
    root
}
