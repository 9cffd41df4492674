//! The builder of one machine.
//!
//! ```text
//!  request ─▶ source (identity) ─▶ key ─┬─ known ─▶ Reused
//!                                       └─ new ───▶ workspace ─▶ detect ─┬─▶ plan ─▶ steps ─▶ image or static files
//!                                                                        └─▶ Dockerfile engine ─▶ the same
//! ```
//!
//! Invariants: every outcome carries all facts that were observed until then; what a build started is over when it returns, and what it
//! mounted is gone, but that a build that went well leaves the mounts of its last step to be removed in the next moment, and counts as
//! going on until then; no log line holds a secret.

mod activity;
mod buildpack;
mod collect;
mod describe;
mod dockerfile;
mod files;
mod prebuilt;
mod record;
mod result;
mod run;
mod steps;

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mainstay_diagnosis::facts::{BuildFault, StopReason};
use mainstay_engine::{Engine, InstanceOwner};
use mainstay_images::{
    ImageStore, OperatorSettings,
    store::StoreError,
    toolchains::{ToolchainError, Toolchains},
};
use mainstay_spec::ids::{AppId, BuildId};
use tokio::sync::watch;

use self::activity::Activity;
use crate::{
    BuildLog, BuildReport, BuildRequest, Builder, CollectReport, KeepPolicy, ResolvedSource, Source,
    dockerfile::{DockerfileEngine, DockerfileEngineError},
    index::BuildIndex,
    source::{GitSources, LocalPaths, SourceSettings},
};

/// What a step that survived a crash of the server gets to end.
const SWEEP_GRACE: Duration = Duration::from_secs(1);

/// Where and how this machine builds.
#[derive(Debug, Clone)]
pub struct BuilderConfig {
    /// Mirrors, tool caches and the index of builds.
    pub state_dir: PathBuf,
    pub settings: OperatorSettings,
    /// Whether clone URLs may be paths of this machine.
    pub local_paths: LocalPaths,
}

/// Builds with buildpacks on the engine's instances.
#[derive(Debug, Clone)]
pub struct LocalBuilder {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) store: ImageStore,
    pub(crate) settings: OperatorSettings,
    pub(crate) toolchains: Toolchains,
    pub(crate) sources: GitSources,
    pub(crate) index: BuildIndex,
    pub(crate) dockerfile: Option<Arc<DockerfileEngine>>,
    pub(crate) state_dir: PathBuf,
    activity: Arc<Activity>,
    /// One build per key at a time: the second one finds the first one's result.
    keys: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalBuilder")
            .field("state_dir", &self.state_dir)
            .finish_non_exhaustive()
    }
}

