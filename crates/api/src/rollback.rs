//! Going back to an earlier deployment.

use crate::wire::wire_object;

wire_object! {
    pub struct RollbackRequest {
        pub deployment_id: String,
        /// Commits at once.
        pub skip_pin: bool,
    }
}

/// `valid` is always written out.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct RollbackValidationResponse {
    pub valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<RollbackCondition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<RollbackCondition>,
}

wire_object! {
    pub struct RollbackCondition {
        /// `incompatible_phase`, `incompatible_result`, `exceeded_revision_limit`, `app_pinned`, `database_config_conflict`,
        /// `region_conflict`, `static_site_requires_rebuild`, `image_source_missing_digest`.
        pub code: String,
        pub message: String,
        pub components: Vec<String>,
    }
}
