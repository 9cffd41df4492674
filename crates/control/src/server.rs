//! Starting and ending: what is opened in which order, and what is taken up from an earlier server.

use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::{extract::connect_info::Connected, serve::IncomingStream};
use mainstay_diagnosis::facts::StopReason;
use mainstay_engine::{EngineError, local::network::Networks};
use mainstay_spec::ids::{AppId, InstanceId};
use mainstay_store::Store;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use walkdir::WalkDir;

use crate::{
    alerts::{Alerts, send_alerts},
    app::Application,
    authority::Authority,
    capacity::Capacity,
    clock::Clock,
    config::Config,
    databases::{self, Databases},
    http,
    keep::{LogUse, Nudge, keep_house, pins},
    listen::{CertificateError, Certificates, Origin, TlsListener},
    logs::Logs,
    metrics::look_at_instances,
    parts,
    platform::{Platform, PlatformError},
    private_file,
    rollout::{BuildQueue, retire},
    routes::{RouterProcess, RouterSettings, Routes},
    secrets::Keyring,
    tasks::{Stage, Tasks},
    traffic::{Unstored, collect_last, count_traffic},
};

/// What the rooms have in the directory for running things.
const RUN_ROOMS: [&str; 3] = ["dockerfile", "engine", "router"];
/// The router is looked after this often.
const ROUTER_LOOK_EVERY: Duration = Duration::from_secs(2);
/// Open answers may take this long to end when the server stops.
const ROUTER_ENDS_WITHIN: Duration = Duration::from_secs(10);

/// When the server is told to end, for answers that are being given.
const ANSWERS_END_WITHIN: Duration = Duration::from_secs(5);
/// Then, for what the actors are at.
const ACTORS_END_WITHIN: Duration = Duration::from_secs(5);
/// Then, for queries of answers that were cut off.
const STORE_CLOSES_WITHIN: Duration = Duration::from_secs(5);

/// Everything that can keep the server from starting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error("another server works in {data_dir}")]
    AlreadyRunning { data_dir: String },
    #[error("could not {operation}")]
    Io {
        operation: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("could not make the first API token")]
    Token,
}

impl ServerError {
    fn io(operation: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Io { operation, source }
    }
}

/// Serves until it is told to end. Apps and router go on after that.
pub(crate) async fn run(config: Config) -> Result<(), ServerError> {
    let _lock = lock(&config)?;
    let (platform, router, _) = open(config).await?;
    take_up(&platform).await?;
    let application = Application::new(Arc::clone(&platform));
    write_first_token(&application).await?;
    // The apps want to show their routes as soon as they wake.
    if let Err(error) = router.ensure().await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the router does not run"
        );
    }
    forget_stale_routes(&platform).await?;
    databases::wake_up(&platform).await?;
    application.wake_up().await?;
    platform.tasks.spawn(look_after(router));
    platform.tasks.spawn(keep_house(Arc::clone(&platform)));
    platform.tasks.spawn(count_traffic(Arc::clone(&platform)));
    platform.tasks.spawn(look_at_instances(application.clone()));
    platform.tasks.spawn(send_alerts(application.clone()));
    let served = serve(&platform, application, told_to_end()).await;
    end(&platform).await;
    served
}

/// Each part of the end has its deadline: an answer, a build or a query that does not stop cannot keep the server.
pub(crate) async fn end(platform: &Platform) {
    let late = platform.tasks.end(ACTORS_END_WITHIN).await;
    if late > 0 {
        tracing::info!(apps = late, "the next server goes on with what was under way");
    }
    collect_last(platform).await;
    if timeout(STORE_CLOSES_WITHIN, platform.store.close())
        .await
        .is_err()
    {
        tracing::warn!("a query does not end; what it would have stored is left to the next server");
    }
}

