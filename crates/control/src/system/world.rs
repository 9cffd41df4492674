//! What outlives a server, and the lives of servers in it.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use mainstay_images::{
    ImageStore,
    record::{ImageConfig, ImageRecord},
};
use mainstay_spec::{
    AppSpec, Format,
    ids::{AccountId, AppId, DeploymentId},
};
use mainstay_store::Store;
use tokio::time::Instant;

use super::{
    builder::ScriptedBuilder,
    calls::Calls,
    commits::Commits,
    engine::{Machine, SERVES},
    invariants,
    router::Router,
};
use crate::{
    alerts::Alerts,
    app::{Application, Refusal},
    authority::Authority,
    capacity::Capacity,
    clock::Clock,
    config::{AlertsConfig, Config},
    databases::{self, Databases},
    keep::{LogUse, Nudge, keep_house},
    logs::Logs,
    platform::{Platform, PlatformError},
    rollout::BuildQueue,
    routes::Routes,
    secrets::Keyring,
    server,
    tasks::Tasks,
    traffic::Unstored,
};

/// On a loaded machine; what takes longer is stuck.
const SETTLES_WITHIN: Duration = Duration::from_mins(2);
/// Real time without news, after which the clock is put forward: something waits for its next try.
pub(super) const PATIENCE: Duration = Duration::from_millis(1500);
/// A little more than the server's own look after what could not be done.
pub(super) const FORWARD: Duration = Duration::from_secs(31);
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A server that cannot start is started again by its supervisor.
const STARTS: usize = 5;

#[derive(Debug)]
pub(crate) struct World {
    pub(super) calls: Calls,
    pub(super) commits: Arc<Commits>,
    pub(super) machine: Arc<Machine>,
    pub(super) router: Router,
    builder: Arc<ScriptedBuilder>,
    images: ImageStore,
    config: Config,
    pub(super) clock: Clock,
    port: u16,
    /// What the API said yes to.
    accepted: Mutex<Vec<(AppId, DeploymentId)>>,
    _directory: tempfile::TempDir,
}

impl World {
    /// For tests of other rooms: the next commit is refused, as a full disk does.
    pub(crate) fn refuse_next_commit(&self) {
        self.commits.plan(0, super::commits::Refusal::Refused);
    }

    /// For tests of other rooms: visitors of the app were sent this much.
    pub(crate) fn visitors_are_sent(&self, app: AppId, bytes: u64) {
        let mut traffic = self.router.traffic.lock().unwrap();
        *traffic.entry(app.to_string()).or_default() += bytes;
    }

    /// For tests of other rooms: what every instance uses from now on, in percent of a core and in bytes.
    pub(crate) fn instances_use(&self, cpu_percent: u64, memory_bytes: u64) {
        self.machine.use_from_now_on(cpu_percent, memory_bytes);
    }

    /// For tests of other rooms: the clock on the wall, which looks go by.
    pub(crate) fn clock_goes_on(&self, by: Duration) {
        self.clock.put_forward(by);
    }

    /// Whether it came to that.
    pub(crate) fn has_refused(&self) -> bool {
        !self.commits.disarm()
    }

    /// What was asked of the engine and the builder since the last look.
    pub(crate) fn calls_made(&self) -> Vec<String> {
        self.calls.disarm()
    }

