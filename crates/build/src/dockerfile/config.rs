//! What the operator and the wiring decide once for all Dockerfile builds.

use std::{fmt, io, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use mainstay_images::settings::OperatorSettings;
use mainstay_spec::ids::BuildId;

/// Settings of a [`super::DockerfileEngine`].
#[derive(Debug, Clone)]
pub struct DockerfileConfig {
    /// Stores, caches and base images. Created with mode 0700: build arguments end up in image histories below it.
    pub state_dir: PathBuf,
    /// Volatile state, emptied by a reboot: mount counters, private copies of Dockerfiles, secrets of running builds.
    pub run_dir: PathBuf,
    /// Parent of all our cgroups, from the root of the hierarchy: "/mainstay/build".
    pub cgroup_prefix: String,
    pub network: StepNetwork,
    /// CA bundle, proxies and package indexes that every `RUN` sees and no image keeps (the Dockerfile's own `ENV` of a name wins), and where base
    /// images come from.
    pub operator: OperatorSettings,
    /// Registry that short names (`FROM node:22`) are looked up in.
    pub default_registry: String,
    pub tools: Tools,
    /// A build is stopped when the file system has less room than this.
    pub disk_free_floor_bytes: u64,
    /// Between the polite and the hard stop.
    pub grace_period: Duration,
    /// Wait before the second and the third attempt of a pull.
    pub pull_retry_delay: Duration,
}

impl DockerfileConfig {
    /// The network has no default on purpose: whoever wires the builder has to say what `RUN` steps may reach.
    pub fn new(state_dir: PathBuf, run_dir: PathBuf, network: StepNetwork) -> Self {
        Self {
            state_dir,
            run_dir,
            cgroup_prefix: "/mainstay/build".to_owned(),
            network,
            operator: OperatorSettings::default(),
            default_registry: "docker.io".to_owned(),
            tools: Tools::default(),
            disk_free_floor_bytes: 1 << 30,
            grace_period: Duration::from_secs(10),
            pull_retry_delay: Duration::from_secs(2),
        }
    }
}

/// What the network of `RUN` and `ADD <url>` is.
#[derive(Debug, Clone)]
pub enum StepNetwork {
    /// No network. The safe choice until a build network is there.
    None,
    /// The host's own network: steps reach every port of the host. For tests and machines of one's own only.
    Host,
    /// A namespace prepared per build: outbound only, no host, no app.
    Namespace(Arc<dyn BuildNetwork>),
}

/// Hands out network namespaces for builds.
#[async_trait]
pub trait BuildNetwork: fmt::Debug + Send + Sync {
    /// Prepares the build's namespace.
    async fn enter(&self, build: BuildId) -> io::Result<NetworkNamespace>;

    /// Takes it back; called once per successful `enter`, after the last process of the build is gone.
    async fn leave(&self, build: BuildId);
}

/// A network namespace that a child can be started in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkNamespace {
    /// A file that `setns(2)` takes: `/run/netns/…` or `/proc/<pid>/ns/net`.
    pub path: PathBuf,
    /// Name servers for the steps; empty: the host's.
    pub name_servers: Vec<IpAddr>,
}

/// Where `RUN` steps find the operator's certificates. `/dev` is a tmpfs of the step, so the mount point leaves no trace in the image.
pub const CA_BUNDLE_IN_STEP: &str = "/dev/mainstay-ca.crt";

/// Programs that are called, as names to be found on the PATH or as paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    pub buildah: PathBuf,
    /// OCI runtime. Said explicitly: buildah prefers `crun` when it is installed, which refuses hybrid cgroups.
    pub runtime: PathBuf,
    pub nsenter: PathBuf,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            buildah: "/usr/bin/buildah".into(),
            runtime: "/usr/sbin/runc".into(),
            nsenter: "/usr/bin/nsenter".into(),
        }
    }
}
