//! Networks of apps on this machine: addresses, names, isolation, the way out.
//!
//! Each instance hangs on a veth pair of its own, and every packet of it is *routed* by the host: there is no bridge, hence no
//! neighbourhood in which one could listen, spoof or flood, and nothing that depends on whether this host filters bridged traffic
//! (`docs/decisions/0002-names-without-a-dns-daemon.md`). An app is a subnet; one nftables table says who may speak to whom
//! ([`rules`]); component names lead to stable addresses that the same table spreads over the ready instances.
//!
//! ```text
//! attach  ─▶ lease an address ─▶ veth pair (netlink) ─▶ route here, address and gateway inside (own thread)
//! others  ─▶ new allocations ─▶ state file ─▶ all rules rendered ─▶ one nft transaction
//! ```
//!
//! What is where: allocations in the state file, leases in the devices' names and labels, policy in the table. All of it works on
//! while no server runs, and [`Networks::open`] takes it up again.

mod allocations;
mod config;
mod error;
mod forward_policy;
mod instance_side;
mod leases;
mod name_files;
mod netlink;
mod nft;
mod reach;
mod rule_set;
mod rules;
mod state_file;
mod upkeep;

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mainstay_spec::ids::{AppId, InstanceId};
use tokio::time::timeout;

use self::{
    allocations::{Allocations, BUILD_PLACE, gateway, hosts_of, subnet},
    instance_side::{Addressing, Namespace},
    leases::{Lease, Leases, device_label, device_name},
    name_files::Resolvers,
    netlink::Netlink,
    rule_set::RuleSet,
    rules::RuleInputs,
};
pub use self::{config::NetworkConfig, error::NetworkError, leases::Tenant, upkeep::Recheck};
use crate::api::{InternalService, NameGroup, NetworkRoom};

/// Netlink answers in microseconds; a device that is being removed can hold others up for some tens of milliseconds.
const ATTACH_DEADLINE: Duration = Duration::from_secs(15);
const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// Where an instance is in its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub address: Ipv4Addr,
    /// The host, as the instance sees it; also where probes and routed requests come from.
    pub gateway: Ipv4Addr,
    /// The host's end.
    pub device: String,
}

/// The networks of all apps. Methods may run at the same time; all are safe to repeat. One value per prefix and host at a time:
/// leases are given out from memory, so a second one would give out the same addresses.
#[derive(Debug)]
pub struct Networks {
    config: NetworkConfig,
    leases: Mutex<Leases>,
    /// What the rules say now. Read by many, replaced only by who holds `policy`.
    allocations: Mutex<Arc<Allocations>>,
    policy: tokio::sync::Mutex<Policy>,
    /// Turns of [`Networks::reach`].
    visitors: tokio::sync::Semaphore,
    /// All was taken off the host, and nothing may put it back. Set under the lock of `policy`.
    removed: AtomicBool,
}

/// What the rules depend on beside the allocations; its lock makes changes of the table one after the other.
#[derive(Debug, Default)]
struct Policy {
    resolvers: BTreeSet<Ipv4Addr>,
}

impl Networks {
    /// Takes up what is there (or starts with nothing), and puts the host's part and the rules in place.
    pub async fn open(config: NetworkConfig) -> Result<Self, NetworkError> {
        config.validate()?;
        let netlink = Netlink::open()?;
        refuse_taken_pools(&netlink, &config).await?;
        let devices = netlink.devices(&format!("{}-", config.prefix)).await?;
        let (leases, strays) = Leases::of_devices(&config.prefix, devices);
        for stray in strays {
            // Its attach was cut off before the label; whoever wanted it has to repeat it.
            netlink.remove_device(&stray).await?;
        }
        let mut allocations = state_file::load(&config)?;
        if let Some((app, subnet)) = allocations.outside_of_pools(&config) {
            return Err(NetworkError::PoolChanged { app, subnet });
        }
        // After a reboot nobody has the addresses that were ready before.
        allocations.retain_addresses(|address| leases.has(address));
        let networks = Self {
            config,
            leases: Mutex::new(leases),
            allocations: Mutex::default(),
            policy: tokio::sync::Mutex::default(),
            visitors: tokio::sync::Semaphore::new(reach::VISITORS_MAX),
            removed: AtomicBool::new(false),
        };
        networks.prepare_host(&netlink).await?;
        let mut policy = networks.policy.lock().await;
        policy.resolvers = networks
            .refused_nameservers(&netlink, &networks.host_resolvers())
            .await?;
        networks.publish(&policy, allocations).await?;
        drop(policy);
        for obstacle in forward_policy::open(&networks.config).await?.obstacles {
            tracing::warn!(obstacle, "the host may keep apps from the network");
        }
        Ok(networks)
    }