/// Answers until it is told to end. Answers that take long after that are cut off.
pub(crate) async fn serve(
    platform: &Arc<Platform>,
    application: Application,
    told_to_end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServerError> {
    let api = &platform.config.api;
    let listen = api.listen;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .map_err(ServerError::io(format!("listen on {listen}")))?;
    let router = http::router(application);
    if api.is_encrypted() {
        let certificates = Certificates::open(&platform.config)?;
        let listener = TlsListener::new(listener, certificates).map_err(ServerError::io("serve TLS"))?;
        tracing::info!(%listen, "the API is served over TLS");
        serve_on(platform, listener, http::over_tls(router), told_to_end).await
    } else {
        tracing::info!(%listen, "the API is served");
        serve_on(platform, listener, router, told_to_end).await
    }
}

async fn serve_on<L>(
    platform: &Arc<Platform>,
    listener: L,
    router: axum::Router,
    told_to_end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServerError>
where
    L: axum::serve::Listener<Addr = std::net::SocketAddr>,
    Origin: for<'a> Connected<IncomingStream<'a, L>>,
{
    let closing = Arc::clone(platform);
    let service = router.into_make_service_with_connect_info::<Origin>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        told_to_end.await;
        closing.tasks.reach(Stage::Closing);
    });
    let overdue = async {
        platform.tasks.until(Stage::Closing).await;
        tokio::time::sleep(ANSWERS_END_WITHIN).await;
    };
    tokio::select! {
        served = serving.into_future() => served.map_err(ServerError::io("serve the API")),
        () = overdue => Ok(()),
    }
}

/// Stops every instance and takes down everything that was made on this machine; data stays.
pub(crate) async fn down(config: Config) -> Result<(), ServerError> {
    let _lock = lock(&config)?;
    let (platform, _, networks) = open(config).await?;
    collect_last(&platform).await;
    // Ends at once what would only be drained for visitors that no longer come.
    if let Err(error) = platform.routes.shut_down(ROUTER_ENDS_WITHIN).await {
        tracing::info!(
            error = &error as &dyn std::error::Error,
            "the router does not run"
        );
    }
    let apps = platform.store.all_apps().await.map_err(PlatformError::from)?;
    for app in &apps {
        let present = platform
            .store
            .present_instances(app.id)
            .await
            .map_err(PlatformError::from)?;
        retire(&platform, present, StopReason::Shutdown).await;
    }
    // After the apps, which may still write.
    databases::stop_all(&platform).await?;
    for app in apps {
        platform
            .engine
            .remove_network(app.id)
            .await
            .map_err(PlatformError::from)?;
    }
    report(platform.builder.sweep().await);
    let swept = platform
        .engine
        .sweep(&HashSet::new(), &HashSet::new())
        .await
        .map_err(PlatformError::from)?;
    report(swept.removed);
    if let Some(networks) = networks {
        let removed = networks
            .remove_all()
            .await
            .map_err(EngineError::during("take down the networks"));
        removed.map_err(PlatformError::from)?;
    }
    platform.store.close().await;
    remove_run_dir(&platform.config.run_dir);
    Ok(())
}

/// Sockets, settings and the empty directories of what ran; all else in there is somebody else's. What is still mounted below it, against
/// all expectation, is left alone.
fn remove_run_dir(run_dir: &Path) {
    for room in RUN_ROOMS {
        let entries = WalkDir::new(run_dir.join(room))
            .same_file_system(true)
            .contents_first(true);
        for entry in entries.into_iter().filter_map(Result::ok) {
            let removed = if entry.file_type().is_dir() {
                fs::remove_dir(entry.path())
            } else {
                fs::remove_file(entry.path())
            };
            if let Err(error) = removed {
                tracing::warn!(path = %entry.path().display(), %error, "could not be removed");
            }
        }
    }
    // Succeeds when it is empty.
    let _ = fs::remove_dir(run_dir);
}

fn lock(config: &Config) -> Result<File, ServerError> {
    for directory in [&config.data_dir, &config.run_dir, &config.uploads_dir()] {
        fs::create_dir_all(directory).map_err(ServerError::io(format!("create {}", directory.display())))?;
    }
    let path = config.data_dir.join("server.lock");
    let file = File::create(&path).map_err(ServerError::io(format!("create {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServerError::AlreadyRunning {
            data_dir: config.data_dir.display().to_string(),
        }),
        Err(TryLockError::Error(source)) => Err(ServerError::Io {
            operation: "lock the data directory".into(),
            source,
        }),
    }
}

