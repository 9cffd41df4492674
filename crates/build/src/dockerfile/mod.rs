//! Dockerfile builds through `buildah` and `runc`.
//!
//! ```text
//!  request ─▶ sources ── preflight (parse, stages, variables, context files)      refused in milliseconds, with the line
//!               │
//!               ├─ base_image   pulled once into the shared, read-only store
//!               ├─ rewrite      the private copy of the Dockerfile that buildah reads
//!               ▼
//!             buildah ◀── supervise: lines ─▶ progress; memory_watch + kernel_log; disk_watch; timer; cancel
//!               │          all of it inside one cgroup with the limits
//!               ▼
//!             ending (whose exit code was that?) ─▶ storage (layer directories, configuration) ─▶ report
//!               └─ cleanup, always
//! ```
//!
//! Choices that are easy to undo by accident:
//! - One store (`--root`) and one `TMPDIR` per component. buildah shares its step cache and its cache mounts across everything in a store, so
//!   one app would get another's results, random and secret output included.
//! - Nobody but this module changes a store: its layer directories are mounted by running instances. [`DockerfileEngine::collect`] is told
//!   which images are in use.
//! - No `--timestamp`: it would set every file of a layer back to one time, which breaks what compares times (Python would find each of its
//!   cached bytecode files stale and compile again at every start). Nothing here identifies a layer by its digest.
//! - Kills for memory come from the kernel's counter, never from exit codes: a shell hides them (`|| exit 7`), and `kill -9` imitates them.

mod base_image;
mod build;
mod buildah;
mod cgroup;
mod cleanup;
mod collect;
mod collecting;
mod config;
mod disk_watch;
mod ending;
mod engine_network;
mod ignore_file;
mod kernel_log;
mod layout;
mod memory_watch;
mod observer;
mod paths;
mod preflight;
mod process;
mod progress;
mod request;
mod rewrite;
mod sources;
mod storage;
mod supervise;

use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mainstay_spec::ids::{AppId, BuildId};
use tokio::{sync::watch, time::timeout};

use self::{
    buildah::Buildah,
    cgroup::{BuildCgroup, Hierarchies},
    layout::{Layout, Store},
};
use crate::api::BuildLog;

pub(crate) use self::ignore_file::IgnoreFile;
pub use self::{
    collecting::CollectedImages,
    config::{BuildNetwork, CA_BUNDLE_IN_STEP, DockerfileConfig, NetworkNamespace, StepNetwork, Tools},
    engine_network::EngineBuildNetwork,
    request::{DockerfileEnd, DockerfileImage, DockerfileReport, DockerfileRequest},
};

/// A collection ends a call at a time, and builds were called off before.
const STORE_FREE_WITHIN: Duration = Duration::from_mins(3);
const SHORT_CALL: Duration = Duration::from_mins(2);

/// Builds Dockerfiles. One per server; builds of different components run side by side.
pub struct DockerfileEngine {
    config: DockerfileConfig,
    layout: Layout,
    hierarchies: Hierarchies,
    settings: PathBuf,
    /// The images' word for this node: "amd64".
    architecture: &'static str,
    tools: Vec<(String, String)>,
    /// One lock per store and per pulled image.
    locks: Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
    /// Read by builds, which may rely on any base image; written while some are taken away.
    bases: tokio::sync::RwLock<()>,
}

/// The engine cannot be set up, or an operation on its stores failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation}")]
pub struct DockerfileEngineError {
    /// What was being done, with its subject.
    pub operation: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl DockerfileEngineError {
    fn new(operation: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            operation: operation.into(),
            source: Some(Box::new(source)),
        }
    }

    fn said(operation: impl Into<String>, message: &str) -> Self {
        Self {
            operation: operation.into(),
            source: Some(message.to_owned().into()),
        }
    }
}

impl fmt::Debug for DockerfileEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerfileEngine")
            .field("state_dir", &self.config.state_dir)
            .finish_non_exhaustive()
    }
}

/// What a base image is made of, besides its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportSettings {
    /// `NAME=value`.
    pub env: Vec<(String, String)>,
    pub command: Vec<String>,
}

impl DockerfileEngine {
    /// Writes the settings files and asks the tools for their versions.
    pub async fn new(mut config: DockerfileConfig) -> Result<Self, DockerfileEngineError> {
        let set_up = |error: io::Error| DockerfileEngineError::new("setting up Dockerfile builds", error);
        layout::create_private(&config.state_dir).map_err(set_up)?;
        // Layer directories are compared by their paths, so there must be one path for each.
        config.state_dir = config.state_dir.canonicalize().map_err(set_up)?;
        let layout = Layout::new(config.state_dir.clone(), config.run_dir.clone());
        let settings = layout.settings();
        buildah::write_settings(&settings, &config).map_err(set_up)?;
        let hierarchies = Hierarchies::detect().map_err(set_up)?;
        let tools = versions(&config).await?;
        Ok(Self {
            layout,
            hierarchies,
            settings,
            architecture: architecture(),
            tools,
            locks: Mutex::default(),
            bases: tokio::sync::RwLock::default(),
            config,
        })
    }

