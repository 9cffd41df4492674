//! Keeping the networks as they should be while others change the host, and taking them away.

use std::{collections::HashSet, sync::atomic::Ordering};

use mainstay_spec::ids::{AppId, InstanceId};
use rtnetlink::packet_route::address::AddressScope;

use super::{
    Allocations, IP_FORWARD, Leases, NetworkError, Networks, Policy, Tenant,
    allocations::gateway,
    forward_policy,
    leases::{Lease, device_name},
    netlink::{LOOPBACK_INDEX, Netlink, route_to_device, route_to_nowhere},
    nft, state_file,
};

/// What [`Networks::recheck`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recheck {
    /// What was missing and is there again.
    pub repaired: Vec<String>,
    /// What stands in the way and is not ours to change; for the operator.
    pub obstacles: Vec<String>,
}

impl Networks {
    /// Puts back what others took away (a flushed ruleset, a restarted network service or Docker), and follows a changed
    /// nameserver. To be called every half a minute or so; changes nothing if all is well.
    pub async fn recheck(&self) -> Result<Recheck, NetworkError> {
        // Held to the end, so that nothing is put back while or after all is removed.
        let mut policy = self.policy.lock().await;
        if self.removed.load(Ordering::Acquire) {
            return Ok(Recheck::default());
        }
        let netlink = Netlink::open()?;
        let mut repaired = self.prepare_host(&netlink).await?;
        repaired.extend(self.restore_routes(&netlink).await?);
        repaired.extend(self.restore_rules(&netlink, &mut policy).await?);
        let forwarding = forward_policy::open(&self.config).await?;
        repaired.extend(forwarding.opened);
        Ok(Recheck {
            repaired,
            obstacles: forwarding.obstacles,
        })
    }

    /// Removes what belongs to nobody: instances not in `keep_instances`, apps not in `keep_apps`, devices without an owner.
    /// Says what it removed. A running build's lease counts as an instance: keep it, or sweep before the first build starts.
    pub async fn sweep(
        &self,
        keep_apps: &HashSet<AppId>,
        keep_instances: &HashSet<InstanceId>,
    ) -> Result<Vec<String>, NetworkError> {
        let mut removed = Vec::new();
        let lost = self
            .leases()
            .instances(|instance, _| !keep_instances.contains(&instance));
        for instance in lost {
            self.detach(instance).await?;
            removed.push(format!("network device of instance {instance}"));
        }
        let apps: Vec<AppId> = self.current().apps.keys().copied().collect();
        for app in apps.into_iter().filter(|app| !keep_apps.contains(app)) {
            self.remove_app(app).await?;
            removed.push(format!("network of app {app}"));
        }
        let netlink = Netlink::open()?;
        for device in netlink.devices(&self.device_prefix()).await? {
            if !self.owned_device_names().contains(&device.name) {
                netlink.remove_device(&device.name).await?;
                removed.push(format!("network device {}", device.name));
            }
        }
        Ok(removed)
    }

    /// Removes everything that we put on this host: devices, routes, the table, rules in others' chains, the state file. The
    /// host goes on forwarding, because others may rely on that by now. Final: nothing can be added afterwards, nor put back by a
    /// recheck; a repeat finishes what failed.
    pub async fn remove_all(&self) -> Result<(), NetworkError> {
        let _policy = self.policy.lock().await;
        self.removed.store(true, Ordering::Release);
        let netlink = Netlink::open()?;
        for device in netlink.devices(&self.device_prefix()).await? {
            netlink.remove_device(&device.name).await?;
        }
        for pool in [self.config.pool, self.config.service_pool] {
            netlink.remove_route(route_to_nowhere(pool)).await?;
        }
        netlink
            .remove_address(LOOPBACK_INDEX, gateway(&self.config))
            .await?;
        forward_policy::close(&self.config).await?;
        nft::remove(&self.config.table).await?;
        state_file::remove(&self.config.state_file)?;
        *self.leases() = Leases::default();
        self.show(Allocations::default());
        Ok(())
    }
}

// === the host's part ===

impl Networks {
    /// The gateway's address, routes that keep unused addresses of ours in, and forwarding. Says what was missing.
    pub(super) async fn prepare_host(&self, netlink: &Netlink) -> Result<Vec<String>, NetworkError> {
        let mut added = Vec::new();
        let gateway = gateway(&self.config);
        if !netlink.local_addresses().await?.contains(&gateway) {
            // Of link scope, so that the host never chooses it as its own address towards others.
            netlink
                .add_address(LOOPBACK_INDEX, gateway, AddressScope::Link)
                .await?;
            added.push(format!("the gateway's address {gateway}"));
        }
        for pool in [self.config.pool, self.config.service_pool] {
            netlink.put_route(route_to_nowhere(pool)).await?;
        }
        let forwarding =
            std::fs::read_to_string(IP_FORWARD).map_err(NetworkError::io(format!("read {IP_FORWARD}")))?;
        if forwarding.trim() != "1" {
            std::fs::write(IP_FORWARD, "1").map_err(NetworkError::io(format!("write 1 to {IP_FORWARD}")))?;
            added.push(format!("1 in {IP_FORWARD}"));
        }
        Ok(added)
    }

    pub(super) async fn add_host_route(&self, netlink: &Netlink, lease: Lease) -> Result<(), NetworkError> {
        let index = netlink
            .device_index(&device_name(&self.config.prefix, lease.address))
            .await?;
        let route = route_to_device(lease.address, index)
            .pref_source(gateway(&self.config))
            .build();
        netlink.put_route(route).await
    }

    /// Routes vanish with the address they are seen from, and when a network service thinks them its own.
    async fn restore_routes(&self, netlink: &Netlink) -> Result<Vec<String>, NetworkError> {
        let routed = netlink.single_destinations().await?;
        let mut restored = Vec::new();
        for device in netlink.devices(&self.device_prefix()).await? {
            let lease = self
                .leases()
                .find(|lease| device_name(&self.config.prefix, lease.address) == device.name);
            let Some(lease) = lease.filter(|lease| !routed.contains(&lease.address)) else {
                continue;
            };
            match self.add_host_route(netlink, lease).await {
                Ok(()) => restored.push(format!("the route to {}", lease.address)),
                // Its instance is coming or going at this moment.
                Err(error) => tracing::debug!(address = %lease.address, %error, "no route added"),
            }
        }
        Ok(restored)
    }

    async fn restore_rules(
        &self,
        netlink: &Netlink,
        policy: &mut Policy,
    ) -> Result<Vec<String>, NetworkError> {
        let refused = self.refused_nameservers(netlink, &self.host_resolvers()).await?;
        policy.resolvers = refused;
        let rules = self.rules(policy, &self.current());
        if nft::is_applied(&rules).await {
            return Ok(Vec::new());
        }
        nft::apply(&rules).await?;
        Ok(vec![format!("the table inet {}", self.config.table)])
    }

    fn owned_device_names(&self) -> HashSet<String> {
        let leases = self.leases();
        let prefix = &self.config.prefix;
        leases
            .addresses()
            .map(|address| device_name(prefix, address))
            .collect()
    }

    fn device_prefix(&self) -> String {
        format!("{}-", self.config.prefix)
    }

    /// Detaches every instance of the tenant.
    pub(super) async fn detach_all(&self, tenant: Tenant) -> Result<(), NetworkError> {
        let instances = self.leases().instances(|_, lease| lease.tenant == tenant);
        for instance in instances {
            self.detach(instance).await?;
        }
        Ok(())
    }
}
