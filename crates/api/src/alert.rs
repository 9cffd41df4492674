//! Alerts and where they go.

use crate::{DomainPhase, Step, wire::wire_object};

wire_object! {
    #[schemars(rename = "AppAlert")]
    pub struct Alert {
        pub id: String,
        pub component_name: String,
        pub spec: mainstay_spec::Alert,
        pub emails: Vec<String>,
        pub slack_webhooks: Vec<SlackWebhook>,
        pub phase: AlertPhase,
        pub progress: Option<AlertProgress>,
    }
}

/// Alerts go through the same phases as domains.
pub type AlertPhase = DomainPhase;

wire_object! {
    pub struct AlertProgress {
        pub steps: Vec<Step>,
    }
}

wire_object! {
    pub struct SlackWebhook {
        pub url: String,
        pub channel: String,
    }
}

wire_object! {
    pub struct AlertsResponse {
        pub alerts: Vec<Alert>,
    }
}

wire_object! {
    pub struct AlertResponse {
        pub alert: Alert,
    }
}

wire_object! {
    pub struct AlertDestinationsRequest {
        pub emails: Vec<String>,
        pub slack_webhooks: Vec<SlackWebhook>,
    }
}
