//! What the shim is told to run: `<run directory>/spec.json`, mode 0600, for it holds the environment.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{files::Durability, log::LogLimits};

/// The file name in the instance's run directory.
pub const SPEC_FILE: &str = "spec.json";

/// Everything the shim needs; it decides nothing that the engine could decide before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShimSpec {
    /// The instance's id, for messages.
    pub instance: String,
    /// The name for the OCI runtime: starts with the installation's prefix.
    pub container_id: String,
    /// Log, record and writable layer; on a disk.
    pub data_dir: PathBuf,
    /// Keeps an empty file system of each size that was asked for; shared by all shims.
    pub disk_templates: PathBuf,
    /// The OCI runtime's program: a path, or a name that is looked up in PATH.
    pub runtime: PathBuf,
    /// mainstay-init's file.
    pub init: PathBuf,
    /// Where the cgroup file systems are mounted: `/sys/fs/cgroup`.
    pub cgroup_root: PathBuf,
    /// `/<prefix>/<app>/<instance>`, under every controller.
    pub cgroup_path: String,
    /// The first host id of the app's block of 65536.
    pub id_base: u32,
    pub owners: FileOwners,
    /// Layer directories, bottom first.
    pub layers: Vec<PathBuf>,
    pub mounts: Vec<Mount>,
    /// Directories that are locked (shared, flock(2)) as long as the shim lives, so that nobody removes them.
    pub held: Vec<PathBuf>,
    pub process: ProcessSpec,
    pub hostname: String,
    pub limits: Limits,
    pub stop_signal: i32,
    /// The text of `/etc/resolv.conf`.
    pub resolv_conf: String,
    pub log: LogLimits,
    /// Of the exit record.
    pub record: Durability,
}

/// How files get the owners that the instance sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileOwners {
    /// By mount: on disk they are as seen from inside.
    Idmapped,
    /// On disk: layers and read-only mounts have been copied for the app's block of ids; what is writable is moved there and back.
    Chowned,
}

/// The main process.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    pub argv: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    pub working_dir: String,
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
}

/// The environment may hold secrets: only its names are shown.
impl std::fmt::Debug for ProcessSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self
            .env
            .iter()
            .map(|variable| {
                variable
                    .split_once('=')
                    .map_or(variable.as_str(), |(name, _)| name)
            })
            .collect();
        f.debug_struct("ProcessSpec")
            .field("argv", &self.argv)
            .field("env", &names)
            .field("working_dir", &self.working_dir)
            .field("uid", &self.uid)
            .field("gid", &self.gid)
            .finish_non_exhaustive()
    }
}

/// A directory or file of the host shown in the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub target: String,
    pub kind: MountKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mount", rename_all = "snake_case")]
pub enum MountKind {
    /// Bind, read-only. Its files keep their owners as seen from inside (idmapped).
    ReadOnly { source: PathBuf },
    /// Bind, writable. Its files keep their owners as seen from inside (idmapped).
    Writable { source: PathBuf },
    /// Overlay of `lower` (bottom first) with its own writable `upper` and `work` directories, which the caller owns and keeps.
    /// Files written have in `upper` the owners seen from inside, so that it can become a layer as it is.
    Overlay {
        lower: Vec<PathBuf>,
        upper: PathBuf,
        work: PathBuf,
    },
    /// The file system in an image file, writable, by one instance at a time. It must be the volume of that `id` ([`crate::volume`]).
    Volume { image: PathBuf, id: String },
}

/// Hard limits, all enforced by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory without swap.
    pub memory_bytes: u64,
    /// 1000 is one core.
    pub cpu_millis: u32,
    /// Relative share under contention; apps 1024, builds 512.
    pub cpu_shares: u32,
    pub pids: u32,
    /// Writable layer of the root file system; `None`: as much as the disk holds.
    pub disk_bytes: Option<u64>,
}
