//! Workers: components that nobody can reach.

use super::{
    Alert, Autoscaling, GitSource, HealthCheck, ImageSource, LogDestination, Probe, RepositorySource,
    Termination, Variable,
};
use crate::decode::object;

object! {
    /// A component that runs without being reachable.
    "a worker": pub struct Worker {
        pub name: String,
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
        pub autoscaling: Option<Autoscaling>,
        pub liveness_health_check: Option<HealthCheck>,
        pub alerts: Vec<Alert>,
        pub log_destinations: Vec<LogDestination>,
        pub termination: Option<Termination>,
    }
}

impl Worker {
    /// The liveness check in force; `None` without one or without its port.
    pub fn liveness(&self) -> Option<Probe> {
        let check = self.liveness_health_check.as_ref()?;
        check.port.map(|port| check.liveness(port))
    }

    pub fn termination(&self) -> Termination {
        self.termination.clone().unwrap_or_default()
    }
}
