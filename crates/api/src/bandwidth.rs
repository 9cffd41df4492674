//! How much apps answered.

use jiff::Timestamp;

use crate::wire::{number_as_text, wire_object};

wire_object! {
    pub struct BandwidthRequest {
        /// At most 100.
        pub app_ids: Vec<String>,
        /// Yesterday, if not given.
        pub date: Option<Timestamp>,
    }
}

/// One app's bytes of one day.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct BandwidthUsage {
    pub app_id: String,
    #[serde(with = "number_as_text")]
    #[schemars(with = "String")]
    pub bandwidth_bytes: u64,
}

/// The list is always there; an app that sent nothing on that day is not in it.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct BandwidthResponse {
    pub app_bandwidth_usage: Vec<BandwidthUsage>,
    pub date: Option<Timestamp>,
}
