//! The engine's contract. The verbs are the platform's own; nothing above this trait may know which engine runs.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt, io,
    net::Ipv4Addr,
    path::PathBuf,
    pin::Pin,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures_util::{Sink, Stream};
use jiff::Timestamp;
use mainstay_diagnosis::facts::{Course, ExecFault, ExitRecord, ListeningSocket, MemoryRecord, StopReason};
use mainstay_shim::log::LogLine;
pub use mainstay_shim::spec::{Limits, Mount, MountKind};
use mainstay_spec::ids::{AppId, DatabaseId, DeploymentId, InstanceId};
use serde::{Deserialize, Serialize};

/// Runs instances. All methods are safe to repeat: starting what runs, stopping what ended and removing what is gone succeed.
#[async_trait]
pub trait Engine: fmt::Debug + Send + Sync {
    /// Creates the app's network if it is missing; repeats are cheap.
    async fn ensure_network(&self, app: AppId) -> Result<(), EngineError>;

    /// What there is of addresses for this app, and for others. `None` where nothing bounds them.
    async fn network_room(&self, app: AppId) -> Result<Option<NetworkRoom>, EngineError>;

    /// Removes the app's network; its instances must be gone.
    async fn remove_network(&self, app: AppId) -> Result<(), EngineError>;

    /// Replaces what the names of one group lead to: every instance of the app resolves them. Atomic; no connection is cut, and the names of
    /// other groups stay.
    async fn set_internal_services(
        &self,
        app: AppId,
        group: NameGroup,
        services: &[InternalService],
    ) -> Result<(), EngineError>;

    /// Connects to the address as an instance of the app would, with its names and nameservers, and closes; takes little more than twice `within`.
    async fn reach(&self, app: AppId, host: &str, port: u16, within: Duration) -> Result<Reach, EngineError>;

    /// Checks the command against the image's files without running anything.
    async fn preflight(&self, spec: &InstanceSpec) -> Result<(), PreflightError>;

    /// Creates and starts the instance; returns once its main process was executed, or says why it could not be.
    async fn start(&self, spec: InstanceSpec) -> Result<InstanceStatus, StartError>;

    /// `None` when the engine knows no such instance.
    async fn status(&self, id: InstanceId) -> Result<Option<InstanceStatus>, EngineError>;

    /// Every instance the engine knows, ended but not yet removed ones included.
    async fn list(&self) -> Result<Vec<InstanceStatus>, EngineError>;

    /// Waits for the end. Cancel safe. An instance that ended keeps its record until [`Engine::remove`].
    async fn wait(&self, id: InstanceId) -> Result<ExitRecord, EngineError>;

    /// Asks the instance to end (SIGTERM or the image's stop signal), kills it after `grace_period`, returns its record.
    async fn stop(
        &self,
        id: InstanceId,
        reason: StopReason,
        grace_period: Duration,
    ) -> Result<ExitRecord, EngineError>;

    /// Removes everything of an ended instance but its log and exit record.
    async fn remove(&self, id: InstanceId) -> Result<(), EngineError>;

    /// Deletes log and record of a removed instance.
    async fn forget(&self, id: InstanceId) -> Result<(), EngineError>;

    /// Every instance that was removed and is not forgotten, with what its log and record take.
    async fn remains(&self) -> Result<Vec<Remains>, EngineError>;

    /// What listens in the instance's network namespace now.
    async fn sockets(&self, id: InstanceId) -> Result<Vec<ListeningSocket>, EngineError>;

    /// How much processor time the instance's processes ever wanted: took, or waited for. `None` where nobody counts the waiting.
    async fn processor_demand(&self, id: InstanceId) -> Result<Option<Duration>, EngineError>;

    async fn stats(&self, id: InstanceId) -> Result<InstanceStats, EngineError>;

    /// The log from the given place; with `follow`, goes on until the instance ended and all was delivered.
    /// Works after the end and after [`Engine::remove`].
    async fn logs(&self, id: InstanceId, query: LogQuery) -> Result<LogStream, EngineError>;

    /// Runs another process inside the instance.
    async fn exec(&self, id: InstanceId, request: ExecRequest) -> Result<ExecSession, EngineError>;

    /// Ends and removes everything that carries our prefix and is not in `keep`: instances, networks of apps not in `apps`, cgroups,
    /// mounts. Says what it removed.
    async fn sweep(
        &self,
        keep: &HashSet<InstanceId>,
        apps: &HashSet<AppId>,
    ) -> Result<SweepReport, EngineError>;
}

/// Addresses of this node's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRoom {
    /// Those that have a part of it.
    pub apps: BTreeSet<AppId>,
    /// How many more can have one.
    pub free: usize,
    /// How many instances of this app can run at a time, whether it has its part already or would get one.
    pub instances_of_app: u32,
}

