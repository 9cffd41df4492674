//! The whole packet policy. Pure: the same allocations always give the same rules.
//!
//! ```text
//! from an instance ─▶ guard (mangle) ─▶ services (dstnat) ─▶ unserved ─▶ route ─▶ between (forward) ─▶ outward (srcnat)
//!                     own address?      component name →     nobody        other app or LAN → instance: no
//!                     host, metadata,   a ready instance     ready: reset
//!                     other app: no
//! ```
//!
//! Refusals answer (reset or "prohibited") instead of dropping: an app that tries fails in microseconds, not after minutes.
//!
//! What differs between apps is written as plain rules, dispatched by subnet, not as maps or named sets: the kernel switches the
//! rules of a chain at one instant, but the elements of a map at another, and a connect in between would find neither.

use std::{collections::BTreeSet, net::Ipv4Addr};

use super::{
    allocations::{Allocations, AppNetwork, gateway},
    config::NetworkConfig,
    rule_set::{Chain, RuleSet},
};
use crate::api::InternalService;

/// What the rules depend on.
#[derive(Debug)]
pub(super) struct RuleInputs<'a> {
    pub(super) config: &'a NetworkConfig,
    pub(super) allocations: &'a Allocations,
    /// Nameservers that the policy would refuse: the host's own addresses and link-local ones.
    pub(super) resolvers: &'a BTreeSet<Ipv4Addr>,
}

impl RuleInputs<'_> {
    pub(super) fn render(&self) -> RuleSet {
        let mut chains = self.guard();
        chains.extend(self.services());
        chains.extend(self.forward());
        chains.extend(self.source_nat());
        RuleSet {
            table: self.config.table.clone(),
            chains,
        }
    }

    fn guard(&self) -> Vec<Chain> {
        let NetworkConfig {
            prefix,
            pool,
            service_pool,
            ..
        } = self.config;
        let mut from_instance = vec![
            "meta nfproto ipv6 drop".to_owned(),
            "fib saddr . iif oif missing drop".to_owned(),
            "ct state invalid drop".to_owned(),
            "ct state established,related accept".to_owned(),
        ];
        from_instance.extend(self.exceptions());
        from_instance.extend([
            "ip daddr 169.254.0.0/16 goto refuse".to_owned(),
            "fib daddr type != unicast goto refuse".to_owned(),
            format!("ip daddr {pool} goto same_app"),
            format!("ip daddr {service_pool} goto same_app"),
        ]);
        vec![
            Chain::hooked(
                "guard",
                "type filter hook prerouting priority mangle",
                vec![format!("iifname \"{prefix}-*\" jump from_instance")],
            ),
            Chain::plain("from_instance", from_instance),
            Chain::plain("same_app", self.same_app()),
            Chain::plain(
                "refuse",
                vec![
                    "meta l4proto tcp reject with tcp reset".to_owned(),
                    "reject with icmpx type admin-prohibited".to_owned(),
                ],
            ),
        ]
    }

    /// What of the host an instance may reach.
    fn exceptions(&self) -> Vec<String> {
        let ports = &self.config.open_host_ports;
        let names = self.resolvers.iter().flat_map(|resolver| {
            ["tcp", "udp"].map(|protocol| format!("ip daddr {resolver} {protocol} dport 53 accept"))
        });
        names
            .chain(
                ports
                    .iter()
                    .map(|port| format!("fib daddr type local tcp dport {port} accept")),
            )
            .collect()
    }

    /// Who may speak to whom: every app to its own instances and names.
    fn same_app(&self) -> Vec<String> {
        let apps = self.allocations.apps.values();
        let mut rules: Vec<String> = apps
            .flat_map(|network| {
                let own = network.subnet;
                [own, network.service_subnet]
                    .map(|reachable| format!("ip saddr {own} ip daddr {reachable} accept"))
            })
            .collect();
        rules.push("goto refuse".to_owned());
        rules
    }

    /// Names: from a component's stable address to its ready instances, in turn. Who finds none ready, or nobody behind an
    /// address of the pool, is refused at once.
    fn services(&self) -> Vec<Chain> {
        let NetworkConfig {
            prefix,
            pool,
            service_pool,
            ..
        } = self.config;
        let mut chains = Vec::new();
        let mut dispatch = Vec::new();
        for network in self.allocations.apps.values() {
            let rules = service_rules(network);
            if !rules.is_empty() {
                let name = format!("services_{}", network.tag());
                let subnet = network.service_subnet;
                dispatch.push(format!("iifname \"{prefix}-*\" ip daddr {subnet} goto {name}"));
                chains.push(Chain::plain(name, rules));
            }
        }
        chains.push(Chain::hooked(
            "services",
            "type nat hook prerouting priority dstnat",
            dispatch,
        ));
        let gone = "fib daddr type != local fib daddr oif missing";
        chains.push(Chain::hooked(
            "unserved",
            "type filter hook prerouting priority dstnat + 1",
            vec![
                format!("iifname \"{prefix}-*\" ip daddr {service_pool} goto refuse"),
                format!("iifname \"{prefix}-*\" ip daddr {pool} {gone} goto refuse"),
            ],
        ));
        chains
    }

    /// What was already checked in `guard` is checked again where it would arrive, now also for packets that come from elsewhere:
    /// the host's neighbours may not use it as a road into an app.
    fn forward(&self) -> Vec<Chain> {
        let prefix = &self.config.prefix;
        vec![
            Chain::hooked(
                "between",
                "type filter hook forward priority filter",
                vec![format!("oifname \"{prefix}-*\" jump to_instance")],
            ),
            Chain::plain(
                "to_instance",
                vec![
                    "ct state established,related accept".to_owned(),
                    format!("iifname \"{prefix}-*\" goto same_app"),
                    "drop".to_owned(),
                ],
            ),
            // An instance that is led to itself would be told of a shorter way.
            Chain::hooked(
                "answers",
                "type filter hook output priority filter",
                vec![format!("oifname \"{prefix}-*\" icmp type redirect drop")],
            ),
        ]
    }

    /// Outward, an instance is seen as the host. And one that was chosen to answer its own call is shown the gateway as the
    /// caller: a packet that comes from itself it would drop.
    fn source_nat(&self) -> Vec<Chain> {
        let NetworkConfig { prefix, pool, .. } = self.config;
        let gateway = gateway(self.config);
        let mut chains = Vec::new();
        let mut outward = Vec::new();
        for network in self.allocations.apps.values() {
            let addresses: BTreeSet<Ipv4Addr> = network
                .named()
                .flat_map(|service| service.addresses.iter().copied())
                .collect();
            if !addresses.is_empty() {
                let (name, own) = (format!("own_calls_{}", network.tag()), network.subnet);
                let rule = |address| format!("ip saddr {address} ip daddr {address} snat ip to {gateway}");
                chains.push(Chain::plain(&name, addresses.iter().map(rule).collect()));
                outward.push(format!("ip saddr {own} ip daddr {own} goto {name}"));
            }
        }
        outward.push(format!("ip saddr {pool} oifname != \"{prefix}-*\" masquerade"));
        chains.push(Chain::hooked(
            "outward",
            "type nat hook postrouting priority srcnat",
            outward,
        ));
        chains
    }
}

