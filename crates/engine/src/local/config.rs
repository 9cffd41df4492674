//! Where and as whom the local engine works.

use std::{ops::Range, path::PathBuf};

use mainstay_images::ImageStore;
use mainstay_shim::log::LogLimits;
use mainstay_spec::ids::{AppId, InstanceId};
use serde::Deserialize;

use super::network::NetworkConfig;

/// Host ids of one app: as many as an instance sees.
pub const IDS_PER_APP: u32 = 65536;

/// How the files of shared layers get the owners that an instance sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerOwner {
    /// Mapped where the kernel and the file systems in question can, copied elsewhere.
    #[default]
    Auto,
    /// Mapped by the kernel; instances cannot start where it does not.
    Idmap,
    /// Each layer is copied once per app.
    Copy,
}

/// One installation. Two with different prefixes and directories do not touch each other.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// Begins the name of every cgroup and container: letters, digits and hyphens.
    pub prefix: String,
    /// Logs, records, writable layers; on a disk.
    pub data_dir: PathBuf,
    /// Sockets, bundles, mount points; may be a tmpfs. Short, for a socket's path is limited to 107 bytes.
    pub run_dir: PathBuf,
    /// Holds `mainstay-shim` and `mainstay-init`.
    pub bin_dir: PathBuf,
    /// The OCI runtime: a path, or a name that is looked up in PATH.
    pub runtime: PathBuf,
    pub cgroup_root: PathBuf,
    /// Host user and group ids for the instances, cut into blocks of [`IDS_PER_APP`]. Nothing else on the host may use them.
    pub id_range: Range<u32>,
    pub log: LogLimits,
    pub layer_owner: LayerOwner,
    /// Keeps copies of layers for all instances of an app, where layers have to be copied; without it, each instance has its own.
    pub images: Option<ImageStore>,
    /// `None`: only instances without a network can be started.
    pub network: Option<NetworkConfig>,
}

impl LocalConfig {
    /// The defaults of an installation, with everything below two directories.
    pub fn new(prefix: &str, data_dir: PathBuf, run_dir: PathBuf, bin_dir: PathBuf) -> Self {
        Self {
            prefix: prefix.to_owned(),
            run_dir,
            bin_dir,
            runtime: PathBuf::from("runc"),
            cgroup_root: PathBuf::from("/sys/fs/cgroup"),
            // Above what Debian gives to users for their own containers (subuid(5) starts at 100000), below systemd's dynamic ranges.
            id_range: 1_000_000_000..1_500_000_000,
            network: Some(NetworkConfig::new(data_dir.join("network.json"))),
            log: LogLimits::default(),
            layer_owner: LayerOwner::Auto,
            images: None,
            data_dir,
        }
    }

    pub(super) fn shim(&self) -> PathBuf {
        self.bin_dir.join("mainstay-shim")
    }

    pub(super) fn init(&self) -> PathBuf {
        self.bin_dir.join("mainstay-init")
    }

    pub(super) fn container_id(&self, id: InstanceId) -> String {
        format!("{}-{}", self.prefix, id.short())
    }

    pub(super) fn cgroup_path(&self, app: AppId, id: InstanceId) -> String {
        format!("/{}/{}/{}", self.prefix, app.short(), id.short())
    }

    pub(super) fn places(&self, id: InstanceId) -> Places {
        Places {
            data: self.instances_dir().join(id.to_string()),
            run: self.run_dir.join(id.short()),
        }
    }

    pub(super) fn disk_templates(&self) -> PathBuf {
        self.data_dir.join("disk-templates")
    }

    pub(super) fn instances_dir(&self) -> PathBuf {
        self.data_dir.join("instances")
    }
}

/// The directories of one instance.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) data: PathBuf,
    pub(super) run: PathBuf,
}

impl Places {
    /// Whose instance it is. Its presence says that the instance was not removed.
    pub(super) fn identity(&self) -> PathBuf {
        self.data.join("instance.json")
    }

    pub(super) fn exit_record(&self) -> PathBuf {
        self.data.join(mainstay_shim::files::EXIT_RECORD_FILE)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.data.join(mainstay_shim::files::LOG_DIRECTORY)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.run.join(mainstay_shim::protocol::SOCKET_FILE)
    }
}
