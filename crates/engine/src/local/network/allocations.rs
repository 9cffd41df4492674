//! Which app has which subnet, and which component which stable address. Pure; [`super::state_file`] keeps it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;
use mainstay_spec::ids::AppId;
use serde::{Deserialize, Serialize};

use super::{config::NetworkConfig, error::NetworkError};
use crate::api::{InternalService, NameGroup};

/// Place of the gateway's subnet in the pool.
const GATEWAY_PLACE: u32 = 0;
/// Place of the subnet that all builds share (and in which none reaches another).
pub(super) const BUILD_PLACE: u32 = 1;
const APP_PLACE_FIRST: u32 = 2;
/// Network address and the customary place of a gateway stay free, so that no instance looks like one.
const HOST_FIRST: u32 = 2;

/// Everything that must survive a restart. Addresses of instances do not: the kernel's devices carry them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Allocations {
    pub(super) apps: BTreeMap<AppId, AppNetwork>,
}

/// One app's share. Its subnets stay as they are while the app lives, whatever size those of new apps get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AppNetwork {
    /// Where its instances live.
    pub(super) subnet: Ipv4Net,
    /// Where its components' stable addresses live.
    pub(super) service_subnet: Ipv4Net,
    /// Component → place of its address in the service subnet. Kept while the app lives, so that a name never moves.
    pub(super) names: BTreeMap<String, u32>,
    /// What the names lead to now.
    pub(super) services: Vec<InternalService>,
    /// The same for the names of databases.
    #[serde(default)]
    pub(super) databases: Vec<InternalService>,
}

impl Allocations {
    /// Gives the app a subnet if it has none. True if it had none.
    pub(super) fn ensure_app(&mut self, app: AppId, config: &NetworkConfig) -> Result<bool, NetworkError> {
        if self.apps.contains_key(&app) {
            return Ok(false);
        }
        let (subnet, service_subnet) = self.free(config).next().ok_or(NetworkError::NoSubnetLeft {
            pool: config.pool,
            subnets: self.apps.len(),
        })?;
        self.apps.insert(app, AppNetwork::new(subnet, service_subnet));
        Ok(true)
    }

    /// How many more apps can have a subnet.
    pub(super) fn free_subnets(&self, config: &NetworkConfig) -> usize {
        self.free(config).count()
    }

    /// Pairs of subnets that belong to nobody, of the size that new apps get.
    fn free(&self, config: &NetworkConfig) -> impl Iterator<Item = (Ipv4Net, Ipv4Net)> {
        let length = config.app_prefix_length;
        let pairs = (APP_PLACE_FIRST..config.subnet_count()).map(move |place| {
            (
                subnet(config.pool, length, place),
                subnet(config.service_pool, length, place),
            )
        });
        pairs.filter(|(instances, services)| {
            let mut networks = self.apps.values();
            !networks.any(|network| {
                overlap(network.subnet, *instances) || overlap(network.service_subnet, *services)
            })
        })
    }

    /// An app whose addresses are not of the pools: they were other ones when it got them.
    pub(super) fn outside_of_pools(&self, config: &NetworkConfig) -> Option<(AppId, Ipv4Net)> {
        let of_apps = self.apps.iter().flat_map(|(app, network)| {
            [
                (config.pool, *app, network.subnet),
                (config.service_pool, *app, network.service_subnet),
            ]
        });
        let mut outside = of_apps.filter(|(pool, _, subnet)| !pool.contains(subnet));
        outside.next().map(|(_, app, subnet)| (app, subnet))
    }

    pub(super) fn app(&self, app: AppId) -> Result<&AppNetwork, NetworkError> {
        self.apps.get(&app).ok_or(NetworkError::UnknownApp { app })
    }