fn service_rules(network: &AppNetwork) -> Vec<String> {
    let mut rules = Vec::new();
    for service in network.named() {
        let Some(stable) = network.service_address(&service.component) else {
            continue;
        };
        for (asked, port) in &service.ports {
            let asked = format!("ip daddr {stable} tcp dport {asked}");
            rules.extend(
                in_turn(service).map(|(turn, address)| format!("{asked} {turn}dnat ip to {address}:{port}")),
            );
        }
    }
    rules
}

/// Each ready address with the condition that gives it its share, when the rules are asked one after the other: every third, of
/// the rest every second, then all.
fn in_turn(service: &InternalService) -> impl Iterator<Item = (String, Ipv4Addr)> {
    let count = service.addresses.len();
    service
        .addresses
        .iter()
        .enumerate()
        .map(move |(place, address)| match count - place {
            1 => (String::new(), *address),
            left => (format!("numgen inc mod {left} == 0 "), *address),
        })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use mainstay_spec::ids::AppId;
    use uuid::Uuid;

    use super::*;
    use crate::api::NameGroup;

    fn golden(name: &str, text: &str) {
        insta::with_settings!({ snapshot_path => "../../../tests/golden", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, text);
        });
    }

    fn service(component: &str, ports: &[(u16, u16)], places: &[u8]) -> InternalService {
        InternalService {
            component: component.to_owned(),
            ports: ports.to_vec(),
            addresses: places
                .iter()
                .map(|place| Ipv4Addr::new(10, 210, 0, 128 + *place))
                .collect(),
        }
    }

    #[test]
    fn an_empty_host_has_a_table_that_lets_nobody_in() {
        let config = NetworkConfig::new(PathBuf::new());
        let inputs = RuleInputs {
            config: &config,
            allocations: &Allocations::default(),
            resolvers: &BTreeSet::new(),
        };
        golden(
            "network_rules_empty",
            &inputs.render().transaction(&BTreeSet::new()),
        );
    }

    #[test]
    fn two_apps_with_names_and_exceptions() {
        let config = NetworkConfig {
            open_host_ports: vec![80, 443],
            ..NetworkConfig::new(PathBuf::new())
        };
        let mut allocations = Allocations::default();
        let [shop, blog] = [1, 2].map(|number| AppId::from_uuid(Uuid::from_u128(number)));
        allocations.ensure_app(shop, &config).unwrap();
        allocations.ensure_app(blog, &config).unwrap();
        let services = [
            service("web", &[(80, 8080), (9000, 9000)], &[2, 3, 4]),
            service("api", &[(80, 3000)], &[5]),
            service("cache", &[(6379, 6379)], &[]),
        ];
        allocations
            .set_services(shop, NameGroup::Services, &services)
            .unwrap();
        let resolvers = BTreeSet::from([Ipv4Addr::new(192, 168, 1, 1)]);
        let inputs = RuleInputs {
            config: &config,
            allocations: &allocations,
            resolvers: &resolvers,
        };
        golden(
            "network_rules_two_apps",
            &inputs.render().transaction(&BTreeSet::new()),
        );
        assert_eq!(
            inputs.render(),
            inputs.render(),
            "the same inputs give the same text"
        );
    }
}
