//! The application layer: what the API's verbs mean, free of HTTP. One file per resource.

pub(crate) mod accounts;
pub(crate) mod alerts;
pub(crate) mod apps;
mod backups;
pub(crate) mod clusters;
mod databases;
pub(crate) mod deployments;
pub(crate) mod exec;
pub(crate) mod health;
pub(crate) mod jobs;
mod limits;
pub(crate) mod links;
pub(crate) mod log_reading;
mod metrics;
pub(crate) mod rollbacks;
pub(crate) mod tokens;
mod traffic;
pub(crate) mod users;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use mainstay_diagnosis::Reason;
use mainstay_spec::{SpecError, ids::AppId};
use tokio::sync::mpsc;

use crate::{
    platform::{Platform, PlatformError},
    rollout::{Actor, Command},
};

/// Everything the API can do.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    pub platform: Arc<Platform>,
    pub links: links::Links,
    actors: Arc<Mutex<HashMap<AppId, mpsc::Sender<Command>>>>,
}

/// Why a wish was not granted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the resource you were accessing could not be found")]
    NotFound,
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    Conflict(String),
    /// It was understood, and cannot be done with what there is.
    #[error("{0}")]
    Unprocessable(String),
    #[error("{}", .0.message)]
    Limit(Box<Reason>),
    /// Nothing can be stored.
    #[error(
        "the platform's disk is full: nothing that changes something can be taken until there is room; what runs goes on"
    )]
    DiskFull,
    #[error("the app spec was refused")]
    Spec(Vec<SpecError>),
    #[error("the platform failed")]
    Platform(#[source] PlatformError),
}

impl From<PlatformError> for Refusal {
    fn from(error: PlatformError) -> Self {
        match error {
            PlatformError::Store(error) => error.into(),
            other => Self::Platform(other),
        }
    }
}

impl From<mainstay_store::StoreError> for Refusal {
    fn from(error: mainstay_store::StoreError) -> Self {
        match error {
            mainstay_store::StoreError::NameTaken { name } => {
                Self::Conflict(format!("an app named {name:?} exists already"))
            }
            mainstay_store::StoreError::HostTaken { host } => Self::Conflict(format!(
                "the host {host} belongs to another app on this machine: whoever has a host first keeps it, until no spec of theirs has it"
            )),
            mainstay_store::StoreError::LimitPassed(facts) => Self::Limit(limits::reason(*facts)),
            mainstay_store::StoreError::NoApp { .. } => Self::NotFound,
            mainstay_store::StoreError::Pinned { deployment, .. } => Self::Conflict(format!(
                "the app stays at the rollback {deployment}: commit or revert it before anything else is deployed"
            )),
            mainstay_store::StoreError::NotPinned { .. } => Self::BadRequest(
                "the app does not stay at a rollback; there is nothing to commit or revert".into(),
            ),
            full if full.is_disk_full() => Self::DiskFull,
            other => Self::Platform(PlatformError::Store(other)),
        }
    }
}

impl From<mainstay_engine::EngineError> for Refusal {
    fn from(error: mainstay_engine::EngineError) -> Self {
        Self::Platform(error.into())
    }
}

impl Application {
    pub(crate) fn new(platform: Arc<Platform>) -> Self {
        Self {
            platform,
            links: links::Links::default(),
            actors: Arc::default(),
        }
    }

    /// Wakes the actors of all apps; what was being deleted goes on being deleted.
    pub(crate) async fn wake_up(&self) -> Result<(), PlatformError> {
        for app in self.platform.store.all_apps().await? {
            let actor = self.actor(app.id);
            if app.deleting {
                let (gone, _) = tokio::sync::oneshot::channel();
                drop(actor.send(Command::Delete { gone }).await);
            }
        }
        Ok(())
    }

    /// The app's actor, started if it sleeps.
    fn actor(&self, app: AppId) -> mpsc::Sender<Command> {
        let mut actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(actor) = actors.get(&app).filter(|actor| !actor.is_closed()) {
            return actor.clone();
        }
        let actor = Actor::spawn(&self.platform, app);
        actors.insert(app, actor.clone());
        actor
    }
}

/// The actor's answer, or a fault of ours when it is gone.
async fn answer<T>(answer: tokio::sync::oneshot::Receiver<T>) -> Result<T, Refusal> {
    answer
        .await
        .map_err(|_| Refusal::Platform(PlatformError::missing("the app's actor")))
}
