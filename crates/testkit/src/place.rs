//! A part of the machine that one test has alone: networks, ports and a number, claimed by a lock that ends with the process.
//!
//! Tests run side by side, of several checkouts too. What the kernel hands out (a port, a process id) is free only at the moment when it is
//! asked; what a lock guards stays free.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Command,
};

use ipnet::Ipv4Net;
use rustix::fs::{FlockOperation, flock};

/// One file for each place. Not in a checkout: other checkouts claim places of the same machine.
const LOCKS: &str = "/run/lock/mainstay-tests";
const PLACES: u8 = 64;
/// Two /16 networks for each place, up to 10.191.0.0; an installation's own begin at 10.210.0.0.
const FIRST_NETWORK: u8 = 64;
/// Below the ports that the kernel gives to outgoing connections (`ip_local_port_range`, 32768 and up).
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 16;
/// One /24 for each place, of 198.18.0.0/15: that is for tests of networks (RFC 2544). A link takes four addresses of it.
const LINKS: u8 = 64;

/// A claimed place. Nobody else has it until the value is dropped or its process ended, however it ended.
#[derive(Debug)]
pub struct Place {
    number: u8,
    _lock: File,
}

impl Place {
    /// The first place that nobody holds and that nothing uses.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn claim() -> Self {
        let routed = routed_networks();
        Self::claim_in(Path::new(LOCKS), |place| place.is_unused(&routed))
    }

    fn claim_in(locks: &Path, is_unused: impl Fn(&Self) -> bool) -> Self {
        fs::create_dir_all(locks).expect("root can write to /run/lock");
        (0..PLACES)
            .filter_map(|number| Self::try_claim(locks, number))
            .find(is_unused)
            .unwrap_or_else(|| panic!("all {PLACES} places for tests are taken: see {}", locks.display()))
    }

    fn try_claim(locks: &Path, number: u8) -> Option<Self> {
        let lock = File::create(locks.join(format!("{number:02}"))).expect("root can write to /run/lock");
        // Held by the open file: neither a fork nor a second claim in this process has it.
        flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(Self { number, _lock: lock })
    }

    /// Two digits that no other claimed place has, for names of cgroups, devices and tables.
    pub fn tag(&self) -> String {
        format!("{:02}", self.number)
    }

    /// For instances' addresses.
    pub fn pool(&self) -> Ipv4Net {
        self.network(0)
    }

    /// For components' addresses.
    pub fn service_pool(&self) -> Ipv4Net {
        self.network(1)
    }

    /// The two ends of a link to what is on no platform: the host's, and that of whoever is at the other end. Links are told apart by number.
    ///
    /// # Panics
    ///
    /// If the place has fewer.
    pub fn link(&self, number: u8) -> (Ipv4Addr, Ipv4Addr) {
        assert!(number < LINKS, "a place has {LINKS} links");
        let first = Ipv4Addr::new(198, 18, self.number, number * 4 + 1);
        (first, Ipv4Addr::new(198, 18, self.number, number * 4 + 2))
    }

    fn links(&self) -> Ipv4Net {
        Ipv4Net::new(Ipv4Addr::new(198, 18, self.number, 0), 24).expect("24 is a prefix length")
    }

    fn network(&self, index: u8) -> Ipv4Net {
        let address = Ipv4Addr::new(10, FIRST_NETWORK + self.number * 2 + index, 0, 0);
        Ipv4Net::new(address, 16).expect("16 is a prefix length")
    }

    /// One of the place's ports on loopback.
    ///
    /// # Panics
    ///
    /// If the place has fewer.
    pub fn address(&self, index: u16) -> SocketAddr {
        assert!(index < PORTS, "a place has {PORTS} ports");
        let port = FIRST_PORT + u16::from(self.number) * PORTS + index;
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// A killed test may have left a platform behind, and a host may have such networks of its own.
    fn is_unused(&self, routed: &[Ipv4Net]) -> bool {
        let ports_are_free = (0..PORTS).all(|index| TcpListener::bind(self.address(index)).is_ok());
        let touches = |mine: &Ipv4Net, other: &Ipv4Net| mine.contains(other) || other.contains(mine);
        let networks = [self.pool(), self.service_pool(), self.links()];
        let networks_are_free = !networks
            .iter()
            .any(|mine| routed.iter().any(|other| touches(mine, other)));
        ports_are_free && networks_are_free
    }
}

/// Of all routing tables, this machine's own addresses among them. Empty where there is no `ip`: then no test makes networks.
fn routed_networks() -> Vec<Ipv4Net> {
    let listed = Command::new("ip")
        .args(["-4", "route", "show", "table", "all"])
        .output();
    let listed = listed.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&listed)
        .split_whitespace()
        .filter_map(|word| {
            word.parse::<Ipv4Net>()
                .or_else(|_| word.parse::<Ipv4Addr>().map(Ipv4Net::from))
                .ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locks() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_claimed_place_is_given_to_nobody_else_until_it_is_dropped() {
        let locks = locks();
        let claim = || Place::claim_in(locks.path(), |_| true);
        let (first, second) = (claim(), claim());
        assert_eq!((first.number, second.number), (0, 1));
        assert_ne!(first.pool(), second.pool());
        assert_ne!(first.address(0), second.address(0));
        assert_ne!(first.link(0), second.link(0));
        assert_ne!(first.link(0), first.link(1));
        drop(first);
        assert_eq!(claim().number, 0);
    }

    #[test]
    fn a_place_with_a_taken_port_or_network_is_passed_over() {
        // A real one: its ports are ours to bind.
        let place = Place::claim();
        for (network, expected) in [
            (place.service_pool(), false),
            ("10.0.0.0/8".parse().unwrap(), false),
            ("127.0.0.0/8".parse().unwrap(), true),
        ] {
            assert_eq!(place.is_unused(&[network]), expected, "{network}");
        }
        let _taken = TcpListener::bind(place.address(3)).unwrap();
        assert!(!place.is_unused(&[]));
    }

    #[test]
    fn networks_end_below_an_installations_own() {
        let last = Place {
            number: PLACES - 1,
            _lock: File::open("/dev/null").unwrap(),
        };
        assert_eq!(last.service_pool().to_string(), "10.191.0.0/16");
    }
}
