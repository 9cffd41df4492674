//! What happened to an app.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    Deployment, ScaledComponent,
    wire::{wire_list, wire_object, wire_words},
};

wire_object! {
    pub struct Event {
        pub id: String,
        pub r#type: EventType,
        pub created_at: Option<Timestamp>,
        pub deployment_id: String,
        pub deployment: Option<Deployment>,
        pub autoscaling: Option<AutoscalingEvent>,
    }
}

wire_words! {
    pub enum EventType {
        Unknown = "UNKNOWN",
        Deployment = "DEPLOYMENT",
        Autoscaling = "AUTOSCALING",
    }
}

wire_object! {
    pub struct AutoscalingEvent {
        pub phase: AutoscalingPhase,
        pub components: BTreeMap<String, ScaledComponent>,
    }
}

wire_words! {
    pub enum AutoscalingPhase {
        Unknown = "UNKNOWN",
        Pending = "PENDING",
        InProgress = "IN_PROGRESS",
        Succeeded = "SUCCEEDED",
        Failed = "FAILED",
        Canceled = "CANCELED",
    }
}

wire_list! {
    pub struct EventsResponse {
        pub events: Vec<Event>,
    }
}

wire_object! {
    pub struct EventResponse {
        pub event: Event,
    }
}
