//! Whether an address can be reached from an app's network: asked from there, so that nobody is told of a port that the app could not reach itself.
//!
//! ```text
//!  thread of its own ─▶ new network namespace ─▶ attached like an instance ─▶ name, connect ─▶ detached
//! ```
//!
//! The visitor is one more address of the app's subnet for a moment: rules, component names and nameservers are those of its instances. It
//! ends with its thread; when the server is killed meanwhile the kernel takes device and address back.

use std::{
    fs::File,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    Resolver, config::LookupIpStrategy, net::runtime::TokioRuntimeProvider, system_conf::parse_resolv_conf,
};
use mainstay_spec::ids::{AppId, InstanceId};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tokio::{
    net::TcpStream,
    runtime,
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};

use super::{
    NetworkError, Networks, Tenant,
    instance_side::{Namespace, OWN_NAMESPACE},
};
use crate::api::Reach;

/// Visitors at a time, of all apps: each takes an address and a device.
pub(super) const VISITORS_MAX: usize = 4;

/// Where to go, and by which names.
#[derive(Debug)]
struct Wish {
    host: String,
    port: u16,
    /// The host's address where it is a name of the app's own.
    own: Option<IpAddr>,
    resolv_conf: String,
    deadline: Instant,
    within: Duration,
}

impl Networks {
    /// Connects to the address as an instance of the app would, and closes. Once it is its turn, for which it waits as long at most, it takes
    /// little more than `within`. What it made is taken away also when this is cancelled.
    pub async fn reach(
        self: Arc<Self>,
        app: AppId,
        host: String,
        port: u16,
        within: Duration,
    ) -> Result<Reach, NetworkError> {
        let visit = tokio::spawn(async move { self.visit(app, host, port, within).await });
        visit
            .await
            .unwrap_or_else(|error| Err(failed(io::Error::other(error))))
    }

    async fn visit(
        &self,
        app: AppId,
        host: String,
        port: u16,
        within: Duration,
    ) -> Result<Reach, NetworkError> {
        let operation = || format!("wait for a turn to reach {host}:{port}");
        let turn = timeout(within, self.visitors.acquire()).await;
        let _turn = turn
            .map_err(|_| NetworkError::Deadline {
                operation: operation(),
                deadline: within,
            })?
            .map_err(|closed| NetworkError::io(operation())(io::Error::other(closed)))?;
        self.ensure_app(app).await?;
        let resolv_conf = self.resolv_conf().await?;
        let visitor = Visitor::start()?;
        let namespace = visitor.namespace.await.map_err(|_| failed(stopped()))??;
        let id = InstanceId::from_uuid(uuid::Uuid::new_v4());
        self.attach_namespace(Tenant::App(app), id, namespace).await?;
        let wish = Wish {
            own: self.own_name(app, &host)?,
            host,
            port,
            resolv_conf,
            deadline: Instant::now() + within,
            within,
        };
        // A thread that is gone answers nothing.
        drop(visitor.wish.send(wish));
        let reached = visitor.reached.await;
        self.detach(id).await?;
        reached.map_err(|_| failed(stopped()))?
    }

    /// As `/etc/hosts` of an instance that starts now has it.
    fn own_name(&self, app: AppId, host: &str) -> Result<Option<IpAddr>, NetworkError> {
        let allocations = self.current();
        let network = allocations.app(app)?;
        let named = network.named().any(|service| service.component == host);
        let address = network.service_address(host);
        Ok(address.filter(|_| named).map(IpAddr::from))
    }
}

fn failed(source: io::Error) -> NetworkError {
    NetworkError::io("reach an address from an app's network")(source)
}

fn stopped() -> io::Error {
    io::Error::other("the thread ended without a result")
}

// === the visitor ===

struct Visitor {
    namespace: oneshot::Receiver<Result<Namespace, NetworkError>>,
    wish: oneshot::Sender<Wish>,
    reached: oneshot::Receiver<Result<Reach, NetworkError>>,
}

impl Visitor {
    fn start() -> Result<Self, NetworkError> {
        let (namespace_is, namespace) = oneshot::channel();
        let (wish, wished) = oneshot::channel::<Wish>();
        let (tell, reached) = oneshot::channel();
        let life = move || {
            let entered = enter_new_namespace();
            let is_inside = entered.is_ok();
            // Whoever asked may be gone: then nothing is wished either.
            drop(namespace_is.send(entered));
            if let Ok(wish) = wished.blocking_recv()
                && is_inside
            {
                drop(tell.send(wish.come_true()));
            }
        };
        std::thread::Builder::new()
            .name("visitor".to_owned())
            .spawn(life)
            .map_err(NetworkError::io("start a thread for a visitor of a network"))?;
        Ok(Self {
            namespace,
            wish,
            reached,
        })
    }
}

#[expect(
    unsafe_code,
    reason = "only the kernel can give a thread a network of its own"
)]
fn enter_new_namespace() -> Result<Namespace, NetworkError> {
    // SAFETY: the network alone is no longer shared. Memory, descriptors and the file system stay those of the process, so nothing that other
    // threads rely on changes; this thread is our own and ends with the visit.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
        .map_err(|errno| NetworkError::io("make a network namespace for a visitor")(errno.into()))?;
    let file = File::open(OWN_NAMESPACE).map_err(NetworkError::io(format!("open {OWN_NAMESPACE}")))?;
    Ok(Namespace::from(file))
}

impl Wish {
    /// On a thread inside the network.
    fn come_true(self) -> Result<Reach, NetworkError> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(NetworkError::io("start a runtime for a visitor"))?;
        runtime.block_on(async {
            let reached = timeout_at(self.deadline, self.connect()).await;
            reached.unwrap_or_else(|_| {
                Ok(Reach::Failed {
                    kind: io::ErrorKind::TimedOut,
                    message: format!("no answer within {} s", self.within.as_secs()),
                })
            })
        })
    }

    async fn connect(&self) -> Result<Reach, NetworkError> {
        let addresses = match self.addresses().await? {
            Ok(addresses) => addresses,
            Err(message) => return Ok(Reach::UnknownHost { message }),
        };
        let mut last = None;
        // What loops back leads to whoever asks, and there is nobody else in here.
        for address in addresses.into_iter().filter(|address| !address.is_loopback()) {
            match TcpStream::connect(SocketAddr::new(address, self.port)).await {
                Ok(_) => return Ok(Reach::Connected),
                Err(error) => last = Some(error),
            }
        }
        Ok(last.map_or(Reach::Loopback, |error| Reach::Failed {
            kind: error.kind(),
            message: error.to_string(),
        }))
    }

    /// `Err`: why the name has none.
    async fn addresses(&self) -> Result<Result<Vec<IpAddr>, String>, NetworkError> {
        if let Some(own) = self.own {
            return Ok(Ok(vec![own]));
        }
        if let Ok(address) = self.host.trim_matches(['[', ']']).parse() {
            return Ok(Ok(vec![address]));
        }
        let settings = parse_resolv_conf(&self.resolv_conf);
        let (config, mut options) = settings.map_err(|error| failed(io::Error::other(error)))?;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = resolver.with_options(options).build();
        let resolver = resolver.map_err(|error| failed(io::Error::other(error)))?;
        Ok(match resolver.lookup_ip(self.host.as_str()).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_no_records_found() => Err("no address is known for this name".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }
}
