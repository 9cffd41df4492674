//! Jobs: components that run to their end, around a deployment or by the clock.

use super::{Alert, GitSource, ImageSource, LogDestination, RepositorySource, Termination, Variable};
use crate::{
    decode::{choice, object},
    duration,
};

object! {
    /// A component that runs to its end.
    "a job": pub struct Job {
        pub name: String,
        pub kind: Option<JobKind>,
        /// Only for SCHEDULED jobs.
        pub schedule: Option<JobSchedule>,
        /// A duration such as `1h30m`.
        pub timeout: Option<String>,
        pub git: Option<GitSource>,
        pub github: Option<RepositorySource>,
        pub gitlab: Option<RepositorySource>,
        pub bitbucket: Option<RepositorySource>,
        pub image: Option<ImageSource>,
        /// Relative to the repository's root.
        pub source_dir: Option<String>,
        /// Relative to the repository's root, not to `source_dir`.
        pub dockerfile_path: Option<String>,
        pub build_command: Option<String>,
        pub run_command: Option<String>,
        pub environment_slug: Option<String>,
        pub envs: Vec<Variable>,
        pub instance_size_slug: Option<String>,
        pub instance_count: Option<u32>,
        pub alerts: Vec<Alert>,
        pub log_destinations: Vec<LogDestination>,
        pub termination: Option<Termination>,
    }
}

choice! {
    /// When a job runs.
    pub enum JobKind {
        /// POST_DEPLOY.
        Unspecified = "UNSPECIFIED",
        /// After the builds, before any service or worker is rolled out.
        PreDeploy = "PRE_DEPLOY",
        /// After a successful roll-out.
        PostDeploy = "POST_DEPLOY",
        /// After a failed deployment.
        FailedDeploy = "FAILED_DEPLOY",
        Scheduled = "SCHEDULED",
    }
}

object! {
    "a schedule": pub struct JobSchedule {
        /// Five fields.
        pub cron: String,
        /// An IANA name; UTC when it is missing.
        pub time_zone: Option<String>,
    }
}

impl Job {
    pub const TIMEOUT_SECONDS: u64 = 30 * 60;

    pub fn kind(&self) -> JobKind {
        match self.kind.unwrap_or_default() {
            JobKind::Unspecified => JobKind::PostDeploy,
            kind => kind,
        }
    }

    /// The job is stopped after this time.
    pub fn timeout_seconds(&self) -> u64 {
        self.timeout
            .as_deref()
            .and_then(duration::parse)
            .map_or(Self::TIMEOUT_SECONDS, |timeout| timeout.as_secs())
    }

    pub fn termination(&self) -> Termination {
        self.termination.clone().unwrap_or_default()
    }
}
