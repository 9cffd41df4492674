//! A world for the local engine: its own prefix, directories and app, and nothing of it left when the test ends, however it ends.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use mainstay_diagnosis::facts::{ExitRecord, StopReason, Termination};
use mainstay_engine::{
    Engine, InstanceOwner, InstanceSpec, Limits, LogQuery, Network,
    local::{LocalConfig, LocalEngine},
};
use mainstay_images::ImageStore;
use mainstay_shim::{cgroup::Cgroup, log::LogLine};
use mainstay_spec::ids::{AppId, DeploymentId, InstanceId};
use uuid::Uuid;

/// Longer than anything takes on a loaded machine; a test that waits so long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

pub(crate) const PROGRAMS: [&str; 2] = ["runc", "mkfs.ext4"];

pub(crate) struct World {
    pub(crate) engine: LocalEngine,
    pub(crate) config: LocalConfig,
    pub(crate) app: AppId,
    pub(crate) images: ImageStore,
    _directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let unique = Uuid::new_v4().simple().to_string();
        let directory = tempfile::tempdir().unwrap();
        let run_dir = PathBuf::from("/run").join(format!("mstest-{}", &unique[..8]));
        let images = ImageStore::open(&directory.path().join("images")).unwrap();
        images
            .adopt_layer(&mainstay_testkit::busybox_layer(), "test", None)
            .unwrap();
        let config = LocalConfig {
            // Ids of the tests apart from an installation's.
            id_range: 2_000_000_000..2_000_000_000 + 16 * 65536,
            network: None,
            layer_owner: crate::LAYER_OWNER,
            images: Some(images.clone()),
            ..LocalConfig::new(
                &format!("mstest-{}", &unique[..8]),
                directory.path().join("data"),
                run_dir,
                mainstay_testkit::binaries(),
            )
        };
        Self {
            engine: LocalEngine::open(config.clone()).await.unwrap(),
            config,
            app: AppId::from_uuid(Uuid::new_v4()),
            images,
            _directory: directory,
        }
    }

    /// An instance that runs a shell text of the test's.
    pub(crate) fn shell(&self, text: &str) -> InstanceSpec {
        self.command(&["/bin/sh", "-c", text])
    }

    pub(crate) fn command(&self, argv: &[&str]) -> InstanceSpec {
        InstanceSpec {
            id: InstanceId::from_uuid(Uuid::new_v4()),
            owner: InstanceOwner::Component {
                app: self.app,
                deployment: DeploymentId::from_uuid(Uuid::new_v4()),
                component: "web".to_owned(),
                ordinal: 0,
            },
            layers: vec![mainstay_testkit::busybox_layer()],
            mounts: Vec::new(),
            argv: argv.iter().map(|&argument| argument.to_owned()).collect(),
            env: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
            working_dir: "/".to_owned(),
            user: None,
            hostname: "web-0".to_owned(),
            limits: Limits {
                memory_bytes: 64 << 20,
                cpu_millis: 1000,
                cpu_shares: 1024,
                pids: 64,
                disk_bytes: None,
            },
            network: Network::None,
            stop_signal: 15,
        }
    }

    /// Runs to the end: the record, and what it printed.
    pub(crate) async fn run(&self, spec: InstanceSpec) -> (ExitRecord, Vec<String>) {
        let id = spec.id;
        self.engine.start(spec).await.unwrap();
        let exit = self.wait(id).await;
        (exit, self.output(id).await)
    }

    pub(crate) async fn wait(&self, id: InstanceId) -> ExitRecord {
        let ended = tokio::time::timeout(DEADLINE, self.engine.wait(id)).await;
        ended.expect("the instance ends in time").unwrap()
    }

    /// The app's lines, in order.
    pub(crate) async fn output(&self, id: InstanceId) -> Vec<String> {
        let lines = self.lines(id, LogQuery::default()).await;
        lines.into_iter().map(|line| line.text).collect()
    }

    pub(crate) async fn lines(&self, id: InstanceId, query: LogQuery) -> Vec<LogLine> {
        let stream = self.engine.logs(id, query).await.unwrap();
        let collected = tokio::time::timeout(DEADLINE, stream.map(Result::unwrap).collect()).await;
        collected.expect("the log ends in time")
    }

    /// Waits until the app has printed a line.
    pub(crate) async fn printed(&self, id: InstanceId, text: &str) {
        let query = LogQuery {
            follow: true,
            ..LogQuery::default()
        };
        let mut stream = self.engine.logs(id, query).await.unwrap();
        let found = tokio::time::timeout(DEADLINE, async {
            while let Some(line) = stream.next().await {
                if line.unwrap().text == text {
                    return true;
                }
            }
            false
        });
        assert_eq!(found.await, Ok(true), "the instance never printed {text:?}");
    }

    pub(crate) async fn stop(&self, id: InstanceId, grace_period: Duration) -> ExitRecord {
        self.engine
            .stop(id, StopReason::Requested, grace_period)
            .await
            .unwrap()
    }

    pub(crate) fn cgroup(&self, id: InstanceId) -> Cgroup {
        let path = format!("/{}/{}/{}", self.config.prefix, self.app.short(), id.short());
        Cgroup::new(&self.config.cgroup_root, &path)
    }

    /// What is left of an instance that was removed.
    pub(crate) fn remains(&self, id: InstanceId) -> Vec<String> {
        let mut remains = Vec::new();
        if self.cgroup(id).exists() {
            remains.push(format!("cgroup {}", self.cgroup(id).path()));
        }
        let run = self.config.run_dir.join(id.short());
        if run.exists() {
            remains.push(run.display().to_string());
        }
        remains.extend(processes_with(&id.short()));
        remains.extend(mounts_with(&id.short()));
        remains
    }
}