    /// Gives the app its subnet, if it has none.
    pub async fn ensure_app(&self, app: AppId) -> Result<(), NetworkError> {
        if self.current().apps.contains_key(&app) {
            return Ok(());
        }
        let policy = self.policy.lock().await;
        let mut allocations = self.current().as_ref().clone();
        if allocations.ensure_app(app, &self.config)? {
            self.publish(&policy, allocations).await?;
        }
        Ok(())
    }

    /// What there is of addresses for this app, and for others.
    pub fn room(&self, app: AppId) -> NetworkRoom {
        let allocations = self.current();
        let own = allocations.apps.get(&app);
        let length = own.map_or(self.config.app_prefix_length, |network| {
            network.subnet.prefix_len()
        });
        NetworkRoom {
            apps: allocations.apps.keys().copied().collect(),
            free: allocations.free_subnets(&self.config),
            instances_of_app: hosts_of(length),
        }
    }

    /// Detaches what is left of the app's instances and gives its subnet back.
    pub async fn remove_app(&self, app: AppId) -> Result<(), NetworkError> {
        self.detach_all(Tenant::App(app)).await?;
        let policy = self.policy.lock().await;
        let mut allocations = self.current().as_ref().clone();
        match allocations.apps.remove(&app) {
            Some(_) => self.publish(&policy, allocations).await,
            None => Ok(()),
        }
    }

    /// Connects the network namespace of process `netns_pid` to the tenant's network. The process must be held (created, not yet
    /// started) until this returns; its namespace may belong to another user namespace. A repeat starts over with the same address.
    /// If this is cancelled, [`Networks::detach`] takes back what was done.
    pub async fn attach(
        &self,
        tenant: Tenant,
        instance: InstanceId,
        netns_pid: i32,
    ) -> Result<Attachment, NetworkError> {
        self.attach_namespace(tenant, instance, Namespace::of_process(netns_pid)?)
            .await
    }

    async fn attach_namespace(
        &self,
        tenant: Tenant,
        instance: InstanceId,
        namespace: Namespace,
    ) -> Result<Attachment, NetworkError> {
        self.refuse_if_removed()?;
        let subnet = match tenant {
            Tenant::App(app) => {
                self.ensure_app(app).await?;
                self.current().app(app)?.subnet
            }
            Tenant::Build => subnet(self.config.pool, self.config.app_prefix_length, BUILD_PLACE),
        };
        let lease = self.leases().take(instance, tenant, subnet)?;
        let connected = timeout(ATTACH_DEADLINE, self.connect(instance, lease, namespace)).await;
        let connected = connected.unwrap_or_else(|_| {
            let operation = format!("attach the instance {instance}");
            Err(NetworkError::Deadline {
                operation,
                deadline: ATTACH_DEADLINE,
            })
        });
        if connected.is_err() {
            self.detach(instance).await?;
        }
        connected
    }

    /// Takes the instance off the network: first out of the names, then its device, then its address. Fine if it is off already.
    pub async fn detach(&self, instance: InstanceId) -> Result<(), NetworkError> {
        let Some(lease) = self.leases().get(instance) else {
            return Ok(());
        };
        self.forget_address(lease.address).await?;
        Netlink::open()?
            .remove_device(&device_name(&self.config.prefix, lease.address))
            .await?;
        self.leases().release(instance);
        Ok(())
    }

    /// Replaces what the names of a group of the app lead to. Atomic: a connect meets either the old or the new, and established
    /// connections stay. Addresses that no instance has (any more) are left out; a service without any refuses at once.
    ///
    /// A component's name is known to instances ([`Networks::hosts`]) that start after it was named here, ready or not.
    pub async fn set_services(
        &self,
        app: AppId,
        group: NameGroup,
        services: &[InternalService],
    ) -> Result<(), NetworkError> {
        if services.is_empty() && !self.current().apps.contains_key(&app) {
            // Static sites alone need no addresses.
            return Ok(());
        }
        self.ensure_app(app).await?;
        let policy = self.policy.lock().await;
        let mut allocations = self.current().as_ref().clone();
        allocations.set_services(app, group, services)?;
        {
            let leases = self.leases();
            allocations.retain_addresses(|address| leases.has(address));
        }
        if allocations == *self.current() {
            Ok(())
        } else {
            self.publish(&policy, allocations).await
        }
    }

