//! What is asked of the engine, and what comes back.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use mainstay_diagnosis::facts::{BuildFault, BuildOutcome, LeftOut, MemoryRecord, StepFacts, ToolFinding};
use mainstay_images::record::ImageConfig;
use mainstay_spec::ids::{AppId, BuildId};

use crate::api::{BuildLimits, BuildVariable};

/// One Dockerfile build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileRequest {
    pub build: BuildId,
    pub app: AppId,
    /// Each component has a store of its own: caches are never shared between components.
    pub component: String,
    /// The checked-out source; nothing outside of it is ever read, symbolic links included.
    pub source_root: PathBuf,
    /// The build context, relative to `source_root`.
    pub source_dir: String,
    /// Relative to `source_root`; `None`: `Dockerfile` in `source_dir`.
    pub dockerfile_path: Option<String>,
    /// Stage to build; `None`: the last one.
    pub target: Option<String>,
    /// Variables of build scope. Only those that an `ARG` declares are visible; secret ones can also be mounted by
    /// `RUN --mount=type=secret,id=NAME`.
    pub variables: BTreeMap<String, BuildVariable>,
    /// True: no cached step is used, base images are refreshed and the cache mounts are emptied.
    pub force: bool,
    /// `time_seconds` is what is left for this part of the build.
    pub limits: BuildLimits,
}

/// Everything that was observed, and how it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct DockerfileReport {
    /// The `RUN`s that were executed (not those taken from the cache), in order; the last one failed or was running when the build did
    /// not succeed in it.
    pub steps: Vec<StepFacts>,
    /// Of the whole build, buildah included.
    pub memory: MemoryRecord,
    pub tools: Vec<(String, String)>,
    /// What tools said in the step that failed; empty when the build succeeded.
    pub findings: Vec<ToolFinding>,
    /// Of the stage that failed, or else of the result: "node:22, Dockerfile line 1".
    pub base_images: Vec<String>,
    /// Development dependencies that are not in the image.
    pub left_out: Option<LeftOut>,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub result: Result<DockerfileImage, DockerfileEnd>,
}

impl DockerfileReport {
    pub fn outcome(&self) -> BuildOutcome {
        match &self.result {
            Ok(_) => BuildOutcome::Succeeded,
            Err(DockerfileEnd::StepFailed) => BuildOutcome::StepFailed,
            Err(DockerfileEnd::TimedOut) => BuildOutcome::TimedOut,
            Err(DockerfileEnd::Canceled) => BuildOutcome::Canceled,
            Err(DockerfileEnd::Failed(fault)) => BuildOutcome::Failed(fault.clone()),
        }
    }
}

/// How a build ended without an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerfileEnd {
    /// The last of `steps` ended non-zero or was killed.
    StepFailed,
    /// The time limit passed; the last of `steps` was running, if a step was.
    TimedOut,
    Canceled,
    Failed(BuildFault),
}

/// A built image: directories of the component's store and of the shared base images, to be mounted as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileImage {
    /// Of buildah's store, 64 hex digits; the name under which [`super::DockerfileEngine::collect`] keeps it.
    pub store_image: String,
    /// Layer directories, bottom first, with overlay's own whiteouts. Never to be written to.
    pub layers: Vec<PathBuf>,
    pub config: ImageConfig,
}