/// What became of a connection from an app's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    Connected,
    UnknownHost {
        message: String,
    },
    /// It leads to the asker itself.
    Loopback,
    Failed {
        kind: io::ErrorKind,
        message: String,
    },
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceSpec {
    pub id: InstanceId,
    pub owner: InstanceOwner,
    /// Layer directories of the root file system, bottom first. Never written to.
    pub layers: Vec<PathBuf>,
    pub mounts: Vec<Mount>,
    /// Executed directly, never by a shell of ours. An empty list is refused with `NoRunCommand`.
    pub argv: Vec<String>,
    /// The whole environment; the engine adds only PATH, HOME and HOSTNAME where they are missing.
    pub env: BTreeMap<String, String>,
    pub working_dir: String,
    /// `user`, `uid`, `user:group` or `uid:gid`, looked up in the image; `None` is root of the user namespace.
    pub user: Option<String>,
    pub hostname: String,
    pub limits: Limits,
    pub network: Network,
    /// Signal number for a graceful stop; 15 unless the image says otherwise.
    pub stop_signal: i32,
}

/// Whose instance it is; kept with it, so that a later server can adopt it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "owner", rename_all = "snake_case")]
pub enum InstanceOwner {
    Component {
        app: AppId,
        deployment: DeploymentId,
        component: String,
        ordinal: u32,
    },
    BuildStep {
        app: AppId,
        build: String,
    },
    /// The server of a database of the app, or a tool that works for one. Outlives deployments.
    Database {
        app: AppId,
        database: DatabaseId,
    },
}

/// Who decides what a name inside the app leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameGroup {
    /// The services of the deployment that serves.
    Services,
    /// The app's databases, whatever deployment serves.
    Databases,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The app's own network, with its component names.
    App,
    /// Outbound only: no app, no host, no platform.
    Build,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    Running,
    Exited,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    pub id: InstanceId,
    pub owner: InstanceOwner,
    pub state: InstanceState,
    /// Process id of the app's main process on this node, while it runs.
    pub pid: Option<i32>,
    pub started_at: Timestamp,
    pub address: Option<Ipv4Addr>,
    pub exit: Option<ExitRecord>,
}

/// What is left of a removed instance: its log and its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remains {
    pub id: InstanceId,
    pub bytes: u64,
    /// When it ended.
    pub ended_at: SystemTime,
}

/// A component's name inside the app, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternalService {
    pub component: String,
    /// (port that is asked, port of the instance): 80 → http_port, and each internal port to itself.
    pub ports: Vec<(u16, u16)>,
    /// Addresses of its ready instances; connects are spread over them.
    pub addresses: Vec<Ipv4Addr>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceStats {
    pub at: Timestamp,
    pub memory_bytes: u64,
    pub memory: MemoryRecord,
    pub cpu_usage_micros: u64,
    pub cpu_throttled_micros: u64,
    pub pids: u32,
    pub course: Course,
}

/// Which lines of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogQuery {
    pub follow: bool,
    /// Only the last lines; `None`: all that is kept.
    pub tail: Option<usize>,
    /// Only lines after this sequence number.
    pub after: Option<u64>,
}

/// Lines of a log, in order.
pub type LogStream = Pin<Box<dyn Stream<Item = Result<LogLine, EngineError>> + Send>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRequest {
    pub argv: Vec<String>,
    /// Added to the instance's own environment.
    pub env: BTreeMap<String, String>,
    /// Columns and rows of a terminal; `None`: no terminal.
    pub terminal: Option<(u16, u16)>,
}

/// A running exec. Dropping it hangs up: the process gets SIGHUP and is killed.
pub struct ExecSession {
    pub output: Pin<Box<dyn Stream<Item = ExecOutput> + Send>>,
    pub input: Pin<Box<dyn Sink<ExecInput, Error = EngineError> + Send>>,
}

impl fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSession").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecOutput {
    /// Without a terminal, stdout and stderr keep apart; with one all is `Stdout`.
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// Always the last item. The raw exit, or why the command could not be executed.
    Ended(Result<mainstay_diagnosis::facts::Termination, ExecFault>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecInput {
    Stdin(Vec<u8>),
    CloseStdin,
    Resize { columns: u16, rows: u16 },
}

/// What a sweep removed, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepReport {
    pub removed: Vec<String>,
}

/// The command of an instance cannot be executed, or the check itself failed.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    #[error("the command cannot be executed")]
    Refused(Box<ExecFault>),
    #[error("the command could not be checked")]
    Engine(#[source] EngineError),
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel refused to execute the main process.
    #[error("the command cannot be executed")]
    Refused(Box<ExecFault>),
    #[error("the instance could not be started")]
    Engine(#[source] EngineError),
}

/// A fault of the engine itself; becomes `InternalError`.
#[derive(Debug, thiserror::Error)]
#[error("{operation}")]
pub struct EngineError {
    /// What was being done, with its subject: "create the bridge ms-3f2a".
    pub operation: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl EngineError {
    /// Names the operation that a source error ended: `.map_err(EngineError::during("create the bridge ms-3f2a"))`.
    pub fn during<E>(operation: impl Into<String>) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let operation = operation.into();
        move |source| Self {
            operation,
            source: Some(source.into()),
        }
    }

    /// A fault without another error behind it.
    pub fn plain(operation: impl Into<String>) -> Self {
        Self {
            operation: operation.into(),
            source: None,
        }
    }
}
