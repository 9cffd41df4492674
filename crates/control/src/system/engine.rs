//! A machine whose instances are no processes but listeners on loopback. It outlives the servers that use it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use mainstay_diagnosis::facts::{
    Course, ExitRecord, ListeningSocket, MemoryRecord, StopReason, StopRecord, Termination,
};
use mainstay_engine::{
    Engine, EngineError, ExecRequest, ExecSession, InstanceOwner, InstanceSpec, InstanceState, InstanceStats,
    InstanceStatus, InternalService, LogQuery, LogStream, NameGroup, NetworkRoom, PreflightError, Reach,
    Remains, StartError, SweepReport,
};
use mainstay_spec::ids::{AppId, InstanceId};
use tokio::sync::watch;

use super::calls::{Calls, Outcome};

/// A `run_command` that answers every request.
pub(super) const SERVES: &str = "serve";
/// A `run_command` that ends at once.
pub(super) const CRASHES: &str = "crash";
/// A `run_command` that ends well at once.
pub(super) const ENDS: &str = "end";
/// A `run_command` that goes on until it is stopped.
pub(super) const RUNS_ON: &str = "run on";
const CRASH_CODE: i32 = 3;
/// Of one machine: instances that were ever started on it.
const ADDRESSES: u32 = 4096;
/// A minute.
const LOOK_MICROS: u64 = 60_000_000;

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) calls: Calls,
    /// Where its services listen.
    port: u16,
    addresses: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    instances: BTreeMap<InstanceId, Instance>,
    networks: BTreeSet<AppId>,
    /// Component → how many instances of it were ever started.
    started: BTreeMap<String, usize>,
    nothing_crashes: bool,
    /// Percent of a core, and bytes of memory. `None`: nobody can be asked.
    used: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Instance {
    status: InstanceStatus,
    exit: watch::Sender<Option<ExitRecord>>,
    app: Option<ListeningApp>,
    looked_at: i64,
    cpu_usage_micros: u64,
}

impl Machine {
    /// Machines of one port differ in their number.
    pub(super) fn new(calls: Calls, port: u16, number: u32) -> Self {
        Self {
            calls,
            port,
            addresses: AtomicU32::new(number * ADDRESSES),
            inner: Mutex::default(),
        }
    }

    pub(super) fn running(&self) -> Vec<InstanceStatus> {
        let inner = self.lock();
        let statuses = inner.instances.values().map(|instance| instance.status.clone());
        statuses
            .filter(|status| status.state == InstanceState::Running)
            .collect()
    }

    /// Every instance, ended ones that were not removed included.
    pub(super) fn known(&self) -> BTreeSet<InstanceId> {
        self.lock().instances.keys().copied().collect()
    }

    pub(super) fn networks(&self) -> BTreeSet<AppId> {
        self.lock().networks.clone()
    }

    /// How many instances of the component were ever started.
    pub(super) fn started(&self, component: &str) -> usize {
        self.lock().started.get(component).copied().unwrap_or(0)
    }

    /// What crashed ends well from now on.
    pub(super) fn succeed_from_now_on(&self) {
        self.lock().nothing_crashes = true;
    }

    /// What every instance says that it uses.
    pub(super) fn use_from_now_on(&self, cpu_percent: u64, memory_bytes: u64) {
        self.lock().used = Some((cpu_percent, memory_bytes));
    }

    /// The instance ends by itself.
    pub(super) fn crash(&self, id: InstanceId) {
        self.exit(id, CRASH_CODE);
    }

    /// The same, and well.
    pub(super) fn finish(&self, id: InstanceId) {
        self.exit(id, 0);
    }

    fn exit(&self, id: InstanceId, code: i32) {
        if let Some(instance) = self.lock().instances.get_mut(&id) {
            instance.end(Termination::Exited { code }, None);
        }
    }

