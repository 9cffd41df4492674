//! A deployment, as the command line tells it to programs.

use std::fmt;

use mainstay_diagnosis::{Cause, Code};
use serde_json::Value;

/// The JSON of `mainstay deploy` and `mainstay deployments get`.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub json: Value,
}

impl Deployment {
    pub fn id(&self) -> &str {
        self.text("/id")
    }

    /// "ACTIVE", "ERROR", …
    pub fn phase(&self) -> &str {
        self.text("/phase")
    }

    pub fn is_final(&self) -> bool {
        ["ACTIVE", "ERROR", "SUPERSEDED", "CANCELED"].contains(&self.phase())
    }

    /// In both of its spellings.
    pub fn code(&self) -> Option<Code> {
        self.text("/reason/code").parse().ok()
    }

    pub fn cause(&self) -> Option<Cause> {
        self.text("/reason/cause").parse().ok()
    }

    pub fn message(&self) -> &str {
        self.text("/reason/message")
    }

    /// Whether a step carries this code.
    pub fn notes(&self, code: Code) -> bool {
        self.json
            .pointer("/progress/steps")
            .is_some_and(|steps| carries(steps, code))
    }

    fn text(&self, pointer: &str) -> &str {
        self.json
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

fn carries(value: &Value, code: Code) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| carries(item, code)),
        Value::Object(fields) => {
            let own = fields
                .get("code")
                .and_then(Value::as_str)
                .and_then(|text| text.parse::<Code>().ok());
            own == Some(code) || fields.values().any(|field| carries(field, code))
        }
        _ => false,
    }
}

impl fmt::Display for Deployment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code(), self.cause()) {
            (Some(code), Some(cause)) => {
                write!(formatter, "{} {code}/{cause}: {}", self.phase(), self.message())
            }
            _ => write!(formatter, "{} {}", self.phase(), self.text("/reason/message")),
        }
    }
}
