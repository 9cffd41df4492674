//! A reason: one code with its cause, the evidence that proves it, and what to do next.

use jiff::Timestamp;
use mainstay_spec::kind::ComponentKind;
use serde::{Deserialize, Serialize};

use crate::{Blame, Cause, Code, Evidence, Retry};

/// What a failed (or reused, or waiting) leaf of a deployment says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    pub code: Code,
    pub cause: Cause,
    pub component: String,
    pub kind: ComponentKind,
    /// A few words, the same for every reason of this cause.
    pub title: String,
    /// One sentence that names the component and holds the decisive fact. Never empty.
    pub message: String,
    /// Decisive pieces first.
    pub evidence: Vec<Evidence>,
    pub next_steps: Vec<NextStep>,
    /// Seen as well, but not what ended it.
    pub warnings: Vec<String>,
    pub retry: Retry,
    pub blame: Blame,
    pub observed_at: Timestamp,
    /// Set once it healed.
    pub resolved_at: Option<Timestamp>,
}

/// Something the user can do, ready to paste where that is possible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NextStep {
    /// One sentence.
    pub text: String,
    /// Lines for the app spec, already indented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
    /// A command for a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// What the facts amount to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing failed, and there is nothing to say.
    NoFailure,
    /// Nothing failed; the reason is worth showing beside the success (`PreviousBuildReused`, an instance that had to be killed
    /// when it was asked to stop).
    Note(Box<Reason>),
    /// Not over yet; the reason says what it waits for (`BuildRateLimit`, probes that did not succeed so far).
    Waiting(Box<Reason>),
    /// Failed with this.
    Failure(Box<Reason>),
}

impl Verdict {
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::NoFailure => None,
            Self::Note(reason) | Self::Waiting(reason) | Self::Failure(reason) => Some(reason),
        }
    }

    pub fn into_reason(self) -> Option<Box<Reason>> {
        match self {
            Self::NoFailure => None,
            Self::Note(reason) | Self::Waiting(reason) | Self::Failure(reason) => Some(reason),
        }
    }

    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failure(_))
    }
}

impl NextStep {
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            spec: None,
            command: None,
        }
    }

    #[must_use]
    pub fn with_spec(mut self, spec: impl Into<String>) -> Self {
        self.spec = Some(spec.into());
        self
    }

    #[must_use]
    pub fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }
}