/// The builder cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum BuilderError {
    #[error("cannot prepare {path}")]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot prepare the download of toolchains")]
    Toolchains(#[source] ToolchainError),
    #[error("app {app} is being built")]
    Building { app: AppId },
    #[error("cannot collect images")]
    Store(#[source] StoreError),
    #[error("cannot collect Dockerfile stores")]
    Dockerfile(#[source] DockerfileEngineError),
}

impl LocalBuilder {
    /// Makes its directories and git's configuration. Without a `dockerfile` engine, Dockerfiles are refused by name.
    pub fn open(
        config: BuilderConfig,
        engine: Arc<dyn Engine>,
        store: ImageStore,
        dockerfile: Option<Arc<DockerfileEngine>>,
    ) -> Result<Self, BuilderError> {
        let failed = |path: PathBuf| move |source| BuilderError::Directory { path, source };
        let index_directory = config.state_dir.join("builds");
        let index = BuildIndex::open(index_directory.clone()).map_err(failed(index_directory))?;
        let sources = GitSources::open(source_settings(&config)).map_err(failed(config.state_dir.clone()))?;
        let toolchains = Toolchains::new(&store, &config.settings).map_err(BuilderError::Toolchains)?;
        Ok(Self {
            inner: Arc::new(Inner {
                engine,
                store,
                toolchains,
                sources,
                index,
                dockerfile,
                settings: config.settings,
                state_dir: config.state_dir,
                activity: Arc::default(),
                keys: Mutex::default(),
            }),
        })
    }
}

fn source_settings(config: &BuilderConfig) -> SourceSettings {
    let is_proxy = |name: &&String| name.to_ascii_lowercase().ends_with("_proxy");
    let proxies: BTreeMap<String, String> = config
        .settings
        .variables
        .iter()
        .filter(|(name, _)| is_proxy(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    SourceSettings {
        ca_bundle: config.settings.ca_bundle.clone(),
        proxies,
        local_paths: config.local_paths.clone(),
        ..SourceSettings::new(config.state_dir.join("sources"))
    }
}

impl Inner {
    pub(crate) fn app_caches(&self, app: AppId) -> PathBuf {
        self.state_dir.join("caches").join(app.short())
    }

    /// Held while a build of this key is under way.
    pub(crate) fn key_lock(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, lock| Arc::strong_count(lock) > 1);
        keys.entry(key.to_owned()).or_default().clone()
    }

    /// Ends and removes containers of builds that nobody carries out any more.
    async fn sweep_containers(&self) -> Vec<String> {
        let instances = match self.engine.list().await {
            Ok(instances) => instances,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "build containers could not be listed"
                );
                return Vec::new();
            }
        };
        let mut removed = Vec::new();
        for instance in instances {
            let InstanceOwner::BuildStep { build, .. } = &instance.owner else {
                continue;
            };
            if build
                .parse()
                .is_ok_and(|build: BuildId| self.activity.builds().is_running(build))
            {
                continue;
            }
            let ended = async {
                self.engine
                    .stop(instance.id, StopReason::Shutdown, SWEEP_GRACE)
                    .await?;
                self.engine.remove(instance.id).await?;
                self.engine.forget(instance.id).await
            };
            match ended.await {
                Ok(()) => removed.push(format!("container {} of build {build}", instance.id)),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a build container could not be removed"
                    );
                }
            }
        }
        removed
    }
}

#[async_trait]
impl Builder for LocalBuilder {
    async fn resolve(&self, source: &Source) -> Result<ResolvedSource, BuildFault> {
        match source {
            Source::Git { url, branch } => {
                let resolved = self.inner.sources.resolve(url, branch.as_deref()).await?;
                Ok(ResolvedSource {
                    source: Source::Git {
                        url: url.clone(),
                        branch: Some(resolved.branch),
                    },
                    revision: resolved.commit,
                })
            }
            Source::Upload { id, .. } => Ok(ResolvedSource {
                source: source.clone(),
                revision: id.clone(),
            }),
            Source::Image {
                reference,
                credentials,
            } => Ok(ResolvedSource {
                source: source.clone(),
                revision: prebuilt::digest(&self.inner, reference, credentials.as_ref()).await?,
            }),
        }
    }

    async fn build(
        &self,
        request: BuildRequest,
        log: Arc<dyn BuildLog>,
        cancel: watch::Receiver<bool>,
    ) -> BuildReport {
        let going = self.inner.activity.begin(request.build, request.app);
        let (report, removal) = run::run(&self.inner, request, log, cancel).await;
        if let Some(output) = &report.output {
            going.made(output.artifact.image().clone());
        }
        tokio::spawn(async move {
            removal.done().await;
            drop(going);
        });
        report
    }

    async fn release(&self, build: BuildId) {
        self.inner.activity.release(build);
    }

    async fn collect(&self, policy: &KeepPolicy) -> Result<CollectReport, BuilderError> {
        self.inner.collect(policy).await
    }

    async fn remove_app(&self, app: AppId, sources: &[Source]) -> Result<(), BuilderError> {
        self.inner.remove_app(app, sources).await
    }

    async fn sweep(&self) -> Vec<String> {
        let mut removed = self.inner.sweep_containers().await;
        removed.extend(self.inner.sweep_pins());
        // The engine's own condition: none of its builds may be running.
        let idle = self.inner.activity.builds().is_idle();
        if let Some(dockerfile) = self.inner.dockerfile.as_ref().filter(|_| idle) {
            removed.extend(dockerfile.sweep().await);
        }
        removed
    }
}