    /// `/etc/hosts` of an instance of the app.
    pub fn hosts(&self, app: AppId, hostname: &str, address: Ipv4Addr) -> Result<String, NetworkError> {
        if !hostname.split('.').all(allocations::is_host_name) {
            return Err(NetworkError::ComponentName {
                name: hostname.to_owned(),
            });
        }
        Ok(name_files::hosts(self.current().app(app)?, hostname, address))
    }

    /// `/etc/resolv.conf` of an instance or build. The nameservers in it are reachable from instances when this returns.
    pub async fn resolv_conf(&self) -> Result<String, NetworkError> {
        let resolvers = self.host_resolvers();
        let refused = self.refused_nameservers(&Netlink::open()?, &resolvers).await?;
        let mut policy = self.policy.lock().await;
        if policy.resolvers != refused {
            let changed = Policy { resolvers: refused };
            self.publish(&changed, self.current().as_ref().clone()).await?;
            *policy = changed;
        }
        Ok(resolvers.resolv_conf())
    }
}

// === one instance ===

impl Networks {
    async fn connect(
        &self,
        instance: InstanceId,
        lease: Lease,
        namespace: Namespace,
    ) -> Result<Attachment, NetworkError> {
        let gateway = gateway(&self.config);
        let device = device_name(&self.config.prefix, lease.address);
        let netlink = Netlink::open()?;
        // Of an earlier attach of this instance, or of one that was cut off.
        netlink.remove_device(&device).await?;
        let mtu = netlink.outward_mtu().await?;
        netlink
            .add_pair(&device, instance_side::DEVICE, namespace.fd(), mtu)
            .await?;
        netlink
            .label(&device, &device_label(instance, lease.tenant))
            .await?;
        netlink.raise(&device).await?;
        self.add_host_route(&netlink, lease).await?;
        instance_side::set_up(
            namespace,
            Addressing {
                address: lease.address,
                gateway,
            },
        )
        .await?;
        Ok(Attachment {
            address: lease.address,
            gateway,
            device,
        })
    }

    fn host_resolvers(&self) -> Resolvers {
        Resolvers::from_files(&self.config.resolv_conf_files, &self.config.fallback_nameservers)
    }

    /// Those nameservers that the rules would refuse without an exception.
    async fn refused_nameservers(
        &self,
        netlink: &Netlink,
        resolvers: &Resolvers,
    ) -> Result<BTreeSet<Ipv4Addr>, NetworkError> {
        let local = netlink.local_addresses().await?;
        let refused = |address: &&Ipv4Addr| address.is_link_local() || local.contains(address);
        Ok(resolvers.nameservers.iter().filter(refused).copied().collect())
    }
}

// === changing the policy ===

impl Networks {
    /// Saves, then applies, then shows the new allocations. If the kernel refuses them, the file goes back to the old ones.
    async fn publish(&self, policy: &Policy, allocations: Allocations) -> Result<(), NetworkError> {
        self.refuse_if_removed()?;
        state_file::save(&self.config.state_file, &allocations)?;
        let rules = self.rules(policy, &allocations);
        if let Err(error) = nft::apply(&rules).await {
            state_file::save(&self.config.state_file, &self.current())?;
            return Err(error);
        }
        self.show(allocations);
        Ok(())
    }

    fn refuse_if_removed(&self) -> Result<(), NetworkError> {
        if self.removed.load(Ordering::Acquire) {
            return Err(NetworkError::Removed);
        }
        Ok(())
    }

    fn show(&self, allocations: Allocations) {
        *self.allocations.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(allocations);
    }

    fn rules(&self, policy: &Policy, allocations: &Allocations) -> RuleSet {
        RuleInputs {
            config: &self.config,
            allocations,
            resolvers: &policy.resolvers,
        }
        .render()
    }

    /// Takes the address out of all names, so that nobody is led to whoever gets it next.
    async fn forget_address(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        let named = |allocations: &Allocations| allocations.clone().forget_address(address);
        if !named(&self.current()) {
            return Ok(());
        }
        let policy = self.policy.lock().await;
        let mut allocations = self.current().as_ref().clone();
        if allocations.forget_address(address) {
            self.publish(&policy, allocations).await
        } else {
            Ok(())
        }
    }

    fn current(&self) -> Arc<Allocations> {
        Arc::clone(&self.allocations.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn refuse_taken_pools(netlink: &Netlink, config: &NetworkConfig) -> Result<(), NetworkError> {
    for pool in [config.pool, config.service_pool] {
        if let Some((route, device)) = netlink
            .foreign_route(pool, &format!("{}-", config.prefix))
            .await?
        {
            return Err(NetworkError::PoolTaken { pool, route, device });
        }
    }
    Ok(())
}
