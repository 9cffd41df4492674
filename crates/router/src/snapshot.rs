//! The routes snapshot: one JSON file, replaced by rename, watched by the router. The router never sees a half-written state and keeps
//! serving from the last good one.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Everything the router knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Grows with each snapshot; acknowledged on the control socket once in force.
    pub version: u64,
    /// Lower-case host name without port → its routes. `*.example.com` serves every name below `example.com` that has no entry of its own.
    pub hosts: BTreeMap<String, Host>,
    /// Routes that are not live yet: a request whose `mainstay-candidate` header carries the key is served from here instead of
    /// from `hosts`; the header never reaches an app. This is how a deployment is probed through the router before the switch.
    pub candidates: BTreeMap<String, Host>,
}

/// One host name's routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub app: String,
    /// The longest matching path prefix wins; prefixes match whole segments.
    pub routes: Vec<Route>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Starts with `/`.
    pub path_prefix: String,
    /// Only the path itself matches, nothing below it; wins against a prefix of the same length.
    #[serde(default)]
    pub exact: bool,
    pub component: String,
    /// False: the prefix is cut off before the request is passed on (a path never becomes empty).
    pub preserve_path_prefix: bool,
    /// Replaces the matched prefix, where set.
    pub rewrite: Option<String>,
    pub target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "target", rename_all = "snake_case")]
pub enum Target {
    Service {
        /// Ready instances; an empty list answers with `unavailable`.
        endpoints: Vec<Endpoint>,
        protocol: Protocol,
        unavailable: Unavailable,
    },
    Static {
        root: PathBuf,
        /// Default `index.html`.
        index_document: String,
        /// Answers a missing path with 404.
        error_document: Option<String>,
        /// Answers a missing path with 200.
        catchall_document: Option<String>,
    },
    /// Sends the visitor elsewhere. What is `None` stays as in the request; a `path` replaces the path and the query.
    Redirect {
        scheme: Option<String>,
        authority: Option<String>,
        port: Option<u16>,
        path: Option<String>,
        /// 300–303, 307 or 308.
        status: u16,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The instance's id; drains are asked for by it.
    pub id: String,
    pub address: SocketAddr,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    #[default]
    Http1,
    /// h2c with prior knowledge.
    Http2,
}

/// What visitors are told when nothing can serve them: the status, and the reason's code for the page and the `mainstay-reason` header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    pub status: u16,
    /// A code of the error reference, where one is known.
    pub code: Option<String>,
    pub sentence: String,
}

/// Why a snapshot cannot be in force. The place is a path into the snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("cannot read the snapshot {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the snapshot {} is no valid JSON of a snapshot: {source}", path.display())]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{place}: `{value}` {rule}")]
    Invalid {
        place: String,
        value: String,
        rule: &'static str,
    },
}

impl Snapshot {
    /// Finds what no router could serve.
    pub fn check(&self) -> Result<(), SnapshotError> {
        for (name, host) in &self.hosts {
            let plain = name.strip_prefix("*.").unwrap_or(name);
            let lower = !plain.is_empty() && !plain.bytes().any(|b| b.is_ascii_uppercase() || b == b'*');
            let without_port = !plain.contains('/') && (!plain.contains(':') || plain.starts_with('['));
            if !lower || !without_port {
                return Err(invalid("hosts", name, "is no lower-case host name without port"));
            }
            host.check(&format!("hosts.{name}"))?;
        }
        for (key, host) in &self.candidates {
            host.check(&format!("candidates.{key}"))?;
        }
        Ok(())
    }

    /// Reads and checks the snapshot at `path`.
    pub fn read(path: &std::path::Path) -> Result<Self, SnapshotError> {
        let text = std::fs::read(path).map_err(|source| SnapshotError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Parses and checks `text`, which was read from `path`.
    pub fn parse(path: &std::path::Path, text: &[u8]) -> Result<Self, SnapshotError> {
        let snapshot: Self = serde_json::from_slice(text).map_err(|source| SnapshotError::Parse {
            path: path.to_owned(),
            source,
        })?;
        snapshot.check()?;
        Ok(snapshot)
    }

    /// Writes the snapshot beside `path`, syncs it and renames it into place.
    pub fn write(&self, path: &std::path::Path) -> std::io::Result<()> {
        use std::io::Write;
        let draft = path.with_extension("draft");
        let mut file = std::fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    }
}

impl Host {
    fn check(&self, place: &str) -> Result<(), SnapshotError> {
        self.routes
            .iter()
            .enumerate()
            .try_for_each(|(at, route)| route.check(&format!("{place}.routes[{at}]")))
    }
}

impl Route {
    fn check(&self, place: &str) -> Result<(), SnapshotError> {
        if !self.path_prefix.starts_with('/') {
            let place = format!("{place}.path_prefix");
            return Err(invalid(&place, &self.path_prefix, "does not start with `/`"));
        }
        if let Some(rewrite) = self.rewrite.as_ref().filter(|rewrite| !rewrite.starts_with('/')) {
            return Err(invalid(
                &format!("{place}.rewrite"),
                rewrite,
                "does not start with `/`",
            ));
        }
        match &self.target {
            Target::Redirect { status, .. } if !matches!(status, 300..=303 | 307 | 308) => Err(invalid(
                &format!("{place}.target.status"),
                status,
                "is no status of a redirect",
            )),
            Target::Service { unavailable, .. } if !(400..=599).contains(&unavailable.status) => {
                let place = format!("{place}.target.unavailable.status");
                Err(invalid(&place, &unavailable.status, "is no status of an error"))
            }
            _ => Ok(()),
        }
    }
}

fn invalid(place: &str, value: &(impl ToString + ?Sized), rule: &'static str) -> SnapshotError {
    SnapshotError::Invalid {
        place: place.to_owned(),
        value: value.to_string(),
        rule,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot_with(name: &str, path_prefix: &str, target: Target) -> Snapshot {
        let route = Route {
            path_prefix: path_prefix.into(),
            exact: false,
            component: "web".into(),
            preserve_path_prefix: true,
            rewrite: None,
            target,
        };
        let host = Host {
            app: "shop".into(),
            routes: vec![route],
        };
        Snapshot {
            version: 1,
            hosts: [(name.to_owned(), host)].into(),
            candidates: BTreeMap::new(),
        }
    }

    fn redirect(status: u16) -> Target {
        Target::Redirect {
            scheme: None,
            authority: None,
            port: None,
            path: None,
            status,
        }
    }

    #[test]
    fn errors_name_place_value_and_rule() {
        let cases = [
            (
                snapshot_with("Shop.localhost", "/", redirect(302)),
                "hosts: `Shop.localhost` is no lower-case host name without port",
            ),
            (
                snapshot_with("a.b:80", "/", redirect(302)),
                "hosts: `a.b:80` is no lower-case host name without port",
            ),
            (
                snapshot_with("a", "x", redirect(302)),
                "hosts.a.routes[0].path_prefix: `x` does not start with `/`",
            ),
            (
                snapshot_with("a", "/", redirect(200)),
                "hosts.a.routes[0].target.status: `200` is no status of a redirect",
            ),
        ];
        for (snapshot, expected) in cases {
            assert_eq!(snapshot.check().unwrap_err().to_string(), expected);
        }
        snapshot_with("*.shop.localhost", "/", redirect(308))
            .check()
            .unwrap();
    }

    #[test]
    fn a_written_snapshot_reads_back_the_same() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("routes.json");
        let snapshot = snapshot_with("a", "/", redirect(301));
        snapshot.write(&path).unwrap();
        assert_eq!(Snapshot::read(&path).unwrap(), snapshot);
    }
}
