//! The whole packet policy as one nftables table. Pure: the same allocations always give the same text.
//!
//! The table is replaced as a whole in one transaction, so there is no half-applied state, and nothing to repair piece by piece.
//! Established connections are not touched by that: where they lead is kept by connection tracking, not by the rules.
//!
//! ```text
//! from an instance ─▶ guard (mangle) ─▶ services (dstnat) ─▶ unserved ─▶ route ─▶ between (forward) ─▶ outward (srcnat)
//!                     own address?      component name →     nobody        other app or LAN → instance: no
//!                     host, metadata,   a ready instance     ready: reset
//!                     other app: no
//! ```
//!
//! Refusals answer (reset or "prohibited") instead of dropping: an app that tries fails in microseconds, not after minutes.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    hash::{DefaultHasher, Hasher},
    net::Ipv4Addr,
};

use super::{
    allocations::{Allocations, AppNetwork, gateway},
    config::NetworkConfig,
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

/// The transaction for `nft -f -`, and a fingerprint that [`super::nft`] finds again in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RuleSet {
    pub(super) text: String,
    pub(super) fingerprint: String,
}

impl RuleInputs<'_> {
    pub(super) fn render(&self) -> RuleSet {
        let body = self.body();
        let mut hasher = DefaultHasher::new();
        hasher.write(body.as_bytes());
        let fingerprint = format!("rules {:016x}", hasher.finish());
        let table = &self.config.table;
        // The first line makes the second succeed when there is no table yet.
        let text = format!(
            "table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n  comment \"{fingerprint}\"\n{body}}}\n"
        );
        RuleSet { text, fingerprint }
    }

    fn body(&self) -> String {
        let mut text = self.neighbours();
        text += &self.guard();
        text += &self.services();
        text += &self.forward();
        text += &self.source_nat();
        text
    }

    /// Who may speak to whom: every app to its own instances and names.
    fn neighbours(&self) -> String {
        let pairs = self.allocations.apps.values().flat_map(|network| {
            let own = network.subnet(self.config);
            [
                format!("{own} . {own}"),
                format!("{own} . {}", network.service_subnet(self.config)),
            ]
        });
        named_set("neighbours", "ipv4_addr . ipv4_addr; flags interval", pairs)
    }

    fn guard(&self) -> String {
        let NetworkConfig {
            prefix,
            pool,
            service_pool,
            open_host_ports,
            ..
        } = self.config;
        let mut allowed = String::new();
        if !self.resolvers.is_empty() {
            let list = join(self.resolvers);
            let _ = writeln!(
                allowed,
                "    ip daddr {{ {list} }} meta l4proto {{ tcp, udp }} th dport 53 accept"
            );
        }
        if !open_host_ports.is_empty() {
            let list = join(open_host_ports);
            let _ = writeln!(allowed, "    fib daddr type local tcp dport {{ {list} }} accept");
        }
        format!(
            "  chain guard {{
    type filter hook prerouting priority mangle; policy accept;
    iifname \"{prefix}-*\" jump from_instance
  }}
  chain from_instance {{
    meta nfproto ipv6 drop
    fib saddr . iif oif missing drop
    ct state invalid drop
    ct state established,related accept
{allowed}    ip daddr 169.254.0.0/16 goto refuse
    fib daddr type != unicast goto refuse
    ip saddr . ip daddr @neighbours accept
    ip daddr {{ {pool}, {service_pool} }} goto refuse
  }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject with icmpx type admin-prohibited
  }}
