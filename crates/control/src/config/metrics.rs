//! `[metrics]`.

use serde::Deserialize;

use super::{ConfigError, at_least};

/// The windows of alerts are counted in minutes, each of which has to have been looked at.
const EVERY_SECONDS_MAX: u64 = 60;

/// How often everything that runs is looked at.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MetricsConfig {
    /// Between two looks at CPU, memory and restarts of all instances, and at what visitors were sent.
    pub every_seconds: u64,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { every_seconds: 60 }
    }
}

impl MetricsConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let (field, value) = ("metrics.every_seconds", self.every_seconds);
        at_least(&[(field, value, 1)])?;
        if value > EVERY_SECONDS_MAX {
            let most = EVERY_SECONDS_MAX;
            return Err(ConfigError::TooLarge { field, value, most });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn what_is_looked_at_too_seldom_for_a_window_is_refused() {
        let refused = |text: &str| toml::from_str::<Config>(text).unwrap().checked().unwrap_err();
        assert_eq!(
            refused("metrics.every_seconds = 61").to_string(),
            "metrics.every_seconds is 61: it must be at most 60"
        );
        assert_eq!(
            refused("metrics.every_seconds = 0").to_string(),
            "metrics.every_seconds is 0: it must be at least 1"
        );
    }
}
