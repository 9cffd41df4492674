//! What was measured over a time, as Prometheus answers a query over a range.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All fields are always there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MetricsResponse {
    pub status: MetricsStatus,
    pub data: MetricsData,
}

/// Failures have the error body of every other call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricsStatus {
    #[default]
    Success,
    Error,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricsData {
    pub result_type: ResultType,
    pub result: Vec<MetricsSeries>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResultType {
    #[default]
    Matrix,
}

/// Of one place of a component (`web-0`), by time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MetricsSeries {
    /// `app_uuid`, `app_component` and `app_component_instance`.
    pub metric: BTreeMap<String, String>,
    /// Pairs of seconds since 1970, a number, and the value, a text.
    #[schemars(with = "Vec<Vec<NumberOrText>>")]
    pub values: Vec<(i64, String)>,
}

/// For the description: it has no pairs.
#[derive(schemars::JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
enum NumberOrText {
    Number(i64),
    Text(String),
}
