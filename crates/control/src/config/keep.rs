//! `[keep]`.

use serde::Deserialize;

use super::{ConfigError, GIB, at_least};

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// What is kept of the past, and for how long. What serves, what goes on and what explains an app's newest failure stays in any case.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KeepConfig {
    /// Deployments of an app that served before and can be rolled back to: their images stay. The one that serves is not counted.
    pub rollback_deployments: u32,
    /// Logs and evidence stay this long after their deployment ended.
    pub log_seconds: u64,
    /// They take at most this much together; above it, the app with most gives way, oldest first.
    pub log_bytes_max: u64,
    /// Deployments of an app that are remembered, events and reasons included.
    pub deployments_max: u32,
    /// Ended instances in one place (`web-0`) whose logs and records are kept: the first and the newest.
    pub instances_max: u32,
    /// Images that no deployment needs, and what builds have cached, stay this long after their last use.
    pub unused_seconds: u64,
    /// Layers of toolchains and dependencies, tool caches and git mirrors together.
    pub cache_bytes_max: u64,
    /// Of each component that is built from a Dockerfile: above it the step cache goes. Also of base images that nothing is built on.
    pub dockerfile_cache_bytes_max: u64,
    /// Who changed what, and who was refused, is remembered this long,
    pub audit_seconds: u64,
    /// and at most so many such calls.
    pub audit_rows_max: u64,
    /// Uploaded folders that no spec names stay this long.
    pub upload_seconds: u64,
    /// With less free space than this where the data is, all caches give way, then logs.
    pub disk_free_bytes_min: u64,
    /// Between two collections while nothing happens.
    pub every_seconds: u64,
}

impl Default for KeepConfig {
    fn default() -> Self {
        Self {
            rollback_deployments: 10,
            log_seconds: 90 * DAY_SECONDS,
            log_bytes_max: 8 * GIB,
            deployments_max: 500,
            instances_max: 20,
            unused_seconds: 2 * 60 * 60,
            cache_bytes_max: 20 * GIB,
            dockerfile_cache_bytes_max: 4 * GIB,
            audit_seconds: 400 * DAY_SECONDS,
            audit_rows_max: 200_000,
            upload_seconds: DAY_SECONDS,
            disk_free_bytes_min: 4 * GIB,
            every_seconds: 30 * 60,
        }
    }
}

impl KeepConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let fields = [
            ("keep.deployments_max", u64::from(self.deployments_max), 1),
            ("keep.instances_max", u64::from(self.instances_max), 2),
            ("keep.unused_seconds", self.unused_seconds, 1),
            ("keep.every_seconds", self.every_seconds, 1),
        ];
        at_least(&fields)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn what_would_never_end_or_keep_nothing_is_refused() {
        let config: Config = toml::from_str("keep.every_seconds = 0").unwrap();
        assert_eq!(
            config.checked().unwrap_err().to_string(),
            "keep.every_seconds is 0: it must be at least 1"
        );
        let config: Config = toml::from_str("keep.rollback_deployments = 0").unwrap();
        assert_eq!(config.checked().unwrap().keep.log_seconds, 90 * 24 * 60 * 60);
    }
}
