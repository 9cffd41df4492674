//! What must be said about a fault: `expect.toml`, the file beside the app.

use std::collections::BTreeMap;

use mainstay_diagnosis::{Cause, Code};
use serde::Deserialize;

use crate::Nature;

/// See `e2e/faults/README.md`, which explains every field.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// One sentence: what is wrong with the app, or strange about it.
    pub about: String,
    /// Which classes of failure it stands for: `H3`, `exit 137`, `healthy`.
    pub classes: Vec<String>,
    /// `None`: the app is healthy, and nothing may be said.
    pub code: Option<Code>,
    pub cause: Option<Cause>,
    /// Where the code stands: `build/web`, `deploy/initialize`, `deploy/web/wait`; `build/*` where it may be any component.
    pub step: Option<String>,
    /// The number that users know, as the evidence shows it.
    pub exit_code: Option<i32>,
    /// Words of the message: the decisive fact.
    #[serde(default)]
    pub message: Vec<String>,
    /// Words that would be a wrong story.
    #[serde(default)]
    pub message_not: Vec<String>,
    /// Words of the card that the command line shows.
    #[serde(default)]
    pub card: Vec<String>,
    /// Kinds of evidence that must be there: `exit`, `sockets`, …
    #[serde(default)]
    pub evidence: Vec<String>,
    /// Kind of log (`build`, `deploy`, `run`) → words that can be read there afterwards.
    #[serde(default)]
    pub logs: BTreeMap<String, String>,
    /// The deployment becomes ACTIVE; its instance fails afterwards.
    #[serde(default)]
    pub after_active: bool,
    /// A job that is run by hand once the deployment is ACTIVE; the reason stands on the deployment.
    pub job: Option<String>,
    /// The code is no failure: a step carries it for a while or for good, and the deployment becomes ACTIVE.
    #[serde(default)]
    pub passes: bool,
    /// The call itself is refused with the code, and nothing is created.
    #[serde(default)]
    pub refused: bool,
    /// Path that is asked for once the deployment is ACTIVE: what makes the instance fail, or words that a healthy one answers.
    pub visit: Option<String>,
    /// Words of the answer.
    pub page: Option<String>,
    /// How long a healthy app is looked at before it counts as such.
    #[serde(default = "healthy_for_seconds")]
    pub healthy_for_seconds: u64,
    /// A reason that a healthy app may have had while it started, and that healed.
    pub healed: Option<Cause>,
    /// Runs alone, after all others: it disturbs them, or what is measured would be disturbed.
    #[serde(default)]
    pub exclusive: bool,
    /// Runs on a platform whose builds have small limits: 256 MiB of memory and of disk, 64 processes, 20 s.
    #[serde(default)]
    pub tight: bool,
    /// Runs on a platform whose network has addresses for five instances of an app.
    #[serde(default)]
    pub narrow: bool,
    /// Servers outside of the platform, registered as clusters by these names.
    #[serde(default)]
    pub clusters: Vec<Nature>,
    /// A program of the platform that is taken away before the fault is deployed, on a platform of its own.
    pub broken: Option<String>,
    /// What files in a repository cannot express, by path.
    #[serde(default)]
    pub files: BTreeMap<String, Oddity>,
}

fn healthy_for_seconds() -> u64 {
    2
}

/// A property of a file that a repository does not keep.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oddity {
    /// Octal: `"0644"`.
    pub mode: Option<String>,
    /// Lines end in CR LF.
    pub crlf: bool,
    /// The file is a symbolic link to this.
    pub symlink_to: Option<String>,
    /// The file is made of these bytes.
    pub hex: Option<String>,
    /// The file is made of this many zeros.
    pub zeros: Option<u64>,
}

impl Expect {
    /// Whether the code may stand at this step.
    pub fn is_at(&self, step: &str) -> bool {
        let Some(expected) = &self.step else { return false };
        match expected.strip_suffix('*') {
            Some(beginning) => step.starts_with(beginning),
            None => step == expected,
        }
    }

    /// Of a version that only has to serve.
    pub(super) fn none() -> Self {
        toml::from_str("about = ''\nclasses = []").expect("everything else has a default")
    }

    pub fn is_healthy(&self) -> bool {
        self.code.is_none()
    }

    /// Whether the deployment is to end with the code, while the version before goes on.
    pub fn fails(&self) -> bool {
        !self.is_healthy() && !self.after_active && !self.passes && !self.refused
    }

    /// Contradictions within the file.
    pub fn complaints(&self) -> Vec<&'static str> {
        let told = self.code.is_some();
        let rules = [
            (told != self.cause.is_some(), "a code goes with a cause"),
            (
                told && self.message.is_empty(),
                "`message` names no decisive fact",
            ),
            (
                told && !self.refused && self.logs.is_empty(),
                "`logs` names no log to read afterwards",
            ),
            (
                (self.fails() || self.passes) && self.step.is_none(),
                "`step` is missing",
            ),
            (
                (self.after_active || self.passes || self.refused) && !told,
                "`after_active`, `passes` and `refused` go with a code",
            ),
            (
                self.job.is_some() && !self.after_active,
                "`job` goes with `after_active`",
            ),
            (
                !self.is_healthy() && self.healed.is_some(),
                "`healed` is for healthy apps",
            ),
            (self.classes.is_empty(), "`classes` is empty"),
        ];
        rules
            .into_iter()
            .filter_map(|(broken, rule)| broken.then_some(rule))
            .collect()
    }
}
