//! Comparing what the platform says with what it must say.

use mainstay_diagnosis::{Cause, Code};
use serde_json::Value;

use super::Expect;
use crate::{Deployment, Platform};

/// What came of a fault, in as many words as a table has room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    pub code: Option<Code>,
    pub cause: Option<Cause>,
    /// Where there is no code: the deployment's phase.
    pub phase: String,
}

impl Got {
    pub(super) fn of(deployment: &Deployment) -> Self {
        Self {
            code: deployment.code(),
            cause: deployment.cause(),
            phase: deployment.phase().to_owned(),
        }
    }

    /// A reason by itself: of an instance of a deployment that is ACTIVE.
    pub(super) fn of_reason(reason: &Value) -> Self {
        let text = |field: &str| reason[field].as_str().unwrap_or_default();
        Self {
            code: text("code").parse().ok(),
            cause: text("cause").parse().ok(),
            phase: "ACTIVE".to_owned(),
        }
    }
}

/// What differs in the end of a deployment that had to fail.
pub(super) fn failure(expect: &Expect, deployment: &Deployment) -> Vec<String> {
    let mut differences = Vec::new();
    if deployment.phase() != "ERROR" {
        differences.push(format!("ended as {deployment}"));
        return differences;
    }
    let leaf = deployment.failed_leaf();
    let step = leaf.as_ref().map(|leaf| leaf.path.as_str()).unwrap_or_default();
    if Some(step) != expect.step.as_deref() {
        differences.push(format!("failed at step {step}"));
    }
    if leaf.is_some_and(|leaf| leaf.json["reason"] != *deployment.reason()) {
        differences.push("the step carries another reason than the deployment".to_owned());
    }
    differences.extend(reason(expect, deployment.reason()));
    differences
}

/// What differs in the reason itself.
pub(super) fn reason(expect: &Expect, reason: &Value) -> Vec<String> {
    let message = reason["message"].as_str().unwrap_or_default();
    let got = Got::of_reason(reason);
    let mut differences = Vec::new();
    if (got.code, got.cause) != (expect.code, expect.cause) {
        let name = |name: Option<&'static str>| name.unwrap_or("none");
        differences.push(format!(
            "is {}/{}: {message}",
            name(got.code.map(Code::as_str)),
            name(got.cause.map(Cause::as_str)),
        ));
    }
    for words in expect.message.iter().filter(|words| !message.contains(*words)) {
        differences.push(format!("the message does not say {words:?}: {message}"));
    }
    for words in expect.message_not.iter().filter(|words| message.contains(*words)) {
        differences.push(format!("the message says {words:?}: {message}"));
    }
    differences.extend(evidence(expect, reason));
    if reason["next_steps"].as_array().is_none_or(Vec::is_empty) {
        differences.push("no next step is given".to_owned());
    }
    differences
}

