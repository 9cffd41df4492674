//! Which instance has which address. The kernel keeps that: a device is named after its address and labelled with its instance,
//! so a restarted server reads back exactly what is there, and after a reboot nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;
use mainstay_spec::ids::{AppId, InstanceId};

use super::{allocations::next_address, error::NetworkError, netlink::Device};

/// Whose network an instance joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tenant {
    /// The app's own network.
    App(AppId),
    /// Outbound only; reaches no other build either.
    Build,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) tenant: Tenant,
    pub(super) address: Ipv4Addr,
}

#[derive(Debug, Default)]
pub(super) struct Leases {
    by_instance: BTreeMap<InstanceId, Lease>,
    taken: BTreeSet<Ipv4Addr>,
    /// The address given out last in each subnet.
    last: BTreeMap<Ipv4Net, Ipv4Addr>,
}

impl Leases {
    /// The leases that `devices` stand for, and the devices that stand for none.
    pub(super) fn of_devices(prefix: &str, devices: Vec<Device>) -> (Self, Vec<String>) {
        let mut leases = Self::default();
        let mut strays = Vec::new();
        for device in devices {
            match read(prefix, &device) {
                Some((instance, lease)) => leases.insert(instance, lease),
                None => strays.push(device.name),
            }
        }
        (leases, strays)
    }

    /// The instance's address in `subnet`; a new one unless it has one of this tenant already.
    pub(super) fn take(
        &mut self,
        instance: InstanceId,
        tenant: Tenant,
        subnet: Ipv4Net,
    ) -> Result<Lease, NetworkError> {
        if let Some(lease) = self
            .by_instance
            .get(&instance)
            .filter(|lease| lease.tenant == tenant)
        {
            return Ok(*lease);
        }
        let last = self.last.get(&subnet).copied();
        let address = next_address(subnet, last, |candidate| self.taken.contains(&candidate))?;
        let lease = Lease { tenant, address };
        self.last.insert(subnet, address);
        self.insert(instance, lease);
        Ok(lease)
    }

    pub(super) fn get(&self, instance: InstanceId) -> Option<Lease> {
        self.by_instance.get(&instance).copied()
    }

    pub(super) fn release(&mut self, instance: InstanceId) {
        if let Some(lease) = self.by_instance.remove(&instance) {
            self.taken.remove(&lease.address);
        }
    }

    pub(super) fn has(&self, address: Ipv4Addr) -> bool {
        self.taken.contains(&address)
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.taken.iter().copied()
    }

    pub(super) fn find(&self, wanted: impl Fn(&Lease) -> bool) -> Option<Lease> {
        self.by_instance.values().copied().find(|lease| wanted(lease))
    }

    /// Every instance for which `wanted` is true.
    pub(super) fn instances(&self, wanted: impl Fn(InstanceId, Lease) -> bool) -> Vec<InstanceId> {
        let all = self.by_instance.iter();
        all.filter(|(instance, lease)| wanted(**instance, **lease))
            .map(|(instance, _)| *instance)
            .collect()
    }

    fn insert(&mut self, instance: InstanceId, lease: Lease) {
        self.release(instance);
        self.taken.insert(lease.address);
        self.by_instance.insert(instance, lease);
    }
}

/// Name of the host's end: at most 15 characters, unique because the address is.
pub(super) fn device_name(prefix: &str, address: Ipv4Addr) -> String {
    format!("{prefix}-{:08x}", address.to_bits())
}

/// What [`Leases::of_devices`] reads back.
pub(super) fn device_label(instance: InstanceId, tenant: Tenant) -> String {
    match tenant {
        Tenant::App(app) => format!("instance {instance} app {app}"),
        Tenant::Build => format!("instance {instance} build"),
    }
}

fn read(prefix: &str, device: &Device) -> Option<(InstanceId, Lease)> {
    let digits = device.name.strip_prefix(prefix)?.strip_prefix('-')?;
    let address = Ipv4Addr::from_bits(u32::from_str_radix(digits, 16).ok()?);
    let words: Vec<&str> = device.alias.as_deref()?.split(' ').collect();
    let (instance, tenant) = match words.as_slice() {
        ["instance", instance, "app", app] => (instance, Tenant::App(app.parse().ok()?)),
        ["instance", instance, "build"] => (instance, Tenant::Build),
        _ => return None,
    };
    Some((instance.parse().ok()?, Lease { tenant, address }))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn instance(number: u128) -> InstanceId {
        InstanceId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn leases_are_read_back_from_the_devices() {
        let app = AppId::from_uuid(Uuid::from_u128(9));
        let subnet = "10.210.2.0/24".parse().unwrap();
        let mut leases = Leases::default();
        let first = leases.take(instance(1), Tenant::App(app), subnet).unwrap();
        let second = leases.take(instance(2), Tenant::Build, subnet).unwrap();
        let device = |number, lease: Lease| Device {
            name: device_name("ms", lease.address),
            alias: Some(device_label(instance(number), lease.tenant)),
        };
        let unlabelled = Device {
            name: "ms-0ad20209".to_owned(),
            alias: None,
        };
        let (read_back, strays) =
            Leases::of_devices("ms", vec![device(1, first), device(2, second), unlabelled]);
        assert_eq!(read_back.get(instance(1)), Some(first));
        assert_eq!(read_back.get(instance(2)), Some(second));
        assert_eq!(strays, ["ms-0ad20209"]);
        assert_eq!(device_name("mainst", Ipv4Addr::BROADCAST).len(), 15);
    }

    #[test]
    fn an_instance_keeps_its_address_until_it_is_released() {
        let subnet = "10.210.2.0/29".parse().unwrap();
        let mut leases = Leases::default();
        let first = leases.take(instance(1), Tenant::Build, subnet).unwrap();
        assert_eq!(leases.take(instance(1), Tenant::Build, subnet).unwrap(), first);
        leases.release(instance(1));
        assert!(!leases.has(first.address));
        assert_ne!(leases.take(instance(2), Tenant::Build, subnet).unwrap(), first);
    }
}
