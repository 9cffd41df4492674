//! What the engine knows about one instance, and the task that watches its shim.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use mainstay_diagnosis::facts::ExitRecord;
use mainstay_shim::{
    files::{self, Durability},
    process::ProcessIdentity,
    protocol::{InstanceState, Reply, Request},
};
use mainstay_spec::ids::{AppId, InstanceId};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::api::InstanceState as ApiState;
use crate::api::{EngineError, InstanceOwner, InstanceStatus, Network};

use super::{Inner, lost, shim_client::ShimConnection};

/// Written before anything else of an instance exists, removed with everything but log and record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) id: InstanceId,
    pub(super) owner: InstanceOwner,
    pub(super) network: Network,
    pub(super) asked_at: Timestamp,
    /// Of the machine at that time: another one now says that the machine was down since.
    #[serde(default)]
    pub(super) boot: Option<String>,
}

impl Identity {
    /// Nothing that ran then can run now.
    pub(super) fn is_of_an_earlier_boot(&self) -> bool {
        let current = current_boot();
        current.is_some() && self.boot.is_some() && self.boot != current
    }

    pub(super) fn app(&self) -> AppId {
        match &self.owner {
            InstanceOwner::Component { app, .. }
            | InstanceOwner::BuildStep { app, .. }
            | InstanceOwner::Database { app, .. } => *app,
        }
    }
}

/// The kernel's id of this boot; `None` where it cannot be read.
pub(super) fn current_boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// Where an instance is in its life.
#[derive(Debug, Clone)]
pub(super) enum Life {
    Starting,
    /// The start failed; nothing of it exists.
    Failed,
    Running(InstanceState),
    Ended {
        /// As it ran; `None` when it ended unseen.
        state: Option<InstanceState>,
        exit: Box<ExitRecord>,
    },
}

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) identity: Identity,
    pub(super) life: watch::Sender<Life>,
}

impl Instance {
    pub(super) fn new(identity: Identity, life: Life) -> Arc<Self> {
        Arc::new(Self {
            identity,
            life: watch::Sender::new(life),
        })
    }

    pub(super) fn life(&self) -> Life {
        self.life.borrow().clone()
    }

    /// `None` while it is not there for others: starting, or failed to.
    pub(super) fn status(&self) -> Option<InstanceStatus> {
        let (state, running, exit) = match self.life() {
            Life::Starting | Life::Failed => return None,
            Life::Running(state) => (ApiState::Running, Some(state), None),
            Life::Ended { state, exit } => (ApiState::Exited, state, Some(*exit)),
        };
        let started_at = running
            .as_ref()
            .map(|state| state.started_at)
            .or(exit.as_ref().and_then(|exit| exit.started_at))
            .unwrap_or(self.identity.asked_at);
        Some(InstanceStatus {
            id: self.identity.id,
            owner: self.identity.owner.clone(),
            state,
            pid: running
                .as_ref()
                .filter(|_| state == ApiState::Running)
                .and_then(|state| state.main_pid),
            started_at,
            address: running.and_then(|state| state.address),
            exit,
        })
    }

    /// The state of a running instance.
    pub(super) fn running(&self) -> Result<InstanceState, EngineError> {
        match self.life() {
            Life::Running(state) => Ok(state),
            _ => Err(EngineError::plain(format!(
                "the instance {} is not running",
                self.identity.id
            ))),
        }
    }

    /// Waits until it neither starts nor runs. Cancel safe.
    pub(super) async fn ended(&self) -> Result<ExitRecord, EngineError> {
        let mut life = self.life.subscribe();
        let over = life
            .wait_for(|life| matches!(life, Life::Ended { .. } | Life::Failed))
            .await;
        match over.as_deref() {
            Ok(Life::Ended { exit, .. }) => Ok(exit.as_ref().clone()),
            _ => Err(EngineError::plain(format!(
                "the instance {} was never started",
                self.identity.id
            ))),
        }
    }

    /// Waits until it is no more starting.
    pub(super) async fn settled(&self) {
        let mut life = self.life.subscribe();
        // The sender lives in this object.
        let _ = life.wait_for(|life| !matches!(life, Life::Starting)).await;
    }
}

/// Follows a running instance to its end on an open connection, in a task of its own.
pub(super) fn follow(
    inner: Arc<Inner>,
    instance: Arc<Instance>,
    state: InstanceState,
    connection: ShimConnection,
) {
    instance.life.send_replace(Life::Running(state.clone()));
    tokio::spawn(async move {
        let exit = match wait_for_record(connection).await {
            Some(exit) => keep_record(&inner, &instance, exit),
            None => lost::settle(&inner, &instance.identity, Some(&state)).await,
        };
        instance.life.send_replace(Life::Ended {
            state: Some(state),
            exit: Box::new(exit),
        });
        // After the news of the end, which nobody should wait for longer than needed; a removal makes sure of it.
        inner.detach_network(&instance.identity).await;
    });
}

async fn wait_for_record(mut connection: ShimConnection) -> Option<ExitRecord> {
    // One that started waits already; and what a shim told before it went can still be read when it takes no more questions.
    let _ = connection.send(&Request::Wait).await;
    match connection.next().await {
        Ok(Reply::Ended(exit)) => Some(*exit),
        _ => None,
    }
}

/// The shim has written it, unless the disk was full in that moment.
fn keep_record(inner: &Inner, instance: &Instance, exit: ExitRecord) -> ExitRecord {
    let path = inner.config.places(instance.identity.id).exit_record();
    if !path.exists()
        && let Err(error) = files::write_json(&path, &exit, Durability::PowerCut)
    {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the exit record is only in memory"
        );
    }
    exit
}

/// How long a shim may take to clean up after its instance. A large writable layer takes a while to remove.
const SHIM_END_DEADLINE: Duration = Duration::from_mins(2);

/// Waits until the shim is gone; false when it outlives its deadline.
pub(super) async fn shim_gone(shim: ProcessIdentity) -> bool {
    let wait = tokio::task::spawn_blocking(move || shim.wait_gone(SHIM_END_DEADLINE));
    wait.await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use mainstay_diagnosis::facts::{Course, MemoryRecord};

    use super::*;

    #[tokio::test]
    async fn the_record_of_what_was_over_at_once_is_read_although_its_shim_is_gone() {
        let (mut shim, own) = tokio::net::UnixStream::pair().unwrap();
        let exit = ExitRecord {
            termination: None,
            started_at: None,
            ended_at: Timestamp::UNIX_EPOCH,
            stop: None,
            memory: MemoryRecord::default(),
            cpu_usage_micros: None,
            cpu_throttled_micros: None,
            pids_limit_hits: None,
            exec_fault: None,
            course: Course::default(),
        };
        let mut line = serde_json::to_vec(&Reply::Ended(Box::new(exit.clone()))).unwrap();
        line.push(b'\n');
        tokio::io::AsyncWriteExt::write_all(&mut shim, &line)
            .await
            .unwrap();
        drop(shim);
        assert_eq!(wait_for_record(ShimConnection::over(own)).await, Some(exit));
    }
}
