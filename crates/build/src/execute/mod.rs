//! The executor: carries out a plan's steps as instances of the engine.
//!
//! ```text
//!  workspace     the source's files, in a layer draft: what is left of it becomes the app's layer without a copy
//!  dependencies  node_modules, .venv …: an earlier build's layer under a writable one, or a fresh directory that becomes a layer
//!  step          one container: started, its output read, waited for; ended by the timer, a cancel or the disk budget
//! ```
//!
//! Nothing stays behind: containers are removed at the end of their step, directories with their drafts.

mod clock;
mod dependencies;
mod disk_watch;
mod output;
mod snapshot;
mod step;
mod workspace;

use mainstay_diagnosis::facts::BuildFault;

pub(crate) use self::{
    clock::{Clock, Interruption},
    dependencies::Dependencies,
    disk_watch::DiskWatch,
    snapshot::Snapshot,
    step::{ContainerTemplate, Ending, Removal, StepCommand, StepRunner},
    workspace::{APP_ROOT, BUILD_USER, Workspace},
};

/// How a build ended without an image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BuildEnd {
    /// The last step ended non-zero or was killed.
    StepFailed,
    TimedOut,
    Canceled,
    Failed(BuildFault),
}

impl From<BuildFault> for BuildEnd {
    fn from(fault: BuildFault) -> Self {
        Self::Failed(fault)
    }
}
