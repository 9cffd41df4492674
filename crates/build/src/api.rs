//! The builder's contract with the control plane.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use mainstay_diagnosis::facts::{BuildFacts, BuildFault};
use mainstay_images::record::ImageId;
use mainstay_shim::log::LogSource;
use mainstay_spec::{
    ids::{AppId, BuildId, DeploymentId},
    kind::ComponentKind,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::BuilderError;

/// Builds components.
#[async_trait]
pub trait Builder: fmt::Debug + Send + Sync {
    /// Resolves a source to what exactly will be built (commit, digest, upload id), without building.
    async fn resolve(&self, source: &Source) -> Result<ResolvedSource, BuildFault>;

    /// Builds one component. Never fails as a call: what went wrong is in the report. Everything it started or mounted is gone when it
    /// returns, also after `cancel` turned true.
    async fn build(
        &self,
        request: BuildRequest,
        log: Arc<dyn BuildLog>,
        cancel: watch::Receiver<bool>,
    ) -> BuildReport;

    /// The caller has pinned what it needs of this build, or wants nothing of it: the builder lets go. Until then a result stays,
    /// however long nobody takes it.
    async fn release(&self, build: BuildId);

    /// Removes what an earlier process left behind: containers, mounts, cgroups, temporary files.
    async fn sweep(&self) -> Vec<String>;

    /// Deletes what builds left for later ones and nobody needs, as far as the policy says; also images of the store that nobody pins. Builds
    /// may go on meanwhile.
    async fn collect(&self, policy: &KeepPolicy) -> Result<CollectReport, BuilderError>;

    /// Deletes the tool caches and Dockerfile stores of an app, and the mirrors of `sources`, which no other app may need. None of its
    /// images may be in use. Refused while one of its builds goes on.
    async fn remove_app(&self, app: AppId, sources: &[Source]) -> Result<(), BuilderError>;
}

/// How much is kept for later builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepPolicy {
    /// Images that nobody pins, layers and caches stay this long after their last use.
    pub unused_for: Duration,
    /// Layers of toolchains and dependencies, tool caches and git mirrors together; the last two take at most half of it.
    pub cache_bytes_max: u64,
    /// A component's Dockerfile store above this size loses its step cache, the store of base images what nothing is built on.
    pub dockerfile_cache_bytes_max: u64,
}

/// What was deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectReport {
    /// In words.
    pub removed: Vec<String>,
    pub freed_bytes: u64,
}

/// Receives the build's lines as they are printed; keeps them (bounded) and shows them live.
pub trait BuildLog: fmt::Debug + Send + Sync {
    fn line(&self, source: LogSource, text: &str);
}

/// Where a component's source is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Source {
    Git {
        url: String,
        branch: Option<String>,
    },
    /// An uploaded folder, unpacked by the platform into `path`; `id` is the digest of its content.
    Upload {
        id: String,
        path: PathBuf,
    },
    Image {
        reference: String,
        /// Never written down: whoever needs them has the spec.
        #[serde(default, skip_serializing)]
        credentials: Option<RegistryCredentials>,
    },
}

/// `user:token` of a registry.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct RegistryCredentials {
    pub user: String,
    pub token: String,
}

impl fmt::Debug for RegistryCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryCredentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A source pinned to its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedSource {
    pub source: Source,
    /// Git commit (40 hex), upload id or image digest.
    pub revision: String,
}

/// One component's build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRequest {
    pub build: BuildId,
    pub app: AppId,
    pub deployment: DeploymentId,
    pub component: String,
    pub kind: ComponentKind,
    pub source: ResolvedSource,
    pub source_dir: String,
    pub dockerfile_path: Option<String>,
    pub build_command: Option<String>,
    pub run_command: Option<String>,
    pub environment_slug: Option<String>,
    /// Static sites: where the build writes to.
    pub output_dir: Option<String>,
    /// Variables of build scope.
    pub variables: BTreeMap<String, BuildVariable>,
    /// True: build even though nothing changed, without caches.
    pub force: bool,
    pub limits: BuildLimits,
}

#[derive(Clone, PartialEq, Eq)]
pub struct BuildVariable {
    pub value: String,
    pub secret: bool,
}

impl fmt::Debug for BuildVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildVariable")
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildLimits {
    pub memory_bytes: u64,
    pub cpu_millis: u32,
    pub pids: u32,
    pub disk_bytes: u64,
    /// Of building; time in the queue is not counted.
    pub time_seconds: u64,
}

/// What came of a build.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildReport {
    pub facts: BuildFacts,
    /// Set when it succeeded or was reused.
    pub output: Option<BuildOutput>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildOutput {
    pub artifact: Artifact,
    /// The build key, hex; equal keys mean equal inputs.
    pub key: String,
    /// Git commit, upload id or image digest.
    pub revision: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "artifact", rename_all = "snake_case")]
pub enum Artifact {
    Image {
        image: ImageId,
    },
    /// A static site's files: a directory of the image store.
    StaticFiles {
        image: ImageId,
        path: PathBuf,
    },
}

impl Artifact {
    /// What the store keeps it as.
    pub fn image(&self) -> &ImageId {
        let (Self::Image { image } | Self::StaticFiles { image, .. }) = self;
        image
    }
}