"
        )
    }

    /// Names: from a component's stable address to its ready instances, in turn. Who finds none ready, or nobody behind an
    /// address of the pool, is refused at once.
    fn services(&self) -> String {
        let NetworkConfig {
            prefix,
            pool,
            service_pool,
            ..
        } = self.config;
        let mut chains = String::new();
        let mut jumps = Vec::new();
        for network in self.allocations.apps.values() {
            let rules = self.service_rules(network);
            if !rules.is_empty() {
                let chain = format!("app_{}", network.place);
                let _ = write!(chains, "  chain {chain} {{\n{rules}  }}\n");
                jumps.push(format!("{} : goto {chain}", network.service_subnet(self.config)));
            }
        }
        let dispatch = match jumps.is_empty() {
            true => String::new(),
            false => {
                format!(
                    "    iifname \"{prefix}-*\" ip daddr vmap {{ {} }}\n",
                    jumps.join(",\n      ")
                )
            }
        };
        format!(
            "{chains}  chain services {{
    type nat hook prerouting priority dstnat; policy accept;
{dispatch}  }}
  chain unserved {{
    type filter hook prerouting priority dstnat + 1; policy accept;
    iifname \"{prefix}-*\" ip daddr {service_pool} goto refuse
    iifname \"{prefix}-*\" ip daddr {pool} fib daddr type != local fib daddr oif missing goto refuse
  }}
"
        )
    }

    fn service_rules(&self, network: &AppNetwork) -> String {
        let mut rules = String::new();
        for service in network
            .services
            .iter()
            .filter(|service| !service.addresses.is_empty())
        {
            let Some(address) = network.service_address(&service.component, self.config) else {
                continue;
            };
            for (asked, port) in &service.ports {
                let leads_to = destination(service, *port);
                let _ = writeln!(
                    rules,
                    "    ip daddr {address} tcp dport {asked} dnat ip to {leads_to}"
                );
            }
        }
        rules
    }

    /// What was already checked in `guard` is checked again where it would arrive, now also for packets that come from elsewhere:
    /// the host's neighbours may not use it as a road into an app.
    fn forward(&self) -> String {
        let prefix = &self.config.prefix;
        format!(
            "  chain between {{
    type filter hook forward priority filter; policy accept;
    oifname \"{prefix}-*\" jump to_instance
  }}
  chain to_instance {{
    ct state established,related accept
    iifname \"{prefix}-*\" ip saddr . ip daddr @neighbours accept
    drop
  }}
  chain answers {{
    type filter hook output priority filter; policy accept;
    oifname \"{prefix}-*\" icmp type redirect drop
  }}
"
        )
    }

    fn source_nat(&self) -> String {
        let NetworkConfig { prefix, pool, .. } = self.config;
        let gateway = gateway(self.config);
        let addresses: BTreeSet<Ipv4Addr> = self
            .allocations
            .apps
            .values()
            .flat_map(|network| &network.services)
            .flat_map(|service| service.addresses.iter().copied())
            .collect();
        // An instance that was chosen to answer its own call would see a packet from itself, and drop it.
        let own_call = named_set(
            "own_call",
            "ipv4_addr . ipv4_addr",
            addresses.iter().map(|address| format!("{address} . {address}")),
        );
        format!(
            "{own_call}  chain outward {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr . ip daddr @own_call snat ip to {gateway}
    ip saddr {pool} oifname != \"{prefix}-*\" masquerade
  }}
"
        )
    }
}

fn destination(service: &InternalService, port: u16) -> String {
    match service.addresses.as_slice() {
        [only] => format!("{only}:{port}"),
        several => {
            let places = several
                .iter()
                .enumerate()
                .map(|(place, address)| format!("{place} : {address} . {port}"));
            let places = places.collect::<Vec<_>>().join(", ");
            format!("numgen inc mod {} map {{ {places} }}", several.len())
        }
    }
}

fn named_set(name: &str, kind: &str, elements: impl Iterator<Item = String>) -> String {
    let elements = elements.collect::<Vec<_>>().join(",\n      ");
    // nft refuses an empty list of elements.
    match elements.is_empty() {
        true => format!("  set {name} {{\n    type {kind};\n  }}\n"),
        false => {
            format!("  set {name} {{\n    type {kind};\n    elements = {{\n      {elements}\n    }}\n  }}\n")
        }
    }
}

fn join<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items
        .into_iter()
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
