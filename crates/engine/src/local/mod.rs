//! Runs instances on this machine: a shim for each, `runc` behind it, cgroups and networks of the kernel.
//!
//! ```text
//!  start    directories, spec ─▶ shim ─▶ created ─▶ network ─▶ started           (start.rs)
//!  follow   one connection per instance waits for the record                     (instance.rs)
//!  open     finds the instances of an earlier server by their directories        (adopt.rs)
//!  owners   layers with the owners that an instance sees                         (owners/)
//!  lost     an instance whose shim was killed is ended and recorded as unknown   (lost.rs)
//! ```
//!
//! Nothing here must be alive for an instance to live: all that is known is in the shim, in `<data>/instances/<id>` or in the kernel.

mod adopt;
mod config;
mod connectivity;
mod demand;
mod environment;
mod exec;
mod id_blocks;
mod instance;
mod logs;
mod lost;
pub mod network;
mod owners;
mod preflight;
mod refusal;
mod remains;
mod shim_client;
mod sockets;
mod start;
mod sweep;
mod users;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mainstay_diagnosis::facts::{ExitRecord, ListeningSocket, StopReason};
use mainstay_shim::{
    cgroup::Cgroup,
    files,
    protocol::{Reply, Request},
};
use mainstay_spec::ids::{AppId, InstanceId};

use crate::api::{
    Engine, EngineError, ExecRequest, ExecSession, InstanceSpec, InstanceStats, InstanceStatus,
    InternalService, LogQuery, LogStream, NameGroup, NetworkRoom, PreflightError, Reach, Remains, StartError,
    SweepReport,
};

pub use config::{IDS_PER_APP, LayerOwner, LocalConfig};

use self::{
    id_blocks::IdBlocks,
    instance::{Identity, Instance, Life},
    network::Networks,
    shim_client::{ShimConnection, ShimError},
};

/// The engine of one machine. Clones are the same engine.
#[derive(Debug, Clone)]
pub struct LocalEngine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: LocalConfig,
    instances: Mutex<HashMap<InstanceId, Arc<Instance>>>,
    id_blocks: Mutex<IdBlocks>,
    networks: Option<Arc<Networks>>,
    verdicts: owners::Verdicts,
}

impl LocalEngine {
    /// Takes up the instances of an earlier server: running ones go on, ended ones keep their records, lost ones are ended.
    pub async fn open(config: LocalConfig) -> Result<Self, EngineError> {
        let blocks = IdBlocks::load(&config.data_dir.join("ids.json"), config.id_range.clone())
            .map_err(EngineError::during("read the blocks of host ids"))?;
        adopt::prepare_directories(&config)?;
        let networks = match &config.network {
            Some(network) => {
                let opened = Networks::open(network.clone()).await;
                let opened = opened.map_err(EngineError::during("set up the networks of the apps"))?;
                Some(Arc::new(opened))
            }
            None => None,
        };
        let inner = Arc::new(Inner {
            config,
            instances: Mutex::default(),
            id_blocks: Mutex::new(blocks),
            networks,
            verdicts: owners::Verdicts::default(),
        });
        adopt::adopt_all(&inner).await?;
        connectivity::keep_up(&inner);
        Ok(Self { inner })
    }

    /// The networks, for what is no instance but needs one: image builds. `None` when it was opened without.
    pub fn networks(&self) -> Option<Arc<Networks>> {
        self.inner.networks.clone()
    }

    /// Takes everything of the networks off this host. The last thing that an installation does on it; no instance may run.
    pub async fn remove_networks(&self) -> Result<(), EngineError> {
        match &self.inner.networks {
            Some(networks) => networks
                .remove_all()
                .await
                .map_err(EngineError::during("remove the networks")),
            None => Ok(()),
        }
    }
}

impl Inner {
    fn instances(&self) -> MutexGuard<'_, HashMap<InstanceId, Arc<Instance>>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The instance, and whether the caller is the one to start it.
    fn enter(&self, identity: Identity) -> (Arc<Instance>, bool) {
        let mut instances = self.instances();
        if let Some(instance) = instances.get(&identity.id) {
            return (instance.clone(), false);
        }
        let instance = Instance::new(identity, Life::Starting);
        instances.insert(instance.identity.id, instance.clone());
        (instance, true)
    }

