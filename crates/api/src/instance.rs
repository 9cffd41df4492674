//! Running instances.

use jiff::Timestamp;

use crate::{
    InstanceEvent, Reason,
    wire::{wire_object, wire_words},
};

wire_object! {
    pub struct Instance {
        pub component_name: String,
        pub component_type: InstanceComponentType,
        /// Unique: the component's name and a part of the instance's id.
        pub instance_name: String,
        /// `web-0`.
        pub instance_alias: String,
        /// Addition.
        pub instance_id: String,
        /// Addition.
        pub deployment_id: String,
        /// Addition.
        pub state: InstanceState,
        /// Addition.
        pub started_at: Option<Timestamp>,
        /// Addition.
        pub restarts: u32,
        /// Addition: what is wrong with it now, or was the last time.
        pub reason: Option<Reason>,
        /// Addition: the last things that happened to it and to those before it in its place, newest first.
        pub recent_events: Vec<InstanceEvent>,
    }
}

wire_words! {
    pub enum InstanceComponentType {
        Unspecified = "UNSPECIFIED",
        Service = "SERVICE",
        Worker = "WORKER",
        Job = "JOB",
    }
}

wire_words! {
    pub enum InstanceState {
        Unknown = "UNKNOWN",
        Starting = "STARTING",
        Healthy = "HEALTHY",
        Unhealthy = "UNHEALTHY",
        Draining = "DRAINING",
        Exited = "EXITED",
    }
}

wire_object! {
    pub struct InstancesResponse {
        pub instances: Vec<Instance>,
    }
}
