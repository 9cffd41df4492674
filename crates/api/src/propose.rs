//! Asking what a spec would become, without creating anything.

use mainstay_spec::{AppSpec, SpecError};

use crate::wire::wire_object;

wire_object! {
    pub struct ProposeRequest {
        pub spec: AppSpec,
        /// Of the app that the spec is an update of.
        pub app_id: String,
    }
}

wire_object! {
    /// Numbers of apps are strings on the wire.
    pub struct ProposeResponse {
        pub app_name_available: bool,
        pub app_name_suggestion: String,
        pub app_is_static: bool,
        pub app_is_starter: bool,
        pub existing_static_apps: String,
        pub max_free_static_apps: String,
        pub existing_starter_apps: String,
        pub max_free_starter_apps: String,
        pub spec: AppSpec,
        pub app_cost: f64,
        pub app_tier_upgrade_cost: f64,
        pub app_tier_downgrade_cost: f64,
        /// Addition: what should be known about the spec.
        pub warnings: Vec<SpecError>,
    }
}
