//! `/etc/hosts` and `/etc/resolv.conf` of an instance.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use super::allocations::AppNetwork;

/// The hosts file: loopback, the instance itself, then every component of the app.
pub(super) fn hosts(network: &AppNetwork, hostname: &str, address: Ipv4Addr) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    let _ = writeln!(text, "{address} {hostname}");
    for service in network.named() {
        // The first line of a name wins: an instance must find itself under its own name.
        let component = service.component.as_str();
        if component == hostname {
            continue;
        }
        if let Some(stable) = network.service_address(component) {
            let _ = writeln!(text, "{stable} {component}");
        }
    }
    text
}

/// What a container should ask for names outside the app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resolvers {
    pub(super) nameservers: Vec<Ipv4Addr>,
    search: Vec<String>,
    options: Vec<String>,
}

impl Resolvers {
    /// The host's, without those that only the host can reach (loopback) and those that an IPv4 network cannot (IPv6). The first
    /// file also says which domains to search.
    pub(super) fn from_files(paths: &[PathBuf], fallback: &[Ipv4Addr]) -> Self {
        let mut files = paths.iter().map(|path| Self::parse(&read_if_there(path)));
        let mut chosen = files.next().unwrap_or_default();
        if chosen.nameservers.is_empty() {
            let upstream = files
                .map(|file| file.nameservers)
                .find(|nameservers| !nameservers.is_empty());
            chosen.nameservers = upstream.unwrap_or_else(|| fallback.to_vec());
        }
        chosen
    }

    fn parse(text: &str) -> Self {
        let mut parsed = Self {
            nameservers: Vec::new(),
            search: Vec::new(),
            options: Vec::new(),
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => parsed
                    .nameservers
                    .extend(words.next().and_then(container_nameserver)),
                Some("search" | "domain") => parsed.search = words.map(str::to_owned).collect(),
                Some("options") => parsed.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        parsed
    }

    /// The file's text.
    pub(super) fn resolv_conf(&self) -> String {
        let mut text = String::new();
        for nameserver in &self.nameservers {
            let _ = writeln!(text, "nameserver {nameserver}");
        }
        for (keyword, words) in [("search", &self.search), ("options", &self.options)] {
            if !words.is_empty() {
                let _ = writeln!(text, "{keyword} {}", words.join(" "));
            }
        }
        text
    }
}

fn read_if_there(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| {
        tracing::debug!(path = %path.display(), %error, "no nameservers from this file");
        String::new()
    })
}

fn container_nameserver(word: &str) -> Option<Ipv4Addr> {
    match word.parse() {
        Ok(IpAddr::V4(address)) if !address.is_loopback() && !address.is_unspecified() => Some(address),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FALLBACK: [Ipv4Addr; 1] = [Ipv4Addr::new(9, 9, 9, 9)];

    /// The container's file when the host's file and systemd-resolved's file have these texts.
    fn container_file(host: &str, upstream: Option<&str>) -> String {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["host", "upstream"].map(|name| directory.path().join(name));
        std::fs::write(&paths[0], host).unwrap();
        if let Some(text) = upstream {
            std::fs::write(&paths[1], text).unwrap();
        }
        Resolvers::from_files(&paths, &FALLBACK).resolv_conf()
    }

    #[test]
    fn the_hosts_nameservers_are_kept_with_search_and_options() {
        let host = "# made by hand\nnameserver 10.1.1.1\nnameserver 10.1.1.2\nsearch a.example b.example\noptions ndots:2\n";
        assert_eq!(
            container_file(host, None),
            "nameserver 10.1.1.1\nnameserver 10.1.1.2\nsearch a.example b.example\noptions ndots:2\n"
        );
    }

    #[test]
    fn a_loopback_stub_gives_way_to_its_upstream() {
        let host = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n";
        assert_eq!(
            container_file(host, Some("nameserver 192.168.1.1\nnameserver fe80::1\n")),
            "nameserver 192.168.1.1\nsearch lan\noptions edns0 trust-ad\n"
        );
    }

    #[test]
    fn without_any_reachable_nameserver_the_configured_one_is_used() {
        assert_eq!(
            container_file("nameserver 127.0.0.1\nnameserver ::1\n", None),
            "nameserver 9.9.9.9\n"
        );
        assert_eq!(container_file("", Some("")), "nameserver 9.9.9.9\n");
    }

    #[test]
    fn hosts_lead_to_components_but_an_instance_finds_itself_first() {
        let service = |component: &str| crate::api::InternalService {
            component: component.to_owned(),
            ports: Vec::new(),
            addresses: Vec::new(),
        };
        let network = AppNetwork {
            names: [("web".to_owned(), 2), ("api".to_owned(), 5)].into(),
            services: vec![service("web"), service("api")],
            ..AppNetwork::new("10.210.3.0/24".parse().unwrap(), "10.211.3.0/24".parse().unwrap())
        };
        let head = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n10.210.3.9 ";
        let address = Ipv4Addr::new(10, 210, 3, 9);
        assert_eq!(
            hosts(&network, "web-0", address),
            format!("{head}web-0\n10.211.3.2 web\n10.211.3.5 api\n")
        );
        assert_eq!(
            hosts(&network, "web", address),
            format!("{head}web\n10.211.3.5 api\n")
        );
    }
}
