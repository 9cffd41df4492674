//! The route table: built from a snapshot off the serving threads, immutable, sharing every host that did not change with the
//! table before it.

use std::{collections::HashMap, sync::Arc};

pub mod endpoint;
pub mod host;
pub mod path;
pub mod traffic;

use endpoint::{Endpoint, Endpoints};
use host::HostRoutes;

use crate::snapshot::{self, Snapshot};

type Hosts = HashMap<String, Arc<HostRoutes>>;

#[derive(Debug, Default)]
pub struct Table {
    /// Counts the tables of this process; unlike the version it never goes back.
    pub generation: u64,
    pub version: u64,
    hosts: Hosts,
    /// By the name behind `*.`.
    wildcards: Hosts,
    candidates: Hosts,
}

impl Table {
    /// The table of `snapshot` that follows `self`.
    #[must_use]
    pub fn next(&self, snapshot: Snapshot, endpoints: &Endpoints) -> Self {
        let mut next = Self {
            generation: self.generation + 1,
            version: snapshot.version,
            ..Self::default()
        };
        for (name, host) in snapshot.hosts {
            match name.strip_prefix("*.") {
                Some(domain) => insert(
                    &mut next.wildcards,
                    &self.wildcards,
                    domain.to_owned(),
                    host,
                    endpoints,
                ),
                None => insert(&mut next.hosts, &self.hosts, name, host, endpoints),
            }
        }
        for (key, host) in snapshot.candidates {
            insert(&mut next.candidates, &self.candidates, key, host, endpoints);
        }
        next
    }

    /// The routes of a lower-case host name without port; the closest wildcard serves a name without an entry.
    pub fn host(&self, name: &str) -> Option<&HostRoutes> {
        if let Some(host) = self.hosts.get(name) {
            return Some(host);
        }
        if self.wildcards.is_empty() {
            return None;
        }
        let domains = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
        domains
            .into_iter()
            .find_map(|domain| self.wildcards.get(domain))
            .map(Arc::as_ref)
    }

    pub fn candidate(&self, key: &str) -> Option<&HostRoutes> {
        self.candidates.get(key).map(Arc::as_ref)
    }

    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        let all = [&self.hosts, &self.wildcards, &self.candidates];
        all.into_iter()
            .flat_map(HashMap::values)
            .flat_map(|host| host.endpoints())
    }
}

fn insert(into: &mut Hosts, before: &Hosts, name: String, source: snapshot::Host, endpoints: &Endpoints) {
    let unchanged = before.get(&name).filter(|host| host.source == source);
    let routes = unchanged.map_or_else(|| Arc::new(HostRoutes::new(source, endpoints)), Arc::clone);
    into.insert(name, routes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Host, Protocol, Route, Target, Unavailable};

    fn host(app: &str) -> Host {
        let target = Target::Service {
            endpoints: vec![snapshot::Endpoint {
                id: format!("{app}-1"),
                address: ([127, 0, 0, 1], 80).into(),
            }],
            protocol: Protocol::Http1,
            unavailable: Unavailable {
                status: 503,
                code: None,
                sentence: String::new(),
            },
        };
        let route = Route {
            path_prefix: "/".into(),
            exact: false,
            component: "web".into(),
            preserve_path_prefix: true,
            rewrite: None,
            target,
        };
        Host {
            app: app.into(),
            routes: vec![route],
        }
    }

    fn snapshot(version: u64, hosts: &[(&str, &str)]) -> Snapshot {
        let hosts = hosts
            .iter()
            .map(|(name, app)| ((*name).to_owned(), host(app)))
            .collect();
        Snapshot {
            version,
            hosts,
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_host_that_did_not_change_is_shared() {
        let endpoints = Endpoints::default();
        let first = Table::default().next(snapshot(1, &[("a", "a"), ("b", "b")]), &endpoints);
        let second = first.next(snapshot(2, &[("a", "a"), ("b", "other")]), &endpoints);
        assert!(Arc::ptr_eq(&first.hosts["a"], &second.hosts["a"]));
        assert!(!Arc::ptr_eq(&first.hosts["b"], &second.hosts["b"]));
        assert_eq!((second.generation, second.version), (2, 2));
    }

    #[test]
    fn the_closest_wildcard_serves_names_without_an_entry() {
        let hosts = [
            ("*.x.test", "far"),
            ("*.near.x.test", "near"),
            ("own.x.test", "own"),
        ];
        let table = Table::default().next(snapshot(1, &hosts), &Endpoints::default());
        let app = |name: &str| table.host(name).map(|host| host.source.app.as_str());
        assert_eq!(app("own.x.test"), Some("own"));
        assert_eq!(app("a.x.test"), Some("far"));
        assert_eq!(app("a.near.x.test"), Some("near"));
        assert_eq!(app("x.test"), None);
        assert_eq!(app("nope.test"), None);
    }
}
