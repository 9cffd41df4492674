//! When the platform had stored a reason: its log says so as soon as the database has it.

use jiff::Timestamp;
use mainstay_diagnosis::{Cause, Code};
use serde_json::Value;

use crate::{Deployment, deployment::Leaf};

/// What the server's log says of a reason that is on disk.
const STORED: &str = ": stored a reason ";

/// A reason, and when it was stored first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    at: Timestamp,
    deployment: String,
    code: Code,
    cause: Cause,
}

/// From the observable fact to the reason that is stored.
#[derive(Debug, Clone, Copy)]
pub struct Delay {
    pub since: Since,
    pub seconds: f64,
}

/// The fact that a delay counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Since {
    /// The decisive instance ended; a memory kill shows when the instance fails of it.
    Ended,
    /// The check of the commands began: nothing was started that could have failed.
    Checked,
    /// The step that starts the instance began.
    Started,
}

impl Since {
    pub fn words(self) -> &'static str {
        match self {
            Self::Ended => "an exit or memory kill",
            Self::Checked => "the check of a command",
            Self::Started => "the start (wrong port, loopback)",
        }
    }

    /// Seconds that the delay may take.
    pub fn target(self) -> f64 {
        match self {
            Self::Ended | Self::Checked => 0.1,
            Self::Started => 2.0,
        }
    }
}

/// How long after its fact the deployment's reason was stored; `None` where the fact has no time, or none is promised.
pub(super) fn delay(deployment: &Deployment, server_log: &str) -> Option<Delay> {
    let leaf = deployment.failed_leaf()?;
    let (code, cause) = leaf.code_and_cause()?;
    let (since, fact) = fact(&leaf, code, cause)?;
    between(
        since,
        fact,
        first_stored(server_log, deployment.id(), code, cause)?,
    )
}

/// The same for an instance of a deployment that serves.
pub(super) fn delay_of_fall(deployment: &str, reason: &Value, server_log: &str) -> Option<Delay> {
    let code = reason["code"].as_str()?.parse().ok()?;
    let cause = reason["cause"].as_str()?.parse().ok()?;
    let stored = first_stored(server_log, deployment, code, cause)?;
    between(Since::Ended, ended_at(reason)?, stored)
}

fn first_stored(server_log: &str, deployment: &str, code: Code, cause: Cause) -> Option<Timestamp> {
    let mut told = server_log.lines().filter_map(told);
    let first = told.find(|told| told.deployment == deployment && (told.code, told.cause) == (code, cause));
    first.map(|told| told.at)
}

/// `2026-11-26T10:00:00.000001Z  INFO …: stored a reason deployment=… component="web" code="…" cause="…"`
fn told(line: &str) -> Option<Told> {
    let (start, fields) = line.split_once(STORED)?;
    let field = |name: &str| {
        let mut words = fields.split(' ');
        words.find_map(|word| Some(word.strip_prefix(name)?.trim_matches('"')))
    };
    Some(Told {
        at: start.split(' ').next()?.parse().ok()?,
        deployment: field("deployment=")?.to_owned(),
        code: field("code=")?.parse().ok()?,
        cause: field("cause=")?.parse().ok()?,
    })
}

/// `None` where what is stored is of an earlier fact: nothing was measured.
fn between(since: Since, fact: Timestamp, stored: Timestamp) -> Option<Delay> {
    let seconds = stored.duration_since(fact).as_secs_f64();
    (seconds >= 0.0).then_some(Delay { since, seconds })
}

fn fact(leaf: &Leaf, code: Code, cause: Cause) -> Option<(Since, Timestamp)> {
    let began = || leaf.json["started_at"].as_str()?.parse().ok();
    if let Some(ended_at) = ended_at(&leaf.json["reason"]) {
        return Some((Since::Ended, ended_at));
    }
    match (code, cause) {
        (Code::ContainerCommandNotExecutable, _) => Some((Since::Checked, began()?)),
        (_, Cause::BoundToLoopback | Cause::ListensOnOtherPort) => Some((Since::Started, began()?)),
        _ => None,
    }
}

/// When the decisive instance ended.
fn ended_at(reason: &Value) -> Option<Timestamp> {
    let evidence = reason["evidence"].as_array()?;
    let exit = evidence.iter().find(|piece| piece["type"] == "exit")?;
    exit["ended_at"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failed(reason: &Value) -> Deployment {
        Deployment {
            json: json!({ "id": "d", "progress": { "steps": [
                { "name": "deploy", "status": "ERROR", "steps": [
                    { "name": "wait", "status": "ERROR", "started_at": "2026-11-26T10:00:00Z", "reason": reason },
                ] },
            ] } }),
        }
    }

    #[test]
    fn an_exit_counts_from_its_record() {
        let deployment = failed(&json!({
            "code": "ContainerExitNonZero", "cause": "exited_with_error",
            "evidence": [{ "type": "exit", "ended_at": "2026-11-26T10:00:01Z" }],
        }));
        let log = "\
            2026-11-26T10:00:00.500000Z  INFO server::reasons: stored a reason deployment=other component=\"web\" code=\"ContainerExitNonZero\" cause=\"exited_with_error\"\n\
            2026-11-26T10:00:01.010000Z  INFO server::reasons: stored a reason deployment=d component=\"web\" code=\"InternalError\" cause=\"platform_fault\"\n\
            2026-11-26T10:00:01.050000Z  INFO server::reasons: stored a reason deployment=d component=\"web\" code=\"ContainerExitNonZero\" cause=\"exited_with_error\"\n\
            2026-11-26T10:00:03.000000Z  INFO server::reasons: stored a reason deployment=d component=\"web\" code=\"ContainerExitNonZero\" cause=\"exited_with_error\"\n";
        let delay = delay(&deployment, log).unwrap();
        assert_eq!(delay.since, Since::Ended);
        assert!((delay.seconds - 0.05).abs() < 1e-6, "{delay:?}");
    }

    #[test]
    fn a_wrong_port_counts_from_the_start() {
        let reason = json!({ "code": "ContainerHealthChecksFailed", "cause": "listens_on_other_port" });
        let log = "2026-11-26T10:00:01.5Z  INFO server::reasons: stored a reason deployment=d component=\"web\" \
            code=\"ContainerHealthChecksFailed\" cause=\"listens_on_other_port\"\n";
        let delay = delay(&failed(&reason), log).unwrap();
        assert_eq!(delay.since, Since::Started);
        assert!((delay.seconds - 1.5).abs() < 1e-6, "{delay:?}");
    }
}
