//! What every part of the control plane works with.

use std::sync::Arc;

use mainstay_build::Builder;
use mainstay_engine::{Engine, EngineError};
use mainstay_images::ImageStore;
use mainstay_spec::ids::AppId;
use mainstay_store::{Store, StoreError};

use crate::{
    alerts::Alerts,
    authority::AuthorityError,
    capacity::Capacity,
    clock::Clock,
    config::Config,
    databases::Databases,
    keep::{LogUse, Nudge},
    logs::Logs,
    rollout::BuildQueue,
    routes::{RouteError, Routes},
    secrets::{CannotOpen, Keyring, KeyringError},
    tasks::Tasks,
    traffic::Unstored,
};

/// The platform's parts, wired once at start-up.
#[derive(Debug)]
pub(crate) struct Platform {
    pub config: Config,
    pub clock: Clock,
    pub capacity: Capacity,
    pub store: Store,
    pub engine: Arc<dyn Engine>,
    pub builder: Arc<dyn Builder>,
    pub images: ImageStore,
    pub databases: Databases,
    pub secrets: Keyring,
    pub routes: Routes,
    pub build_queue: BuildQueue,
    pub logs: Logs,
    /// Everything that works with these parts runs as one of them.
    pub tasks: Tasks,
    /// Tells the collector that something ended.
    pub nudge: Nudge,
    pub log_use: LogUse,
    pub alerts: Alerts,
    pub unstored_traffic: Unstored,
}

/// A fault of the platform's own; shown to users as `InternalError` only.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlatformError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Routes(#[from] RouteError),
    #[error("could not {operation}")]
    Io {
        operation: String,
        #[source]
        source: std::io::Error,
    },
    /// Something that must exist does not.
    #[error("{what} is missing")]
    Missing { what: String },
    #[error(transparent)]
    Images(#[from] mainstay_images::store::StoreError),
    #[error(transparent)]
    Debian(#[from] mainstay_images::debian::DebianError),
    #[error(transparent)]
    Http(#[from] mainstay_images::http::HttpError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Builder(#[from] mainstay_build::BuilderError),
    #[error(transparent)]
    Dockerfile(#[from] mainstay_build::dockerfile::DockerfileEngineError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error("{path} of the stored spec of app {app} {source}")]
    Sealed {
        app: AppId,
        path: String,
        source: CannotOpen,
    },
    #[error("the stored password of database cluster {cluster} {source}")]
    SealedCluster { cluster: String, source: CannotOpen },
    #[error(transparent)]
    Machine(#[from] mainstay_deploy::IllegalEvent),
}

impl PlatformError {
    pub(crate) fn missing(what: impl Into<String>) -> Self {
        Self::Missing { what: what.into() }
    }
}