    /// `port` is that of its apps; several worlds may share one.
    pub(crate) fn new(port: u16, machine_number: u32) -> Self {
        let directory = in_memory();
        let (calls, images) = (
            Calls::new(),
            ImageStore::open(&directory.path().join("images")).unwrap(),
        );
        let draft = images.begin_layer().unwrap();
        std::fs::write(draft.path().join("index.html"), "hello").unwrap();
        let layer = draft.commit(None).unwrap();
        let files = images.layer_path(&layer).unwrap();
        let record = ImageRecord {
            id: images.new_image_id(),
            layers: vec![layer],
            config: ImageConfig::default(),
            created_at: Timestamp::now(),
            origin: "test".to_owned(),
            digest: None,
        };
        images.put_image(&record).unwrap();
        let router = Router::start(directory.path());
        let mut config = Config {
            data_dir: directory.path().to_owned(),
            run_dir: directory.path().join("run"),
            ..Config::default()
        };
        config.router.listen = vec![router.address];
        std::fs::create_dir_all(config.uploads_dir()).unwrap();
        Self {
            commits: Arc::new(Commits::new(calls.clone())),
            machine: Arc::new(Machine::new(calls.clone(), port, machine_number)),
            builder: Arc::new(ScriptedBuilder {
                calls: calls.clone(),
                image: record.id,
                files,
            }),
            calls,
            router,
            images,
            config,
            clock: Clock::default(),
            port,
            accepted: Mutex::default(),
            _directory: directory,
        }
    }

    pub(crate) fn with_requests_per_hour(mut self, requests: u64) -> Self {
        self.config.api.requests_per_hour = requests;
        self
    }

    pub(crate) fn with_requests_per_minute(mut self, requests: u64) -> Self {
        self.config.api.requests_per_minute = requests;
        self
    }

    /// Its alerts may go to this machine, whose certificates are vouched for by the one in the file.
    pub(super) fn with_alerts(mut self, ca_bundle: PathBuf, alerts: AlertsConfig) -> Self {
        self.config.build.ca_bundle = Some(ca_bundle);
        self.config.alerts = alerts;
        self
    }

    pub(super) fn with_api(mut self, listen: std::net::SocketAddr) -> Self {
        self.config.api.listen = listen;
        self
    }

    /// One server, from its start until the scenario ends or it is killed (`None`). Either way it is gone in that moment, as by `kill -9`.
    pub(crate) fn live<T>(&self, scenario: impl AsyncFnOnce(&Server<'_>) -> T) -> Option<T> {
        self.calls.revive();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let lived = runtime.block_on(async {
            let life = async { scenario(&self.start().await).await };
            tokio::select! {
                // The dead do nothing more.
                biased;
                () = self.calls.death() => None,
                done = life => Some(done),
            }
        });
        runtime.shutdown_background();
        lived
    }

    async fn start(&self) -> Server<'_> {
        let mut last = None;
        for _ in 0..STARTS {
            match self.try_start().await {
                Ok(application) => {
                    return Server {
                        world: self,
                        application,
                    };
                }
                Err(error) => last = Some(error),
            }
        }
        panic!("the server does not start: {last:?}")
    }

    async fn try_start(&self) -> Result<Application, PlatformError> {
        let faults = Arc::clone(&self.commits);
        // As the schema, before the first commit that is the test's own.
        let domain = &self.config.router.domain;
        let prepared = Store::open(&self.database()).await?.with_domain(domain).await?;
        prepared.close().await;
        let store = Store::open_with_faults(&self.database(), faults).await?;
        let store = store.with_domain(domain).await?;
        let secrets = Keyring::open(&self.config.data_dir, &store).await?;
        let platform = Arc::new(Platform {
            secrets,
            build_queue: BuildQueue::new(2, 2),
            logs: Logs::new(self.config.data_dir.join("logs")),
            tasks: Tasks::default(),
            nudge: Nudge::default(),
            log_use: LogUse::default(),
            alerts: Alerts::new(&self.config)?,
            unstored_traffic: Unstored::default(),
            clock: self.clock.clone(),
            capacity: Capacity::new(self.config.capacity.clone()),
            store,
            engine: Arc::clone(&self.machine) as _,
            builder: Arc::clone(&self.builder) as _,
            images: self.images.clone(),
            databases: Databases::new(Authority::open(
                &self.config.data_dir.join("authority"),
                databases::AUTHORITY,
            )?),
            routes: Routes::open(self.router.snapshot.clone(), self.router.control.clone()),
            config: self.config.clone(),
        });
        server::take_up(&platform).await?;
        let application = Application::new(Arc::clone(&platform));
        server::forget_stale_routes(&platform).await?;
        application.wake_up().await?;
        platform.tasks.spawn(keep_house(Arc::clone(&platform)));
        Ok(application)
    }

