//! How an app's components are now.

use crate::{
    Reason,
    wire::{wire_object, wire_words},
};

wire_object! {
    pub struct AppHealthResponse {
        pub app_health: AppHealth,
    }
}

wire_object! {
    pub struct AppHealth {
        pub components: Vec<ComponentHealth>,
    }
}

wire_object! {
    pub struct ComponentHealth {
        pub name: String,
        pub cpu_usage_percent: f64,
        pub memory_usage_percent: f64,
        pub replicas_desired: u32,
        pub replicas_ready: u32,
        pub state: HealthState,
        /// Addition: why it is not healthy.
        pub reason: Option<Reason>,
    }
}

wire_words! {
    pub enum HealthState {
        Unknown = "UNKNOWN",
        Healthy = "HEALTHY",
        Unhealthy = "UNHEALTHY",
    }
}