async fn open(config: Config) -> Result<(Arc<Platform>, RouterProcess, Option<Arc<Networks>>), ServerError> {
    let store = Store::open(&config.data_dir.join("mainstay.db"))
        .await
        .map_err(PlatformError::from)?
        .with_limits(config.limits.as_limits())
        .with_domain(&config.router.domain)
        .await
        .map_err(PlatformError::from)?;
    // Before anything reads a spec.
    let secrets = Keyring::open(&config.data_dir, &store)
        .await
        .map_err(PlatformError::from)?;
    let parts = parts::open(&config).await?;
    let authority = databases::directory(&config.data_dir).join("authority");
    let authority = Authority::open(&authority, databases::AUTHORITY).map_err(PlatformError::from)?;
    let router_dir = config.run_dir.join("router");
    fs::create_dir_all(&router_dir).map_err(ServerError::io("create the router's directory"))?;
    // On a disk: after a reboot the router starts with the routes that it had.
    let snapshot = config.data_dir.join("routes.json");
    let routes = Routes::open(snapshot.clone(), router_dir.join("control.sock"));
    let settings = RouterSettings {
        program: config.program("mainstay-router"),
        listen: config.router.listen.clone(),
        snapshot,
        control: router_dir.join("control.sock"),
        log: config.data_dir.join("access.log"),
    };
    let router = RouterProcess::new(settings, routes.clone());
    let platform = Platform {
        clock: Clock::default(),
        capacity: Capacity::new(config.capacity.clone()),
        build_queue: BuildQueue::new(config.build.at_once, config.build.at_once_per_app),
        logs: Logs::new(config.data_dir.join("logs")),
        tasks: Tasks::default(),
        nudge: Nudge::default(),
        log_use: LogUse::default(),
        alerts: Alerts::new(&config)?,
        unstored_traffic: Unstored::default(),
        store,
        engine: parts.engine,
        builder: parts.builder,
        images: parts.images,
        databases: Databases::new(authority),
        secrets,
        routes,
        config,
    };
    Ok((Arc::new(platform), router, parts.networks))
}

/// Takes away routes of apps that are gone, and candidates of probes that were cut off.
pub(crate) async fn forget_stale_routes(platform: &Platform) -> Result<(), PlatformError> {
    let apps: Vec<AppId> = platform
        .store
        .all_apps()
        .await?
        .into_iter()
        .map(|app| app.id)
        .collect();
    if let Err(error) = platform.routes.keep_apps(&apps).await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "could not clean the routes"
        );
    }
    Ok(())
}

/// Puts in order what an earlier server left; removes what nobody owns.
pub(crate) async fn take_up(platform: &Arc<Platform>) -> Result<(), PlatformError> {
    // Before the pins of builds go.
    let rollbacks = platform.config.keep.rollback_deployments;
    pins::restore(&platform.store, &platform.images, rollbacks).await?;
    report(platform.builder.sweep().await);
    let apps: Vec<AppId> = platform
        .store
        .all_apps()
        .await?
        .into_iter()
        .map(|app| app.id)
        .collect();
    let mut present = HashSet::new();
    for app in &apps {
        let rows = platform.store.present_instances(*app).await?;
        present.extend(rows.into_iter().map(|row| row.id));
    }
    let mut kept = present.clone();
    kept.extend(databases::present_instances(&platform.store).await?);
    let apps = apps.into_iter().collect();
    report(platform.engine.sweep(&kept, &apps).await?.removed);
    forget_unstarted(platform, present).await
}

/// An instance is stored before it is started: an earlier server may have come no further.
async fn forget_unstarted(platform: &Platform, present: HashSet<InstanceId>) -> Result<(), PlatformError> {
    let known = platform.engine.list().await?;
    let known: HashSet<InstanceId> = known.into_iter().map(|status| status.id).collect();
    for id in present.difference(&known) {
        platform.store.mark_instance_removed(*id).await?;
    }
    Ok(())
}

fn report(removed: Vec<String>) {
    for what in removed {
        tracing::info!(what, "removed a leftover");
    }
}

/// Shown once: in a file that only root reads.
async fn write_first_token(application: &Application) -> Result<(), ServerError> {
    let made = application.first_token().await.map_err(|_| ServerError::Token)?;
    let Some(token) = made else { return Ok(()) };
    let path = application.platform.config.data_dir.join("token");
    private_file::write(&path, &format!("{token}\n"))
        .map_err(ServerError::io(format!("write {}", path.display())))?;
    tracing::info!(path = %path.display(), "the first API token was made");
    Ok(())
}

/// Starts the router again when it is gone.
async fn look_after(router: RouterProcess) {
    loop {
        if let Err(error) = router.ensure().await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the router does not run"
            );
        }
        tokio::time::sleep(ROUTER_LOOK_EVERY).await;
    }
}

async fn told_to_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("told to end; apps and router go on");
}