    pub(super) fn database(&self) -> PathBuf {
        self.config.data_dir.join("mainstay.db")
    }

    pub(super) fn accepted(&self) -> Vec<(AppId, DeploymentId)> {
        self.accepted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A service of two instances and a static site.
    pub(super) fn spec(&self, version: &str, run_command: &str, build_command: &str) -> AppSpec {
        let port = self.port;
        let yaml = format!(
            "
name: shop
services:
- name: web
  git: {{repo_clone_url: https://git.example/shop.git, branch: main}}
  build_command: {build_command}
  run_command: {run_command}
  http_port: {port}
  instance_count: 2
  instance_size_slug: apps-s-1vcpu-1gb
  health_check: {{http_path: /, period_seconds: 1}}
  envs: [{{key: VERSION, value: '{version}'}}]
static_sites:
- name: pages
  git: {{repo_clone_url: https://git.example/pages.git, branch: main}}
  routes: [{{path: /pages}}]
"
        );
        let parsed = mainstay_spec::parse(&yaml, Format::Yaml);
        parsed.unwrap_or_else(|errors| panic!("{errors}")).spec
    }

    pub(crate) fn good(&self, version: &str) -> AppSpec {
        self.spec(version, SERVES, "build")
    }
}

/// A running server, and what people ask of it.
pub(crate) struct Server<'a> {
    pub(crate) world: &'a World,
    pub(crate) application: Application,
}

impl Server<'_> {
    pub(super) async fn create(&self, spec: &AppSpec) -> Result<AppId, Refusal> {
        self.create_in(AccountId::FIRST, spec).await
    }

    async fn create_in(&self, account: AccountId, spec: &AppSpec) -> Result<AppId, Refusal> {
        let created = self.application.create_app(account, spec).await?;
        let app = created.view.app.id;
        self.accept(app, created.deployment);
        Ok(app)
    }

    pub(super) async fn update(&self, app: AppId, spec: &AppSpec) -> Result<DeploymentId, Refusal> {
        let pinned = std::collections::BTreeMap::new();
        let wish = crate::app::deployments::Wish::update(spec.clone(), pinned);
        let id = self.application.deploy(app, wish).await?;
        self.accept(app, id);
        Ok(id)
    }

    fn accept(&self, app: AppId, deployment: DeploymentId) {
        let mut accepted = self.world.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.push((app, deployment));
    }

    /// An app that serves.
    pub(crate) async fn serving_app(&self) -> AppId {
        self.serving_app_of(AccountId::FIRST).await
    }

    /// The same, of an account.
    pub(crate) async fn serving_app_of(&self, account: AccountId) -> AppId {
        let app = self
            .create_in(account, &self.world.good("1"))
            .await
            .expect("nothing is wrong yet");
        self.settle().await.expect("nothing is wrong yet");
        app
    }

    /// Waits until all that was accepted came to its end and nothing is wrong.
    ///
    /// # Errors
    /// What still is, when the time is over.
    pub(super) async fn settle(&self) -> Result<(), String> {
        let deadline = std::time::Instant::now() + SETTLES_WITHIN;
        let (mut last, mut since) = (Vec::new(), std::time::Instant::now());
        loop {
            let wrong = invariants::violations(self).await;
            if wrong.is_empty() {
                return Ok(());
            }
            if wrong != last {
                (last, since) = (wrong, std::time::Instant::now());
            }
            if std::time::Instant::now() > deadline {
                return Err(last.join("; "));
            }
            if since.elapsed() > PATIENCE {
                put_clock_forward(FORWARD).await;
                since = std::time::Instant::now();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Everything that waits for a time within `by` is woken.
pub(super) async fn put_clock_forward(by: Duration) {
    let before = Instant::now();
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
    assert!(before.elapsed() >= by);
}

/// Every commit waits for the disk: a memory file system has none to wait for.
fn in_memory() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    tempfile::Builder::new()
        .prefix("mainstay-system-")
        .tempdir_in(parent)
        .unwrap()
}