    fn start(&self, spec: &InstanceSpec) -> InstanceStatus {
        let mut inner = self.lock();
        if let Some(instance) = inner.instances.get(&spec.id) {
            return instance.status.clone();
        }
        if let InstanceOwner::Component { component, .. } = &spec.owner {
            *inner.started.entry(component.clone()).or_default() += 1;
        }
        let address = self.next_address();
        let mut instance = Instance {
            status: InstanceStatus {
                id: spec.id,
                owner: spec.owner.clone(),
                state: InstanceState::Running,
                pid: Some(1),
                started_at: Timestamp::now(),
                address: Some(address),
                exit: None,
            },
            exit: watch::Sender::new(None),
            app: None,
            looked_at: 0,
            cpu_usage_micros: 0,
        };
        let status = instance.status.clone();
        match spec.argv.first().map(String::as_str) {
            Some(SERVES) => instance.app = Some(ListeningApp::start((address, self.port).into())),
            Some(ENDS) => instance.end(Termination::Exited { code: 0 }, None),
            Some(CRASHES) if inner.nothing_crashes => {
                instance.end(Termination::Exited { code: 0 }, None);
            }
            Some(CRASHES) => instance.end(Termination::Exited { code: CRASH_CODE }, None),
            _ => {}
        }
        inner.instances.insert(spec.id, instance);
        status
    }

    /// All of 127.0.0.0/8 is this machine; whole tests have a port of their own.
    fn next_address(&self) -> Ipv4Addr {
        let number = self.addresses.fetch_add(1, Ordering::SeqCst);
        Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 0).to_bits() + number)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<T>(&self, name: &str, work: impl FnOnce(&mut Inner) -> T) -> Result<T, EngineError> {
        match self.calls.around(name, || work(&mut self.lock())).await {
            Outcome::Done(done) => Ok(done),
            Outcome::Failed => Err(failed(name)),
        }
    }
}

fn failed(name: &str) -> EngineError {
    EngineError::plain(format!("{name}: injected"))
}

fn unknown(id: InstanceId) -> EngineError {
    EngineError::plain(format!("no instance {id}"))
}

impl Instance {
    fn end(&mut self, termination: Termination, stop: Option<StopRecord>) {
        if self.status.state == InstanceState::Exited {
            return;
        }
        let record = ExitRecord {
            termination: Some(termination),
            started_at: Some(self.status.started_at),
            ended_at: Timestamp::now(),
            stop,
            memory: MemoryRecord::default(),
            cpu_usage_micros: None,
            cpu_throttled_micros: None,
            pids_limit_hits: None,
            exec_fault: None,
            course: Course::default(),
        };
        self.status.state = InstanceState::Exited;
        self.status.pid = None;
        self.status.exit = Some(record.clone());
        self.app = None;
        self.exit.send_replace(Some(record));
    }
}

#[async_trait]
impl Engine for Machine {
    async fn ensure_network(&self, app: AppId) -> Result<(), EngineError> {
        self.ask("ensure_network", |inner| inner.networks.insert(app))
            .await
            .map(drop)
    }

    async fn network_room(&self, _app: AppId) -> Result<Option<NetworkRoom>, EngineError> {
        Ok(None)
    }

    async fn remove_network(&self, app: AppId) -> Result<(), EngineError> {
        self.ask("remove_network", |inner| inner.networks.remove(&app))
            .await
            .map(drop)
    }

    async fn set_internal_services(
        &self,
        _app: AppId,
        _group: NameGroup,
        _services: &[InternalService],
    ) -> Result<(), EngineError> {
        self.ask("set_internal_services", |_| ()).await
    }

    async fn reach(
        &self,
        _app: AppId,
        _host: &str,
        _port: u16,
        _within: Duration,
    ) -> Result<Reach, EngineError> {
        self.ask("reach", |_| Reach::Connected).await
    }

    async fn preflight(&self, _spec: &InstanceSpec) -> Result<(), PreflightError> {
        self.ask("preflight", |_| ())
            .await
            .map_err(PreflightError::Engine)
    }

    async fn start(&self, spec: InstanceSpec) -> Result<InstanceStatus, StartError> {
        match self.calls.around("start", || Machine::start(self, &spec)).await {
            Outcome::Done(status) => Ok(status),
            Outcome::Failed => Err(StartError::Engine(failed("start"))),
        }
    }

    async fn status(&self, id: InstanceId) -> Result<Option<InstanceStatus>, EngineError> {
        let status = |inner: &mut Inner| inner.instances.get(&id).map(|instance| instance.status.clone());
        self.ask("status", status).await
    }

    async fn list(&self) -> Result<Vec<InstanceStatus>, EngineError> {
        let list = |inner: &mut Inner| {
            let statuses = inner.instances.values().map(|instance| instance.status.clone());
            statuses.collect()
        };
        self.ask("list", list).await
    }

