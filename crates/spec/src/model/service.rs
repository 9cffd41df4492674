//! Services: components that answer requests.

use super::{
    Alert, Autoscaling, Cors, GitSource, HealthCheck, ImageSource, InactivitySleep, LogDestination, Probe,
    RepositorySource, Route, Termination, Variable,
};
use crate::decode::{choice, object};

object! {
    /// A component that answers requests, from outside the app or only from its other components.
    "a service": pub struct Service {
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
        pub http_port: Option<u16>,
        pub protocol: Option<HttpProtocol>,
        /// Ports for the app's other components only.
        pub internal_ports: Vec<u16>,
        pub health_check: Option<HealthCheck>,
        pub liveness_health_check: Option<HealthCheck>,
        /// Older form of ingress rules.
        pub routes: Vec<Route>,
        /// Older form of an ingress rule's `cors`.
        pub cors: Option<Cors>,
        pub inactivity_sleep: Option<InactivitySleep>,
        pub alerts: Vec<Alert>,
        pub log_destinations: Vec<LogDestination>,
        pub termination: Option<Termination>,
    }
}

choice! {
    /// What the service speaks on its http_port.
    pub enum HttpProtocol {
        Http = "HTTP",
        /// HTTP/2 without TLS, with prior knowledge.
        Http2 = "HTTP2",
    }
}

impl Service {
    pub const HTTP_PORT: u16 = 8080;

    /// Where requests from outside go, and what `PORT` is set to.
    pub fn http_port(&self) -> u16 {
        self.http_port.unwrap_or(Self::HTTP_PORT)
    }

    /// Internal ports and neither http_port nor routes: reachable only from the app's other components.
    pub fn is_internal_only(&self) -> bool {
        !self.internal_ports.is_empty() && self.http_port.is_none() && self.routes.is_empty()
    }

    /// The port that stands for the service when none is named: http_port, or the first internal port of an internal service.
    pub fn main_port(&self) -> u16 {
        match self.internal_ports.first() {
            Some(port) if self.is_internal_only() => *port,
            _ => self.http_port(),
        }
    }

    /// Every port that other components may reach: (port that is asked, port of the instance). Port 80 leads to the http_port, unless the service
    /// has an internal port 80 of its own.
    pub fn internal_port_map(&self) -> Vec<(u16, u16)> {
        let mut ports: Vec<(u16, u16)> = self.internal_ports.iter().map(|port| (*port, *port)).collect();
        if !self.is_internal_only() {
            let http_port = self.http_port();
            for asked in [http_port, 80] {
                if !ports.iter().any(|(known, _)| *known == asked) {
                    ports.push((asked, http_port));
                }
            }
        }
        ports.sort_unstable();
        ports
    }

    pub fn protocol(&self) -> HttpProtocol {
        self.protocol.unwrap_or_default()
    }

    /// The readiness check in force; without one, a TCP connect.
    pub fn readiness(&self) -> Probe {
        self.health_check
            .clone()
            .unwrap_or_default()
            .readiness(self.main_port())
    }

    pub fn liveness(&self) -> Option<Probe> {
        self.liveness_health_check
            .as_ref()
            .map(|check| check.liveness(self.main_port()))
    }

    pub fn termination(&self) -> Termination {
        self.termination.clone().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_service_listens_on_8080() {
        let service = Service::default();
        assert_eq!(service.http_port(), 8080);
        assert_eq!(service.readiness().port, 8080);
        assert_eq!(service.internal_port_map(), [(80, 8080), (8080, 8080)]);
        assert_eq!(service.liveness(), None);
    }

    #[test]
    fn internal_ports_alone_make_a_service_internal() {
        let service = Service {
            internal_ports: vec![9000, 9001],
            ..Default::default()
        };
        assert!(service.is_internal_only());
        assert_eq!(service.readiness().port, 9000);
        assert_eq!(service.internal_port_map(), [(9000, 9000), (9001, 9001)]);
        let both = Service {
            http_port: Some(3000),
            ..service
        };
        assert!(!both.is_internal_only());
        assert_eq!(both.readiness().port, 3000);
    }

    #[test]
    fn an_internal_port_80_is_itself() {
        let service = Service {
            internal_ports: vec![80],
            http_port: Some(79),
            ..Default::default()
        };
        assert_eq!(service.internal_port_map(), [(79, 79), (80, 80)]);
    }
}
