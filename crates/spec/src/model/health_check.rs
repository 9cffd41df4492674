//! Readiness and liveness checks.

use crate::decode::object;

object! {
    /// A check as written; see [`Probe`] for the one in force.
    "a health check": pub struct HealthCheck {
        pub initial_delay_seconds: Option<u32>,
        pub period_seconds: Option<u32>,
        pub timeout_seconds: Option<u32>,
        pub success_threshold: Option<u32>,
        pub failure_threshold: Option<u32>,
        /// Unset: a TCP connect.
        pub http_path: Option<String>,
        pub port: Option<u16>,
        /// Older name of `http_path`.
        pub path: Option<String>,
    }
}

/// A check with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub port: u16,
    /// `None`: a TCP connect.
    pub http_path: Option<String>,
    pub initial_delay_seconds: u32,
    pub period_seconds: u32,
    pub timeout_seconds: u32,
    pub success_threshold: u32,
    pub failure_threshold: u32,
}

impl HealthCheck {
    /// Readiness: is the instance fit for traffic? `port` is the component's own.
    pub fn readiness(&self, port: u16) -> Probe {
        self.resolved(port, 0, 9)
    }

    /// Liveness: must the instance be restarted?
    pub fn liveness(&self, port: u16) -> Probe {
        self.resolved(port, 5, 18)
    }

    fn resolved(&self, port: u16, initial_delay_seconds: u32, failure_threshold: u32) -> Probe {
        Probe {
            port: self.port.unwrap_or(port),
            http_path: self.http_path.clone().or_else(|| self.path.clone()),
            initial_delay_seconds: self.initial_delay_seconds.unwrap_or(initial_delay_seconds),
            period_seconds: self.period_seconds.unwrap_or(10),
            timeout_seconds: self.timeout_seconds.unwrap_or(1),
            success_threshold: self.success_threshold.unwrap_or(1),
            failure_threshold: self.failure_threshold.unwrap_or(failure_threshold),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_platforms() {
        let readiness = HealthCheck::default().readiness(8080);
        assert_eq!(
            (readiness.initial_delay_seconds, readiness.period_seconds),
            (0, 10)
        );
        assert_eq!(
            (
                readiness.timeout_seconds,
                readiness.success_threshold,
                readiness.failure_threshold
            ),
            (1, 1, 9)
        );
        assert_eq!((readiness.port, readiness.http_path), (8080, None));
        let liveness = HealthCheck::default().liveness(8080);
        assert_eq!(
            (liveness.initial_delay_seconds, liveness.failure_threshold),
            (5, 18)
        );
    }
}
