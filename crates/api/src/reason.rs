//! Why a step failed, was reused or waits.

use jiff::Timestamp;
use mainstay_diagnosis::{Blame, Cause, Code, Evidence, EvidenceView, NextStep, ReasonView, Retry};
use serde::{Deserialize, Serialize};

use crate::wire::wire_object;

wire_object! {
    /// `code` and `message` as every client expects them; all else is our addition.
    pub struct Reason {
        pub code: String,
        pub message: String,
        pub cause: String,
        pub component: String,
        pub title: String,
        /// Decisive pieces first.
        #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
        pub evidence: Vec<EvidenceItem>,
        pub next_steps: Vec<NextStep>,
        pub warnings: Vec<String>,
        pub retry: Option<Retry>,
        pub blame: Option<Blame>,
        pub observed_at: Option<Timestamp>,
        /// Set once it healed.
        pub resolved_at: Option<Timestamp>,
    }
}

/// Evidence; kinds of a later version are kept as they came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EvidenceItem {
    Known(Box<Evidence>),
    Other(serde_json::Value),
}

impl Reason {
    /// The code of an image that was not built here; no code of the error reference.
    pub const PRE_BUILT_IMAGE: &str = "PreBuiltImage";

    /// `None` for words that are no code of the reference.
    pub fn code(&self) -> Option<Code> {
        self.code.parse().ok()
    }

    pub fn cause(&self) -> Option<Cause> {
        self.cause.parse().ok()
    }

    pub fn known_evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.evidence.iter().filter_map(|item| match item {
            EvidenceItem::Known(evidence) => Some(&**evidence),
            EvidenceItem::Other(_) => None,
        })
    }
}

impl Reason {
    /// For [`mainstay_diagnosis::render::card`]: what a terminal shows.
    pub fn view(&self) -> ReasonView {
        ReasonView {
            code: self.code.clone(),
            cause: self.cause.clone(),
            component: self.component.clone(),
            title: self.title.clone(),
            message: self.message.clone(),
            evidence: self.known_evidence().map(EvidenceView::from).collect(),
            next_steps: self.next_steps.clone(),
            warnings: self.warnings.clone(),
            retry: self.retry,
            blame: self.blame,
            observed_at: self.observed_at,
            resolved_at: self.resolved_at,
        }
    }
}

impl From<mainstay_diagnosis::Reason> for Reason {
    fn from(reason: mainstay_diagnosis::Reason) -> Self {
        Self {
            code: reason.code.to_string(),
            message: reason.message,
            cause: reason.cause.to_string(),
            component: reason.component,
            title: reason.title,
            evidence: reason
                .evidence
                .into_iter()
                .map(|piece| EvidenceItem::Known(Box::new(piece)))
                .collect(),
            next_steps: reason.next_steps,
            warnings: reason.warnings,
            retry: Some(reason.retry),
            blame: Some(reason.blame),
            observed_at: Some(reason.observed_at),
            resolved_at: reason.resolved_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_of_a_later_version_is_kept() {
        let text = r#"{"code":"DeployContainerOutOfMemory","message":"m","cause":"x","evidence":[{"type":"changes","sentences":["a"]},{"n":1,"type":"future"}]}"#;
        let reason: Reason = serde_json::from_str(text).unwrap();
        assert_eq!(reason.code(), Some(Code::ContainerOutOfMemory));
        assert_eq!(reason.cause(), None);
        assert_eq!((reason.evidence.len(), reason.known_evidence().count()), (2, 1));
        assert_eq!(serde_json::to_string(&reason).unwrap(), text);
    }
}
