//! Logs.

use serde::{Deserialize, Serialize};

use crate::wire::{wire_object, wire_words};

wire_words! {
    pub enum LogType {
        Unspecified = "UNSPECIFIED",
        Build = "BUILD",
        Deploy = "DEPLOY",
        Run = "RUN",
        RunRestarted = "RUN_RESTARTED",
        AutoscaleEvent = "AUTOSCALE_EVENT",
        JobInvocation = "JOB_INVOCATION",
    }
}

/// The query of a logs call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct LogsQuery {
    pub r#type: LogType,
    /// Asks for a live URL.
    pub follow: bool,
    /// How long the live end waits for an instance: `3m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_connection_timeout: Option<String>,
    /// Of this component alone, where the path names none: doctl and godo ask so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_name: Option<String>,
    /// -1 or missing: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail_lines: Option<i64>,
}

impl LogsQuery {
    pub fn tail(&self) -> Option<u64> {
        self.tail_lines.and_then(|lines| u64::try_from(lines).ok())
    }
}

wire_object! {
    /// Plain text behind `historic_urls`, oldest first; `live_url` is https or wss. Both empty: there is no log.
    pub struct LogsResponse {
        pub live_url: String,
        pub historic_urls: Vec<String>,
    }
}

wire_object! {
    /// One text frame of a live log: lines of `<component> <RFC 3339 time> <text>`.
    pub struct LogFrame {
        pub data: String,
    }
}