fn evidence(expect: &Expect, reason: &Value) -> Vec<String> {
    let pieces = reason["evidence"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let kinds: Vec<&str> = pieces.iter().filter_map(|piece| piece["type"].as_str()).collect();
    let mut differences = Vec::new();
    for kind in expect
        .evidence
        .iter()
        .filter(|kind| !kinds.contains(&kind.as_str()))
    {
        differences.push(format!("no evidence {kind:?} among {kinds:?}"));
    }
    let shown = pieces.iter().find_map(|piece| piece["shown_code"].as_i64());
    if let Some(code) = expect.exit_code
        && shown != Some(code.into())
    {
        differences.push(format!("the exit code is shown as {shown:?}, not {code}"));
    }
    differences
}

/// Whether the card and the logs of a deployment can be read; also long after its end.
pub(super) fn readable(platform: &Platform, expect: &Expect, app: &str, deployment: &str) -> Vec<String> {
    let card = platform.text(&["deployments", "get", app, deployment]).stdout;
    let code = expect.code.filter(|_| expect.fails()).map(Code::as_str);
    let shown = expect.card.iter().map(String::as_str).chain(code);
    let missing: Vec<&str> = shown.filter(|words| !card.contains(words)).collect();
    let unshown =
        (!missing.is_empty()).then(|| format!("the card does not show {missing:?}:\n{}", last_lines(&card)));
    let mut differences = logs(platform, expect, app, deployment);
    differences.extend(unshown);
    differences
}

/// What cannot be read in the logs of a deployment.
pub(super) fn logs(platform: &Platform, expect: &Expect, app: &str, deployment: &str) -> Vec<String> {
    let unread = expect.logs.iter().filter_map(|(kind, words)| {
        let log = log(platform, app, deployment, kind);
        (!log.contains(words))
            .then(|| format!("the {kind} log does not say {words:?}:\n{}", last_lines(&log)))
    });
    unread.collect()
}

/// The log of what runs, and of what ran before it was restarted: an instance that fell may be either.
fn log(platform: &Platform, app: &str, deployment: &str, kind: &str) -> String {
    let log = platform.log(app, deployment, kind);
    if kind == "run" {
        log + &platform.log(app, deployment, "run_restarted")
    } else {
        log
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Reasons that an app has which is to have none; `healed` may have been told and be over.
pub(super) fn alarms(expect: &Expect, deployment: &Deployment, instances: &[Value]) -> Vec<String> {
    let steps = deployment
        .leaves()
        .into_iter()
        .map(|leaf| leaf.json["reason"].clone());
    let all = instances
        .iter()
        .map(|instance| instance["reason"].clone())
        .chain(steps);
    all.filter(|reason| reason["code"].is_string())
        .filter(|reason| !is_note(reason))
        .filter(|reason| {
            !(reason["resolved_at"].is_string() && Got::of_reason(reason).cause == expect.healed)
        })
        .map(|reason| format!("a false alarm: {}: {}", reason["code"], reason["message"]))
        .collect()
}

/// Builds that were reused, and images that were not built here: no failure.
fn is_note(reason: &Value) -> bool {
    let code = reason["code"].as_str().unwrap_or_default();
    matches!(code, "PreviousBuildReused" | "PreBuiltImage")
}

/// Whether the version before still answers.
pub(super) fn serving(platform: &Platform, app: &str, words: Option<&str>) -> Option<String> {
    match platform.get(app, "/") {
        Ok(page) if page.status == 200 && words.is_none_or(|words| page.text.contains(words)) => None,
        Ok(page) => Some(format!(
            "the version before answers {}:\n{}",
            page.status, page.text
        )),
        Err(error) => Some(format!("the version before does not answer: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expect() -> Expect {
        toml::from_str(
            "about = 'a'\nclasses = ['x']\ncode = 'ContainerExitNonZero'\ncause = 'exited_with_error'\nexit_code = 3\n\
             message = ['code 3']\nmessage_not = ['memory']\nevidence = ['exit']\nlogs = { run = 'bye' }\nstep = 'deploy/web/wait'",
        )
        .unwrap()
    }

    fn good() -> Value {
        json!({
            "code": "ContainerExitNonZero", "cause": "exited_with_error", "message": "Service `web` exited with code 3.",
            "evidence": [{ "type": "exit", "shown_code": 3 }], "next_steps": [{ "text": "Look." }],
        })
    }

    #[test]
    fn what_is_as_it_must_be_is_no_difference() {
        assert_eq!(reason(&expect(), &good()), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_found() {
        let wrong = json!({ "code": "ContainerOutOfMemory", "cause": "memory_limit", "message": "memory", "evidence": [] });
        assert_eq!(
            reason(&expect(), &wrong).len(),
            6,
            "{:?}",
            reason(&expect(), &wrong)
        );
    }

    #[test]
    fn only_the_named_alarm_may_have_healed() {
        let healthy: Expect =
            toml::from_str("about = 'a'\nclasses = ['healthy']\nhealed = 'never_listened'").unwrap();
        let deployment = Deployment { json: json!({}) };
        let reason = |resolved: Value, cause: &str| json!({ "reason": { "code": "ContainerHealthChecksFailed", "cause": cause, "resolved_at": resolved } });
        let alarms = |instance: Value| alarms(&healthy, &deployment, &[instance]).len();
        assert_eq!(alarms(reason(json!("2026-11-26T10:00:00Z"), "never_listened")), 0);
        assert_eq!(alarms(reason(Value::Null, "never_listened")), 1);
        assert_eq!(alarms(reason(json!("2026-11-26T10:00:00Z"), "too_busy")), 1);
    }
}