    /// Replaces the group's names; new ones get an address.
    pub(super) fn set_services(
        &mut self,
        app: AppId,
        group: NameGroup,
        services: &[InternalService],
    ) -> Result<(), NetworkError> {
        let network = self.apps.get_mut(&app).ok_or(NetworkError::UnknownApp { app })?;
        for service in services {
            check_service(service, network.subnet)?;
        }
        *network.group_mut(group) = services.to_vec();
        services
            .iter()
            .try_for_each(|service| network.ensure_name(&service.component))
    }

    /// Takes `address` out of all services of all apps. True if one had it.
    pub(super) fn forget_address(&mut self, address: Ipv4Addr) -> bool {
        self.retain_addresses(|candidate| candidate != address)
    }

    /// Takes every address out of the services for which `keep` is false. True if that changed anything.
    pub(super) fn retain_addresses(&mut self, keep: impl Fn(Ipv4Addr) -> bool) -> bool {
        let mut changed = false;
        let networks = self.apps.values_mut();
        for service in networks.flat_map(|network| network.services.iter_mut().chain(&mut network.databases))
        {
            let before = service.addresses.len();
            service.addresses.retain(|address| keep(*address));
            changed |= service.addresses.len() != before;
        }
        changed
    }
}

impl AppNetwork {
    pub(super) fn new(subnet: Ipv4Net, service_subnet: Ipv4Net) -> Self {
        Self {
            subnet,
            service_subnet,
            names: BTreeMap::new(),
            services: Vec::new(),
            databases: Vec::new(),
        }
    }

    /// Tells its chains from those of other apps.
    pub(super) fn tag(&self) -> String {
        format!("{:08x}", self.subnet.network().to_bits())
    }

    /// The component's stable address, if it ever was a service.
    pub(super) fn service_address(&self, component: &str) -> Option<Ipv4Addr> {
        let place = self.names.get(component)?;
        Some(host(self.service_subnet, *place))
    }

    /// The names of all groups.
    pub(super) fn named(&self) -> impl Iterator<Item = &InternalService> {
        self.services.iter().chain(&self.databases)
    }

    fn group_mut(&mut self, group: NameGroup) -> &mut Vec<InternalService> {
        match group {
            NameGroup::Services => &mut self.services,
            NameGroup::Databases => &mut self.databases,
        }
    }

    /// An address for the component, if it has none. When all are taken, that of a name which no service has any more.
    fn ensure_name(&mut self, component: &str) -> Result<(), NetworkError> {
        if self.names.contains_key(component) {
            return Ok(());
        }
        let subnet = self.service_subnet;
        let taken: BTreeSet<u32> = self.names.values().copied().collect();
        let free = (HOST_FIRST..host_end(subnet)).find(|place| !taken.contains(place));
        let place = match free {
            Some(place) => place,
            None => self
                .take_old_name()
                .ok_or(NetworkError::NoAddressLeft { subnet })?,
        };
        self.names.insert(component.to_owned(), place);
        Ok(())
    }

    fn take_old_name(&mut self) -> Option<u32> {
        let in_use: BTreeSet<&str> = self.named().map(|service| service.component.as_str()).collect();
        let old = self.names.keys().find(|name| !in_use.contains(name.as_str()));
        let old = old.cloned()?;
        self.names.remove(&old)
    }
}

fn check_service(service: &InternalService, subnet: Ipv4Net) -> Result<(), NetworkError> {
    if !is_host_name(&service.component) {
        return Err(NetworkError::ComponentName {
            name: service.component.clone(),
        });
    }
    match service
        .addresses
        .iter()
        .find(|address| !subnet.contains(*address))
    {
        Some(address) => Err(NetworkError::ForeignAddress {
            component: service.component.clone(),
            address: *address,
            subnet,
        }),
        None => Ok(()),
    }
}

/// One label of RFC 1123, underscores allowed: nothing that could add a line to a hosts file.
pub(super) fn is_host_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// The gateway of every instance and build: the host, as they see it.
pub(super) fn gateway(config: &NetworkConfig) -> Ipv4Addr {
    host(subnet(config.pool, config.app_prefix_length, GATEWAY_PLACE), 1)
}

