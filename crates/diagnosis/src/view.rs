//! A reason as clients see it: every piece of evidence carries its label and lines, so that a client need not know the kinds.

use jiff::Timestamp;
use mainstay_spec::kind::ComponentKind;
use serde::{Deserialize, Serialize};

use crate::{Blame, Cause, Code, Evidence, NextStep, Reason, Retry};

/// What the API gives out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReasonView {
    pub code: Code,
    pub cause: Cause,
    pub component: String,
    pub kind: ComponentKind,
    pub title: String,
    pub message: String,
    pub evidence: Vec<EvidenceView>,
    pub next_steps: Vec<NextStep>,
    pub warnings: Vec<String>,
    pub retry: Retry,
    pub blame: Blame,
    pub observed_at: Timestamp,
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
            code: reason.code,
            cause: reason.cause,
            component: reason.component.clone(),
            kind: reason.kind,
            title: reason.title.clone(),
            message: reason.message.clone(),
            evidence: reason.evidence.iter().map(EvidenceView::from).collect(),
            next_steps: reason.next_steps.clone(),
            warnings: reason.warnings.clone(),
            retry: reason.retry,
            blame: reason.blame,
            observed_at: reason.observed_at,
            resolved_at: reason.resolved_at,
        }
    }
}

impl From<&Evidence> for EvidenceView {
    fn from(evidence: &Evidence) -> Self {
        let mut data = serde_json::to_value(evidence).unwrap_or_default();
        if let Some(fields) = data.as_object_mut() {
            fields.remove("kind");
        }
        Self {
            kind: evidence.kind().to_owned(),
            label: evidence.label().to_owned(),
            lines: evidence.lines(),
            data,
        }
    }
}
