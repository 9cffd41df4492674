//! How many instances run, and how they are stopped.

use crate::decode::object;

object! {
    /// Between how many instances the component is scaled, and by what.
    "an autoscaling": pub struct Autoscaling {
        pub min_instance_count: Option<u32>,
        pub max_instance_count: Option<u32>,
        pub metrics: Option<AutoscalingMetrics>,
    }
}

object! {
    "autoscaling metrics": pub struct AutoscalingMetrics {
        pub cpu: Option<CpuMetric>,
        /// Services only.
        pub requests_per_second: Option<RequestsPerSecondMetric>,
        /// Services only.
        pub request_duration: Option<RequestDurationMetric>,
    }
}

object! {
    "a cpu metric": pub struct CpuMetric {
        pub percent: Option<u32>,
    }
}

object! {
    "a requests_per_second metric": pub struct RequestsPerSecondMetric {
        pub per_instance: Option<u32>,
    }
}

object! {
    "a request_duration metric": pub struct RequestDurationMetric {
        pub p95_milliseconds: Option<u32>,
    }
}

object! {
    /// Stopping instances while nobody asks for them.
    "an inactivity_sleep": pub struct InactivitySleep {
        pub after_seconds: Option<u32>,
        pub loading_page: Option<LoadingPage>,
    }
}

object! {
    "a loading page": pub struct LoadingPage {
        pub enabled: bool,
        pub custom_url: Option<String>,
    }
}

object! {
    /// How an instance is stopped.
    "a termination": pub struct Termination {
        /// Services only: time without new requests before the stop signal.
        pub drain_seconds: Option<u32>,
        /// Time between the stop signal and the kill.
        pub grace_period_seconds: Option<u32>,
    }
}

impl Termination {
    pub const DRAIN_SECONDS: u32 = 15;
    pub const GRACE_PERIOD_SECONDS: u32 = 120;

    pub fn drain_seconds(&self) -> u32 {
        self.drain_seconds.unwrap_or(Self::DRAIN_SECONDS)
    }

    pub fn grace_period_seconds(&self) -> u32 {
        self.grace_period_seconds.unwrap_or(Self::GRACE_PERIOD_SECONDS)
    }
}
