//! Addition: what happened to the instances of an app while they serve.

use jiff::Timestamp;

use crate::wire::{wire_list, wire_object, wire_words};

wire_object! {
    pub struct InstanceEvent {
        /// Counts up.
        pub id: u64,
        pub r#type: InstanceEventType,
        pub created_at: Option<Timestamp>,
        pub deployment_id: String,
        pub component_name: String,
        /// `web-0`.
        pub instance_alias: String,
        /// Empty between two instances.
        pub instance_id: String,
        /// One sentence.
        pub message: String,
        /// Of an instance that exited, as users are shown it.
        pub exit_code: Option<i32>,
        /// Code and cause of the reason, where it has one; all of it is with the deployment.
        pub reason_code: String,
        pub reason_cause: String,
    }
}

wire_words! {
    pub enum InstanceEventType {
        Unknown = "UNKNOWN",
        Started = "STARTED",
        /// It answers, for the first time or again.
        Ready = "READY",
        /// It runs, and its readiness check fails.
        NotReady = "NOT_READY",
        /// Its liveness check failed: the platform ends it and starts another.
        LivenessFailed = "LIVENESS_FAILED",
        Exited = "EXITED",
        StartFailed = "START_FAILED",
        /// Another one follows after a pause.
        Restarting = "RESTARTING",
    }
}

wire_list! {
    /// Newest first.
    pub struct InstanceEventsResponse {
        pub instance_events: Vec<InstanceEvent>,
    }
}