    async fn wait(&self, id: InstanceId) -> Result<ExitRecord, EngineError> {
        let subscribe =
            |inner: &mut Inner| inner.instances.get(&id).map(|instance| instance.exit.subscribe());
        let mut exit = self.ask("wait", subscribe).await?.ok_or_else(|| unknown(id))?;
        let record = exit
            .wait_for(Option::is_some)
            .await
            .map_err(|_| unknown(id))?
            .clone();
        record.ok_or_else(|| unknown(id))
    }

    async fn stop(
        &self,
        id: InstanceId,
        reason: StopReason,
        _grace_period: Duration,
    ) -> Result<ExitRecord, EngineError> {
        let stop = |inner: &mut Inner| {
            let instance = inner.instances.get_mut(&id)?;
            let record = StopRecord {
                reason,
                asked_at: Timestamp::now(),
                grace_period_seconds: 0,
                killed_at: None,
            };
            let terminated = Termination::Signaled {
                signal: 15,
                core_dumped: false,
            };
            instance.end(terminated, Some(record));
            instance.status.exit.clone()
        };
        self.ask("stop", stop).await?.ok_or_else(|| unknown(id))
    }

    async fn remove(&self, id: InstanceId) -> Result<(), EngineError> {
        let remove = |inner: &mut Inner| {
            let runs = |instance: &Instance| instance.status.state == InstanceState::Running;
            if inner.instances.get(&id).is_some_and(runs) {
                return Err(EngineError::plain(format!("instance {id} runs")));
            }
            inner.instances.remove(&id);
            Ok(())
        };
        self.ask("remove", remove).await?
    }

    async fn forget(&self, _id: InstanceId) -> Result<(), EngineError> {
        self.ask("forget", |_| ()).await
    }

    async fn remains(&self) -> Result<Vec<Remains>, EngineError> {
        Ok(Vec::new())
    }

    async fn sockets(&self, _id: InstanceId) -> Result<Vec<ListeningSocket>, EngineError> {
        Ok(Vec::new())
    }

    async fn processor_demand(&self, _id: InstanceId) -> Result<Option<Duration>, EngineError> {
        Ok(None)
    }

    /// Between two looks there is a minute.
    async fn stats(&self, id: InstanceId) -> Result<InstanceStats, EngineError> {
        let mut inner = self.lock();
        let used = inner.used;
        let instance = inner.instances.get_mut(&id).filter(|it| it.app.is_some());
        let (instance, (cpu_percent, memory_bytes)) = instance.zip(used).ok_or_else(|| unknown(id))?;
        instance.looked_at += 1;
        instance.cpu_usage_micros += LOOK_MICROS * cpu_percent / 100;
        Ok(InstanceStats {
            at: instance.status.started_at + SignedDuration::from_mins(instance.looked_at),
            memory_bytes,
            memory: MemoryRecord::default(),
            cpu_usage_micros: instance.cpu_usage_micros,
            cpu_throttled_micros: 0,
            pids: 1,
            course: Course::default(),
        })
    }

    async fn logs(&self, _id: InstanceId, _query: LogQuery) -> Result<LogStream, EngineError> {
        Ok(Box::pin(futures_util::stream::empty()))
    }

    async fn exec(&self, id: InstanceId, _request: ExecRequest) -> Result<ExecSession, EngineError> {
        self.ask("exec", |_| ()).await?;
        Err(unknown(id))
    }

    async fn sweep(
        &self,
        keep: &HashSet<InstanceId>,
        apps: &HashSet<AppId>,
    ) -> Result<SweepReport, EngineError> {
        let sweep = |inner: &mut Inner| {
            inner.instances.retain(|id, _| keep.contains(id));
            inner.networks.retain(|app| apps.contains(app));
            SweepReport::default()
        };
        self.ask("sweep", sweep).await
    }
}

/// Answers 200 to everything until it is dropped.
#[derive(Debug)]
struct ListeningApp {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl ListeningApp {
    fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("nobody else has this address and port");
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                drop(answer(stream));
            }
        });
        Self { address, ended }
    }
}

impl Drop for ListeningApp {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread, which sees the flag; it may be at an answer.
        drop(TcpStream::connect(self.address));
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            // A probe that only connects.
            0 => return Ok(()),
            length => head.extend(&piece[..length]),
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
}
