//! A builder on the real engine. Base images, toolchains and package caches are kept between tests (`CARGO_TARGET_TMPDIR`); everything
//! else of a test is its own and gone when it ends, however it ends.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use mainstay_build::{
    Artifact, BuildLimits, BuildLog, BuildReport, BuildRequest, BuildVariable, Builder, BuilderConfig,
    LocalBuilder, ResolvedSource, Source,
    dockerfile::{DockerfileConfig, DockerfileEngine, StepNetwork},
    source::LocalPaths,
};
use mainstay_engine::{
    Engine, InstanceOwner, InstanceSpec, Limits, LogQuery, Network,
    local::{LocalConfig, LocalEngine, network::NetworkConfig},
};
use mainstay_images::{ImageStore, OperatorSettings, record::ImageRecord, store::StoreError};
use mainstay_shim::log::LogSource;
use mainstay_spec::{
    ids::{AppId, BuildId, DeploymentId, InstanceId},
    kind::ComponentKind,
};
use mainstay_testkit::Place;
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) const PROGRAMS: [&str; 6] = ["runc", "mkfs.ext4", "mmdebstrap", "nft", "git", "buildah"];
/// A container whose build went well is removed behind its report.
const GOES_WITHIN: Duration = Duration::from_secs(5);
/// Making the stack and fetching toolchains for the first time takes minutes on a busy machine.
const STORE_DEADLINE: Duration = Duration::from_mins(20);

pub(crate) struct World {
    pub(crate) builder: LocalBuilder,
    pub(crate) engine: Arc<LocalEngine>,
    pub(crate) store: ImageStore,
    pub(crate) app: AppId,
    config: LocalConfig,
    directory: tempfile::TempDir,
    _place: Place,
}

/// Keeps the lines.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<Vec<String>>);

impl BuildLog for Lines {
    fn line(&self, source: LogSource, text: &str) {
        if std::env::var_os("MAINSTAY_TEST_SHOW").is_some() {
            println!("{source:?} {text}");
        }
        self.0.lock().unwrap().push(text.to_owned());
    }
}

