//! A deployment, as the command line tells it to programs.

use std::fmt;

use mainstay_diagnosis::{Cause, Code};
use serde_json::Value;

/// The JSON of `mainstay deploy` and `mainstay deployments get`.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub json: Value,
}

/// A step without steps of its own.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// `build/web`, `deploy/initialize`, `deploy/web/wait`.
    pub path: String,
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

    /// The whole reason; null where there is none.
    pub fn reason(&self) -> &Value {
        &self.json["reason"]
    }

    pub fn leaves(&self) -> Vec<Leaf> {
        leaves(&self.json["progress"]["steps"], "")
    }

    /// The first step that failed.
    pub fn failed_leaf(&self) -> Option<Leaf> {
        let mut leaves = self.leaves().into_iter();
        leaves.find(|leaf| leaf.json["status"] == "ERROR")
    }

    /// Whether a step carries this code.
    pub fn notes(&self, code: Code) -> bool {
        let mut leaves = self.leaves().into_iter();
        leaves.any(|leaf| leaf.code() == Some(code))
    }

    fn text(&self, pointer: &str) -> &str {
        self.json
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

impl Leaf {
    pub fn code(&self) -> Option<Code> {
        self.json["reason"]["code"].as_str()?.parse().ok()
    }

    pub fn code_and_cause(&self) -> Option<(Code, Cause)> {
        let cause = self.json["reason"]["cause"].as_str()?.parse().ok()?;
        Some((self.code()?, cause))
    }
}

/// The group `components` says nothing of its own and is left out of the paths.
fn leaves(steps: &Value, above: &str) -> Vec<Leaf> {
    let steps = steps.as_array().map(Vec::as_slice).unwrap_or_default();
    let of_step = |step: &Value| {
        let path = match (above, step["name"].as_str().unwrap_or_default()) {
            (above, "components") => above.to_owned(),
            ("", name) => name.to_owned(),
            (above, name) => format!("{above}/{name}"),
        };
        let below = leaves(&step["steps"], &path);
        if below.is_empty() {
            vec![Leaf {
                path,
                json: step.clone(),
            }]
        } else {
            below
        }
    };
    steps.iter().flat_map(of_step).collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_are_named_by_their_way() {
        let deployment = Deployment {
            json: json!({ "progress": { "steps": [
                { "name": "build", "steps": [
                    { "name": "initialize" },
                    { "name": "components", "steps": [{ "name": "web" }] },
                ] },
                { "name": "deploy", "steps": [
                    { "name": "components", "steps": [{ "name": "web", "steps": [{ "name": "wait" }] }] },
                ] },
            ] } }),
        };
        let paths: Vec<String> = deployment.leaves().into_iter().map(|leaf| leaf.path).collect();
        assert_eq!(paths, ["build/initialize", "build/web", "deploy/web/wait"]);
    }
}
