//! Where the time of our deployments goes, by the times that the API tells.

use jiff::Timestamp;
use serde_json::Value;

use super::super::measure::{Series, milliseconds};
use crate::Deployment;

/// One deployment of ours.
#[derive(Debug)]
pub(super) struct Redeploy {
    /// Wall clock, when the command was given.
    pub(super) began: Timestamp,
    /// When a visitor first got the new instance's answer.
    pub(super) answered: Timestamp,
    pub(super) deployment: Deployment,
}

/// Names in the API's tree of steps: the ends of them follow each other.
const STAGES: [(&str, &str); 6] = [
    ("packed, uploaded, accepted", "/created_at"),
    ("source resolved", "/progress/steps/0/steps/0/ended_at"),
    (
        "built, or found built",
        "/progress/steps/0/steps/1/steps/0/ended_at",
    ),
    ("checked before the start", "/progress/steps/1/steps/0/ended_at"),
    (
        "started and ready",
        "/progress/steps/1/steps/1/steps/0/steps/1/ended_at",
    ),
    ("switched, active", "/progress/steps/1/steps/2/ended_at"),
];

impl Redeploy {
    pub(super) fn total_ms(&self) -> f64 {
        milliseconds_between(self.began, self.answered)
    }

    /// From the acceptance until it was known that nothing has to be built.
    pub(super) fn decision_ms(&self) -> f64 {
        milliseconds_between(
            time(&self.deployment.json, STAGES[0].1),
            time(&self.deployment.json, STAGES[2].1),
        )
    }

    fn stage_ms(&self, index: usize) -> f64 {
        let begin = match index {
            0 => self.began,
            _ => time(&self.deployment.json, STAGES[index - 1].1),
        };
        milliseconds_between(begin, time(&self.deployment.json, STAGES[index].1))
    }
}

/// The medians of all stages, one line each.
pub(super) fn show<'a>(redeploys: &(impl Iterator<Item = &'a Redeploy> + Clone)) {
    for (index, (name, _)) in STAGES.iter().enumerate() {
        let series = Series::of(redeploys.clone().map(|redeploy| redeploy.stage_ms(index)));
        println!("    {name:<28} {series}");
    }
}

fn milliseconds_between(from: Timestamp, to: Timestamp) -> f64 {
    let between = to.duration_since(from);
    let sign = if between.is_negative() { -1.0 } else { 1.0 };
    sign * milliseconds(between.unsigned_abs())
}

fn time(deployment: &Value, pointer: &str) -> Timestamp {
    let text = deployment.pointer(pointer).and_then(Value::as_str);
    let time = text.and_then(|text| text.parse().ok());
    time.unwrap_or_else(|| panic!("no time at {pointer} of {deployment:#}"))
}
