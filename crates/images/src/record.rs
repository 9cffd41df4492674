//! The image record: what runs, and from which layers.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Names an image of the store: short, usable as a file name. Not a content digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(pub String);

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names a layer directory of the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerId(pub String);

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An image as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    pub id: ImageId,
    /// Bottom first.
    pub layers: Vec<LayerId>,
    pub config: ImageConfig,
    pub created_at: Timestamp,
    /// Where it came from, for people: "build of web at 3f2a…", "docker.io/library/redis@sha256:…".
    pub origin: String,
    /// The registry's digest, for pulled images.
    pub digest: Option<String>,
}

/// What the image says about running it (the OCI image config, as far as it is used).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    pub env: BTreeMap<String, String>,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub working_dir: Option<String>,
    /// `user`, `uid`, `user:group` or `uid:gid`; `None` is root.
    pub user: Option<String>,
    /// TCP ports of EXPOSE.
    pub exposed_ports: Vec<u16>,
    pub stop_signal: Option<String>,
    /// Process types of a buildpack image ("web" → command line for a shell), from Procfile or the buildpack.
    pub processes: BTreeMap<String, String>,
    /// True when the run command goes through a shell (buildpack images run it by `bash -c`).
    pub run_by_shell: bool,
}