/// Even a failing test leaves no process, cgroup or directory.
impl Drop for World {
    fn drop(&mut self) {
        for directory in instance_cgroups(&self.config) {
            let cgroup = Cgroup::new(&self.config.cgroup_root, &directory);
            let _ = cgroup.kill_all(DEADLINE);
        }
        let began = Instant::now();
        let run_dir = self.config.run_dir.to_string_lossy().into_owned();
        // The shims see their instances end and clean up by themselves.
        while !processes_with(&run_dir).is_empty() && began.elapsed() < DEADLINE {
            std::thread::yield_now();
        }
        let _ = Cgroup::new(&self.config.cgroup_root, &format!("/{}", self.config.prefix)).remove();
        let _ = fs::remove_dir_all(&self.config.run_dir);
    }
}

fn instance_cgroups(config: &LocalConfig) -> Vec<String> {
    let top = Cgroup::new(&config.cgroup_root, &format!("/{}", config.prefix));
    let memory = top.controller("memory");
    let mut paths = Vec::new();
    for app in directories(&memory) {
        for instance in directories(&memory.join(&app)) {
            paths.push(format!("/{}/{app}/{instance}", config.prefix));
        }
    }
    paths
}

fn directories(parent: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Processes whose command line holds a text.
pub(crate) fn processes_with(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(text) {
            found.push(format!(
                "process {}: {command}",
                entry.file_name().to_string_lossy()
            ));
        }
    }
    found
}

fn mounts_with(text: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts
        .lines()
        .filter(|line| line.contains(text))
        .map(str::to_owned)
        .collect()
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what a record holds")]
pub(crate) fn exited(code: i32) -> Option<Termination> {
    Some(Termination::Exited { code })
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what a record holds")]
pub(crate) fn signaled(signal: i32) -> Option<Termination> {
    Some(Termination::Signaled {
        signal,
        core_dumped: false,
    })
}

/// Asks again until there is an answer.
pub(crate) async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = tokio::time::timeout(DEADLINE, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    });
    asked.await.expect("the condition becomes true in time")
}