    fn leave(&self, id: InstanceId) {
        self.instances().remove(&id);
    }

    fn known(&self, id: InstanceId) -> Option<Arc<Instance>> {
        self.instances().get(&id).cloned()
    }

    fn get(&self, id: InstanceId) -> Result<Arc<Instance>, EngineError> {
        self.known(id)
            .ok_or_else(|| EngineError::plain(format!("there is no instance {id}")))
    }

    fn cgroup(&self, identity: &Identity) -> Cgroup {
        let path = self.config.cgroup_path(identity.app(), identity.id);
        Cgroup::new(&self.config.cgroup_root, &path)
    }

    fn id_base(&self, app: AppId) -> Result<u32, EngineError> {
        let mut blocks = self.id_blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks
            .base(app)
            .map_err(EngineError::during("give the app a block of host ids"))
    }

    fn retain_ids(&self, wanted: &HashSet<AppId>) -> Result<(), EngineError> {
        let in_use = self.apps_in_use();
        let mut blocks = self.id_blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks
            .retain(|app| wanted.contains(&app) || in_use.contains(&app))
            .map_err(EngineError::during("free blocks of host ids"))
    }

    fn apps_in_use(&self) -> HashSet<AppId> {
        self.instances()
            .values()
            .map(|instance| instance.identity.app())
            .collect()
    }

    /// Asks the shim of a running instance one thing.
    async fn ask(&self, id: InstanceId, request: &Request) -> Result<Reply, ShimError> {
        let mut connection = ShimConnection::open(&self.config.places(id).socket()).await?;
        connection.ask_soon(request).await
    }
}

#[async_trait]
impl Engine for LocalEngine {
    async fn ensure_network(&self, app: AppId) -> Result<(), EngineError> {
        let ensured = self.inner.networks()?.ensure_app(app).await;
        ensured.map_err(EngineError::during(format!("give the app {app} a network")))
    }

    async fn network_room(&self, app: AppId) -> Result<Option<NetworkRoom>, EngineError> {
        Ok(self.inner.networks.as_ref().map(|networks| networks.room(app)))
    }

    async fn remove_network(&self, app: AppId) -> Result<(), EngineError> {
        self.inner.remove_network(app).await
    }

    async fn set_internal_services(
        &self,
        app: AppId,
        group: NameGroup,
        services: &[InternalService],
    ) -> Result<(), EngineError> {
        let set = self.inner.networks()?.set_services(app, group, services).await;
        set.map_err(EngineError::during(format!(
            "publish the component names of the app {app}"
        )))
    }

    async fn reach(&self, app: AppId, host: &str, port: u16, within: Duration) -> Result<Reach, EngineError> {
        let networks = self.networks();
        let networks =
            networks.ok_or_else(|| EngineError::plain("this engine was opened without networks"))?;
        let reached = networks.reach(app, host.to_owned(), port, within).await;
        reached.map_err(EngineError::during(format!(
            "reach {host}:{port} from the network of the app {app}"
        )))
    }

    async fn preflight(&self, spec: &InstanceSpec) -> Result<(), PreflightError> {
        let operation = || format!("check the command of the instance {}", spec.id);
        let owned = spec.clone();
        let checked = tokio::task::spawn_blocking(move || preflight::check(&owned)).await;
        let fault = checked
            .map_err(EngineError::during(operation()))
            .and_then(|fault| fault.map_err(EngineError::during(operation())))
            .map_err(PreflightError::Engine)?;
        fault.map_or(Ok(()), |fault| Err(PreflightError::Refused(Box::new(fault))))
    }

    async fn start(&self, spec: InstanceSpec) -> Result<InstanceStatus, StartError> {
        start::start(&self.inner, spec).await
    }

    async fn status(&self, id: InstanceId) -> Result<Option<InstanceStatus>, EngineError> {
        Ok(self.inner.known(id).and_then(|instance| instance.status()))
    }

    async fn list(&self) -> Result<Vec<InstanceStatus>, EngineError> {
        let instances = self.inner.instances();
        Ok(instances
            .values()
            .filter_map(|instance| instance.status())
            .collect())
    }