/// The subnet at `place` of a pool.
pub(super) fn subnet(pool: Ipv4Net, prefix_length: u8, place: u32) -> Ipv4Net {
    let first = pool.network().to_bits() + (place << (32 - prefix_length));
    Ipv4Net::new_assert(Ipv4Addr::from_bits(first), prefix_length)
}

/// The next address of `subnet` after `previous` that is not taken, going round: a freed address rests as long as possible.
pub(super) fn next_address(
    subnet: Ipv4Net,
    previous: Option<Ipv4Addr>,
    taken: impl Fn(Ipv4Addr) -> bool,
) -> Result<Ipv4Addr, NetworkError> {
    let end = host_end(subnet);
    let after = previous.map_or(HOST_FIRST, |address| {
        address.to_bits() - subnet.network().to_bits() + 1
    });
    (after..end)
        .chain(HOST_FIRST..after.min(end))
        .map(|place| host(subnet, place))
        .find(|address| !taken(*address))
        .ok_or(NetworkError::NoAddressLeft { subnet })
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

/// How many instances a subnet has addresses for.
pub(super) fn hosts_of(prefix_length: u8) -> u32 {
    ((1 << (32 - prefix_length)) - 1) - HOST_FIRST
}

fn host(subnet: Ipv4Net, place: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(subnet.network().to_bits() + place)
}

/// One behind the last usable place: the broadcast address stays free.
fn host_end(subnet: Ipv4Net) -> u32 {
    (1 << (32 - subnet.prefix_len())) - 1
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use uuid::Uuid;

    use super::*;

    fn config() -> NetworkConfig {
        NetworkConfig {
            app_prefix_length: 18,
            ..NetworkConfig::new(PathBuf::from("/nowhere"))
        }
    }

    fn app(number: u128) -> AppId {
        AppId::from_uuid(Uuid::from_u128(number))
    }

    fn service(component: &str, addresses: &[&str]) -> InternalService {
        InternalService {
            component: component.to_owned(),
            ports: vec![(80, 8080)],
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn apps_get_distinct_subnets_until_none_is_left_and_places_return() {
        let mut allocations = Allocations::default();
        assert!(allocations.ensure_app(app(1), &config()).unwrap());
        assert!(allocations.ensure_app(app(2), &config()).unwrap());
        assert!(!allocations.ensure_app(app(2), &config()).unwrap());
        let subnets: Vec<String> = allocations
            .apps
            .values()
            .map(|network| network.subnet.to_string())
            .collect();
        assert_eq!(subnets, ["10.210.128.0/18", "10.210.192.0/18"]);
        let refused = allocations.ensure_app(app(3), &config()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "all subnets of the address pool 10.210.0.0/16 belong to apps: 2 have one"
        );
        assert_eq!(allocations.free_subnets(&config()), 0);
        allocations.apps.remove(&app(1));
        assert!(allocations.ensure_app(app(3), &config()).unwrap());
    }

    #[test]
    fn a_name_keeps_its_address_while_the_app_lives() {
        let config = NetworkConfig::new(PathBuf::from("/nowhere"));
        let mut allocations = Allocations::default();
        allocations.ensure_app(app(1), &config).unwrap();
        let web_and_api = [service("web", &["10.210.0.130"]), service("api", &[])];
        allocations
            .set_services(app(1), NameGroup::Services, &web_and_api)
            .unwrap();
        allocations
            .set_services(app(1), NameGroup::Services, &[service("api", &[])])
            .unwrap();
        allocations
            .set_services(app(1), NameGroup::Services, &web_and_api)
            .unwrap();
        let address = |name| allocations.app(app(1)).unwrap().service_address(name);
        assert_eq!(address("web"), Some(Ipv4Addr::new(10, 211, 0, 130)));
        assert_eq!(address("api"), Some(Ipv4Addr::new(10, 211, 0, 131)));
        assert_eq!(address("other"), None);
    }

    #[test]
    fn an_app_keeps_its_subnet_when_new_ones_get_smaller_ones() {
        let old = NetworkConfig {
            app_prefix_length: 24,
            ..NetworkConfig::new(PathBuf::from("/nowhere"))
        };
        let new = NetworkConfig::new(PathBuf::from("/nowhere"));
        let mut allocations = Allocations::default();
        allocations.ensure_app(app(1), &old).unwrap();
        // A /24, and the two /26 of the gateway and the builds, are gone.
        assert_eq!(allocations.free_subnets(&new), 1024 - 4 - 2);
        for number in 2..=7 {
            allocations.ensure_app(app(number), &new).unwrap();
        }
        assert_eq!(allocations.apps[&app(1)].subnet.to_string(), "10.210.2.0/24");
        assert_eq!(allocations.apps[&app(7)].subnet.to_string(), "10.210.1.192/26");
        allocations.ensure_app(app(8), &new).unwrap();
        assert_eq!(allocations.apps[&app(8)].subnet.to_string(), "10.210.3.0/26");
        assert_eq!(allocations.outside_of_pools(&new), None);
        let elsewhere = NetworkConfig {
            service_pool: "10.215.0.0/16".parse().unwrap(),
            ..new
        };
        let outside = allocations.outside_of_pools(&elsewhere);
        assert_eq!(outside, Some((app(1), "10.211.2.0/24".parse().unwrap())));
    }

    #[test]
    fn an_old_name_gives_its_address_to_a_new_one_when_all_are_taken() {
        let config = NetworkConfig {
            app_prefix_length: 29,
            ..NetworkConfig::new(PathBuf::from("/nowhere"))
        };
        let mut allocations = Allocations::default();
        allocations.ensure_app(app(1), &config).unwrap();
        let mut set = |names: &[&str]| {
            let services: Vec<_> = names.iter().map(|name| service(name, &[])).collect();
            allocations.set_services(app(1), NameGroup::Services, &services)
        };
        set(&["a", "b", "c", "d", "e"]).unwrap();
        set(&["b", "c", "d", "e", "f"]).unwrap();
        assert!(set(&["b", "c", "d", "e", "f", "g"]).is_err(), "five are five");
        let names = &allocations.apps[&app(1)].names;
        let places: BTreeSet<u32> = names.values().copied().collect();
        assert_eq!((names.len(), places.len()), (5, 5), "{names:?}");
        assert!(!names.contains_key("a"));
    }

    #[test]
    fn services_of_another_app_or_with_odd_names_are_refused() {
        let config = NetworkConfig::new(PathBuf::from("/nowhere"));
        let mut allocations = Allocations::default();
        allocations.ensure_app(app(1), &config).unwrap();
        let mut set = |service| {
            allocations
                .set_services(app(1), NameGroup::Services, &[service])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            set(service("web", &["10.210.3.2"])),
            "component \"web\" names the address 10.210.3.2, which is not of the app's subnet 10.210.0.128/26"
        );
        assert_eq!(
            set(service("web\n1.2.3.4 x", &[])),
            "component name \"web\\n1.2.3.4 x\" cannot be a host name"
        );
    }

    #[test]
    fn a_freed_address_is_given_out_last() {
        let subnet: Ipv4Net = "10.0.0.0/29".parse().unwrap();
        let address = |last| Ipv4Addr::new(10, 0, 0, last);
        let next = |previous, taken: &[u8]| {
            next_address(subnet, previous, |candidate| {
                taken.contains(&candidate.octets()[3])
            })
            .map(|address| address.octets()[3])
        };
        assert_eq!(next(None, &[]).unwrap(), 2);
        assert_eq!(next(Some(address(3)), &[3]).unwrap(), 4);
        assert_eq!(next(Some(address(6)), &[3, 6]).unwrap(), 2);
        assert_eq!(next(Some(address(4)), &[2, 4, 5, 6]).unwrap(), 3);
        assert!(next(Some(address(4)), &[2, 3, 4, 5, 6]).is_err());
    }
}
