//! A reason as clients see it: every piece of evidence carries its label and lines, so that a client need not know the kinds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Blame, Evidence, NextStep, Reason, Retry};

/// What the API gives out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReasonView {
    /// A code or cause of a later version is shown as it came.
    pub code: String,
    pub cause: String,
    pub component: String,
    pub title: String,
    pub message: String,
    pub evidence: Vec<EvidenceView>,
    pub next_steps: Vec<NextStep>,
    pub warnings: Vec<String>,
    pub retry: Option<Retry>,
    pub blame: Option<Blame>,
    pub observed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
}

/// One piece of evidence, ready to be shown, with its typed data beside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvidenceView {
    pub kind: String,
    pub label: String,
    pub lines: Vec<String>,
    /// The typed fields, for machines.
    pub data: serde_json::Value,
}

impl From<&Reason> for ReasonView {
    fn from(reason: &Reason) -> Self {
        Self {
            code: reason.code.to_string(),
            cause: reason.cause.to_string(),
            component: reason.component.clone(),
            title: reason.title.clone(),
            message: reason.message.clone(),
            evidence: reason.evidence.iter().map(EvidenceView::from).collect(),
            next_steps: reason.next_steps.clone(),
            warnings: reason.warnings.clone(),
            retry: Some(reason.retry),
            blame: Some(reason.blame),
            observed_at: Some(reason.observed_at),
            resolved_at: reason.resolved_at,
        }
    }
}

impl From<&Evidence> for EvidenceView {
    fn from(evidence: &Evidence) -> Self {
        let mut data = serde_json::to_value(evidence).unwrap_or_default();
        if let Some(fields) = data.as_object_mut() {
            fields.remove("type");
        }
        Self {
            kind: evidence.kind().to_owned(),
            label: evidence.label().to_owned(),
            lines: evidence.lines(),
            data,
        }
    }
}
