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

impl Snapshot {
    /// Writes the snapshot beside `path`, syncs it and renames it into place.
    pub fn write(&self, path: &std::path::Path) -> std::io::Result<()> {
        use std::io::Write;
        let draft = path.with_extension("draft");
        let mut file = std::fs::File::create(&draft)?;
        serde_json::to_writer(&mut file, self)?;
        file.flush()?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    }
}