    async fn wait(&self, id: InstanceId) -> Result<ExitRecord, EngineError> {
        match self.inner.known(id) {
            Some(instance) => instance.ended().await,
            None => files::read_json(&self.inner.config.places(id).exit_record())
                .map_err(EngineError::during(format!("read the exit record of {id}")))?
                .ok_or_else(|| EngineError::plain(format!("there is no instance {id}"))),
        }
    }

    async fn stop(
        &self,
        id: InstanceId,
        reason: StopReason,
        grace_period: Duration,
    ) -> Result<ExitRecord, EngineError> {
        let Some(instance) = self.inner.known(id) else {
            return self.wait(id).await;
        };
        instance.settled().await;
        if let Life::Running(_) = instance.life() {
            let request = Request::Stop {
                reason,
                grace_period_ms: u64::try_from(grace_period.as_millis()).unwrap_or(u64::MAX),
            };
            // A shim that is gone has ended its instance or lost it: either way the end is near.
            if let Err(error) = self.inner.ask(id, &request).await {
                tracing::debug!(error = &error as &dyn std::error::Error, instance = %id, "the shim did not take the stop");
            }
        }
        instance.ended().await
    }

    async fn remove(&self, id: InstanceId) -> Result<(), EngineError> {
        adopt::remove(&self.inner, id).await
    }

    async fn forget(&self, id: InstanceId) -> Result<(), EngineError> {
        match self.inner.known(id).map(|instance| instance.life()) {
            None => {}
            // Nothing of it exists but its name.
            Some(Life::Failed) => self.inner.leave(id),
            Some(_) => {
                return Err(EngineError::plain(format!(
                    "the instance {id} must be removed before it is forgotten"
                )));
            }
        }
        let directory = self.inner.config.places(id).data;
        lost::remove_directory(&directory)
            .map_err(EngineError::during(format!("delete {}", directory.display())))
    }

    async fn remains(&self) -> Result<Vec<Remains>, EngineError> {
        remains::remains(&self.inner).await
    }

    async fn sockets(&self, id: InstanceId) -> Result<Vec<ListeningSocket>, EngineError> {
        let instance = self.inner.get(id)?;
        let pid = instance.running()?.init.pid;
        let cgroup = self.inner.cgroup(&instance.identity);
        let read = tokio::task::spawn_blocking(move || sockets::listening(pid, &cgroup)).await;
        read.map_err(EngineError::during(format!(
            "read the sockets of the instance {id}"
        )))
    }

    async fn processor_demand(&self, id: InstanceId) -> Result<Option<Duration>, EngineError> {
        let instance = self.inner.get(id)?;
        instance.running()?;
        let cgroup = self.inner.cgroup(&instance.identity);
        let read = tokio::task::spawn_blocking(move || demand::processor_demand(&cgroup)).await;
        read.map_err(EngineError::during(format!(
            "read what the instance {id} wants of the processor"
        )))
    }

    async fn stats(&self, id: InstanceId) -> Result<InstanceStats, EngineError> {
        let failed = || EngineError::during(format!("read the usage of the instance {id}"));
        let instance = self.inner.get(id)?;
        instance.running()?;
        // A shim that takes back what the instance had listens no more, and hangs up only when it is done.
        let reply = tokio::select! {
            reply = self.inner.ask(id, &Request::Stats) => reply.map_err(failed())?,
            _ = instance.ended() => {
                return Err(EngineError::plain(format!("the instance {id} ended")));
            }
        };
        match reply {
            Reply::Stats(stats) => Ok(InstanceStats {
                at: stats.at,
                memory_bytes: stats.memory_bytes,
                memory: stats.memory,
                cpu_usage_micros: stats.cpu_usage_micros,
                cpu_throttled_micros: stats.cpu_throttled_micros,
                pids: stats.pids,
                course: stats.course,
            }),
            other => Err(failed()(ShimError::Unexpected(Box::new(other)))),
        }
    }

    async fn logs(&self, id: InstanceId, query: LogQuery) -> Result<LogStream, EngineError> {
        logs::open(&self.inner, id, query).await
    }

    async fn exec(&self, id: InstanceId, request: ExecRequest) -> Result<ExecSession, EngineError> {
        exec::exec(&self.inner, id, request).await
    }

    async fn sweep(
        &self,
        keep: &HashSet<InstanceId>,
        apps: &HashSet<AppId>,
    ) -> Result<SweepReport, EngineError> {
        sweep::sweep(&self.inner, keep, apps).await
    }
}