impl Lines {
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }

    /// Whether there is exactly this line.
    pub(crate) fn has(&self, line: &str) -> bool {
        self.0.lock().unwrap().iter().any(|kept| kept == line)
    }

    pub(crate) fn contain(&self, text: &str) -> bool {
        self.0.lock().unwrap().iter().any(|line| line.contains(text))
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let place = Place::claim();
        let directory = tempfile::tempdir().unwrap();
        let store = open_store().await;
        let prefix = format!("mb{}", place.tag());
        let network = NetworkConfig {
            prefix: prefix.clone(),
            table: format!("mstest_{prefix}"),
            pool: place.pool(),
            service_pool: place.service_pool(),
            ..NetworkConfig::new(directory.path().join("network.json"))
        };
        let config = LocalConfig {
            id_range: 2_100_000_000..2_100_000_000 + 16 * 65536,
            network: Some(network),
            ..LocalConfig::new(
                &format!("mstest-{prefix}"),
                directory.path().join("data"),
                PathBuf::from("/run").join(format!("mstest-{prefix}")),
                mainstay_testkit::binaries(),
            )
        };
        let engine = Arc::new(LocalEngine::open(config.clone()).await.unwrap());
        let dockerfile = DockerfileEngine::new(DockerfileConfig {
            cgroup_prefix: format!("/mstest-{prefix}-df"),
            ..DockerfileConfig::new(
                directory.path().join("dockerfile"),
                config.run_dir.join("df"),
                StepNetwork::None,
            )
        });
        let builder = LocalBuilder::open(
            BuilderConfig {
                state_dir: directory.path().join("builder"),
                settings: OperatorSettings::from_environment(),
                local_paths: LocalPaths::Anywhere,
            },
            Arc::clone(&engine) as Arc<dyn Engine>,
            store.clone(),
            Some(Arc::new(dockerfile.await.unwrap())),
        );
        Self {
            builder: builder.unwrap(),
            engine,
            store,
            app: AppId::from_uuid(Uuid::new_v4()),
            config,
            directory,
            _place: place,
        }
    }

    /// A source of these files, as an upload would be.
    pub(crate) fn source(&self, files: &[(&str, &str)]) -> Source {
        let id = Uuid::new_v4().to_string();
        let path = self.directory.path().join("uploads").join(&id);
        write_all(&path, files);
        Source::Upload { id, path }
    }

    pub(crate) fn request(&self, source: Source) -> BuildRequest {
        let revision = match &source {
            Source::Upload { id, .. } => id.clone(),
            _ => String::new(),
        };
        BuildRequest {
            build: BuildId::from_uuid(Uuid::new_v4()),
            app: self.app,
            deployment: DeploymentId::from_uuid(Uuid::new_v4()),
            component: "web".to_owned(),
            kind: ComponentKind::Service,
            source: ResolvedSource { source, revision },
            source_dir: "/".to_owned(),
            dockerfile_path: None,
            build_command: None,
            run_command: None,
            environment_slug: None,
            output_dir: None,
            variables: BTreeMap::new(),
            force: false,
            limits: BuildLimits {
                memory_bytes: 2 << 30,
                cpu_millis: 2000,
                pids: 1024,
                disk_bytes: 4 << 30,
                time_seconds: 900,
            },
        }
    }

    pub(crate) async fn build(&self, request: BuildRequest) -> (BuildReport, Arc<Lines>) {
        let (_sender, cancel) = watch::channel(false);
        let lines = Arc::new(Lines::default());
        let report = self.builder.build(request, lines.clone(), cancel).await;
        (report, lines)
    }

    /// A build that has to give an image.
    pub(crate) async fn image(&self, request: BuildRequest) -> (ImageRecord, BuildReport) {
        let (report, lines) = self.build(request).await;
        let output = report
            .output
            .clone()
            .unwrap_or_else(|| panic!("{:#?}\n{}", report.facts, lines.text()));
        let Artifact::Image { image } = output.artifact else {
            panic!("{output:?}")
        };
        (self.store.image(&image).unwrap(), report)
    }

    /// Runs a command line of the image as its processes are run, until it ends; gives what it printed.
    pub(crate) async fn run(&self, image: &ImageRecord, command: &str) -> String {
        let id = InstanceId::from_uuid(Uuid::new_v4());
        let spec = InstanceSpec {
            id,
            owner: InstanceOwner::Component {
                app: self.app,
                deployment: DeploymentId::from_uuid(Uuid::new_v4()),
                component: "web".to_owned(),
                ordinal: 0,
            },
            layers: self.store.layer_paths(image).unwrap(),
            mounts: Vec::new(),
            argv: ["bash", "-c", command].map(str::to_owned).to_vec(),
            env: image.config.env.clone(),
            working_dir: image.config.working_dir.clone().unwrap(),
            user: image.config.user.clone(),
            hostname: "web-0".to_owned(),
            limits: Limits {
                memory_bytes: 512 << 20,
                cpu_millis: 1000,
                cpu_shares: 1024,
                pids: 256,
                disk_bytes: None,
            },
            network: Network::None,
            stop_signal: 15,
        };
        self.engine.start(spec).await.unwrap();
        tokio::time::timeout(Duration::from_mins(2), self.engine.wait(id))
            .await
            .expect("the command ends")
            .unwrap();
        let lines = self.engine.logs(id, LogQuery::default()).await.unwrap();
        let lines: Vec<String> = futures_util::StreamExt::collect::<Vec<_>>(lines)
            .await
            .into_iter()
            .map(|line| line.unwrap().text)
            .collect();
        self.engine.remove(id).await.unwrap();
        self.engine.forget(id).await.unwrap();
        lines.join("\n")
    }

    /// What builds left, once the last container had time to go: instances, and drafts of layers.
    pub(crate) async fn remains(&self) -> Vec<String> {
        let deadline = Instant::now() + GOES_WITHIN;
        loop {
            let remains = self.present().await;
            if remains.is_empty() || Instant::now() > deadline {
                return remains;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn present(&self) -> Vec<String> {
        let mut remains: Vec<String> = self
            .engine
            .list()
            .await
            .unwrap()
            .iter()
            .map(|instance| format!("instance {}", instance.id))
            .collect();
        let drafts = fs::read_dir(self.store.root().join("drafts")).unwrap().flatten();
        remains.extend(drafts.map(|draft| draft.path().display().to_string()));
        remains
    }
}

pub(crate) fn write_all(directory: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

pub(crate) fn variable(value: &str, secret: bool) -> BuildVariable {
    BuildVariable {
        value: value.to_owned(),
        secret,
    }
}

/// One process has the store at a time, and tests are processes.
async fn open_store() -> ImageStore {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("build-store");
    let began = Instant::now();
    loop {
        match ImageStore::open(&root) {
            Ok(store) => return store,
            Err(StoreError::InUse { .. }) if began.elapsed() < STORE_DEADLINE => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("the store cannot be opened: {error}"),
        }
    }
}

/// Addresses that no other test on this machine uses at the same time, most likely.
/// Even a failing test leaves no container, device, table or directory.
impl Drop for World {
    fn drop(&mut self) {
        end_containers(&self.config);
        remove_networks(&self.engine);
        let _ = fs::remove_dir_all(&self.config.run_dir);
    }
}

/// On a thread of its own: the test's runtime cannot be waited in.
fn remove_networks(engine: &LocalEngine) {
    let Some(networks) = engine.networks() else { return };
    let removed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(networks.remove_all())
    });
    let removed = removed.join();
    let done = matches!(removed, Ok(Ok(())));
    assert!(
        done || std::thread::panicking(),
        "the test's networks stay: {removed:?}"
    );
}

fn end_containers(config: &LocalConfig) {
    let top = mainstay_shim::cgroup::Cgroup::new(&config.cgroup_root, &format!("/{}", config.prefix));
    let memory = top.controller("memory");
    for app in directories(&memory) {
        for instance in directories(&memory.join(&app)) {
            let path = format!("/{}/{app}/{instance}", config.prefix);
            let _ = mainstay_shim::cgroup::Cgroup::new(&config.cgroup_root, &path)
                .kill_all(Duration::from_secs(30));
        }
    }
    let _ = top.remove();
}

fn directories(parent: &Path) -> Vec<String> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