    /// Carries a build out. Everything it started or mounted is gone when it returns, also after `cancel` turned true.
    pub async fn build(
        &self,
        request: DockerfileRequest,
        log: Arc<dyn BuildLog>,
        cancel: watch::Receiver<bool>,
    ) -> DockerfileReport {
        let _base_images_stay = self.bases.read().await;
        build::run(self, &request, log, cancel).await
    }

    /// Removes what an earlier process left behind, in words. No build may be running.
    pub async fn sweep(&self) -> Vec<String> {
        let mut removed =
            cleanup::sweep_builds(&self.layout, &self.hierarchies, &self.config.cgroup_prefix).await;
        for store in self.layout.stores() {
            removed.extend(cleanup::clean_store(&self.buildah(&store)).await);
        }
        removed
    }

    /// Puts a file tree into the shared store as the base image `localhost/<name>`; `FROM <name>` finds it before any registry is asked.
    pub async fn import_base(
        &self,
        name: &str,
        root: &Path,
        settings: &ImportSettings,
    ) -> Result<(), DockerfileEngineError> {
        let shared = self.layout.shared();
        shared
            .create()
            .map_err(|error| DockerfileEngineError::new("preparing the store of base images", error))?;
        let buildah = self.buildah(&shared);
        let container = format!("mainstay-import-{}", std::process::id());
        let lock = self.lock(&shared.root);
        let _guard = lock.lock().await;
        let calls = [
            buildah.scratch_container(&container),
            buildah.copy(&container, root),
            buildah.configure(&container, &import_options(settings)),
            buildah.commit(&container, &format!("localhost/{name}")),
        ];
        for call in calls {
            let result = self
                .short_call(&format!("importing the base image {name}"), &call)
                .await;
            if result.is_err() {
                cleanup::clean_store(&buildah).await;
                return result;
            }
        }
        Ok(())
    }

    /// Removes an app's stores, once nobody builds or collects in them. None of its images may be in use.
    pub async fn remove_app(&self, app: AppId) -> Result<(), DockerfileEngineError> {
        let (state, run) = self.layout.app(app);
        let mut held = Vec::new();
        for store in self.layout.stores_of(app) {
            let lock = self.lock(&store.root).lock_owned();
            let guard = timeout(STORE_FREE_WITHIN, lock).await.map_err(|late| {
                DockerfileEngineError::new(format!("waiting for {}", store.root.display()), late)
            })?;
            held.push(guard);
        }
        for directory in [state, run] {
            cleanup::unmount_below(&directory);
            match tokio::fs::remove_dir_all(&directory).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let operation = format!("removing {}", directory.display());
                    return Err(DockerfileEngineError::new(operation, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn short_call(
        &self,
        operation: &str,
        call: &buildah::Invocation,
    ) -> Result<(), DockerfileEngineError> {
        let finished = process::run(call, SHORT_CALL)
            .await
            .map_err(|error| DockerfileEngineError::new(operation, error))?;
        if finished.success {
            return Ok(());
        }
        Err(DockerfileEngineError::said(
            operation,
            &finished.stderr.join("; "),
        ))
    }

    fn buildah<'a>(&'a self, store: &'a Store) -> Buildah<'a> {
        Buildah {
            config: &self.config,
            settings: &self.settings,
            store,
            shared_root: self.layout.shared().root,
        }
    }

    fn cgroup(&self, build: BuildId) -> BuildCgroup {
        BuildCgroup::new(
            self.hierarchies.clone(),
            &self.config.cgroup_prefix,
            &build.short(),
        )
    }

    fn lock(&self, key: &Path) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(key.to_owned()).or_default())
    }
}

fn import_options(settings: &ImportSettings) -> Vec<String> {
    let mut options = Vec::new();
    for (name, value) in &settings.env {
        options.extend(["--env".to_owned(), format!("{name}={value}")]);
    }
    if !settings.command.is_empty() {
        let command = serde_json::to_string(&settings.command).unwrap_or_default();
        options.extend(["--cmd".to_owned(), command]);
    }
    options
}

/// Of the tools that build, for the report.
async fn versions(config: &DockerfileConfig) -> Result<Vec<(String, String)>, DockerfileEngineError> {
    let mut versions = Vec::new();
    for (name, program) in [
        ("buildah", &config.tools.buildah),
        ("runc", &config.tools.runtime),
    ] {
        let call = buildah::Invocation {
            program: program.clone(),
            arguments: vec!["--version".into()],
            environment: std::collections::BTreeMap::new(),
        };
        let operation = format!("asking {} for its version", program.display());
        let finished = process::run(&call, SHORT_CALL)
            .await
            .map_err(|error| DockerfileEngineError::new(&operation, error))?;
        let Some(line) = finished.stdout.first().filter(|_| finished.success) else {
            return Err(DockerfileEngineError::said(
                operation,
                &finished.stderr.join("; "),
            ));
        };
        let version = line
            .split(' ')
            .skip_while(|word| *word != "version")
            .nth(1)
            .unwrap_or(line);
        versions.push((name.to_owned(), version.to_owned()));
    }
    Ok(versions)
}

/// This node's architecture as images spell it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
