//! Runs of jobs.
//!
//! ```text
//!  actor ──spawns──▶ JobRun ──one per copy──▶ copy: start or take up ─▶ wait ─▶ exit stored ─▶ reason
//!    ▲  │               │ time limit, calling off: all copies are stopped
//!    └──┼─ JobReport ◀──┘ the run's row says how it ended
//!       └─▶ clear_away: the copies' instances are removed, for which nobody waits
//! ```
//!
//! A run happens once. Its row is stored before anything of it, each copy's row before that copy is started, each exit before the run's end,
//! and the run's end before anybody hears of it: after a crash the next server finds what was begun and takes it up. A copy that was begun
//! and of which nothing is known any more is a lost one: the run fails, it is not begun anew.

mod clearing;
mod copy;
mod run;

use crate::platform::PlatformError;

pub(crate) use clearing::clear_away;
pub(crate) use run::{JobEnd, JobReport, JobRun, log_name};

/// Why a run is not begun or called off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobRefusal {
    #[error("the app has no active deployment whose job could be run")]
    NothingServes,
    #[error("the active deployment has no job {0:?}")]
    NoJob(String),
    #[error("the run has ended; it can no longer be canceled")]
    Ended,
    #[error("the deployment waits for this job; cancel the deployment instead")]
    Awaited,
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl From<mainstay_store::StoreError> for JobRefusal {
    fn from(error: mainstay_store::StoreError) -> Self {
        Self::Platform(error.into())
    }
}
