//! When the platform told a reason: seen from outside, through the API, while the deployment goes on.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use mainstay_diagnosis::{Cause, Code};
use serde_json::Value;

use crate::{Deployment, Platform, deployment::Leaf};

/// A reason, and when a client could read it first.
#[derive(Debug, Clone)]
pub struct Told {
    pub at: Timestamp,
    pub deployment: String,
    pub code: Code,
    pub cause: Cause,
}

/// From the observable fact to the reason that can be read.
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

/// Deploys the folder and notes everything that is told meanwhile, looking this often.
pub(super) fn deploy(
    platform: &Platform,
    app: &str,
    directory: &std::path::Path,
    look_every: Duration,
) -> (Deployment, Vec<Told>) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| watch(platform, app, &over, look_every));
        let deployment = {
            let _over = SetOnDrop(&over);
            platform.deploy_directory(directory)
        };
        (deployment, watching.join().unwrap_or_default())
    })
}

/// The watcher ends also when the deploying thread panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn watch(platform: &Platform, app: &str, over: &AtomicBool, look_every: Duration) -> Vec<Told> {
    let path = format!("/v2/apps/{app}/deployments?per_page=1");
    let mut told: Vec<Told> = Vec::new();
    loop {
        let last_look = over.load(Ordering::Relaxed);
        if let Ok(list) = platform.api(&path) {
            note(&list["deployments"][0], &mut told);
        }
        if last_look {
            return told;
        }
        thread::sleep(look_every);
    }
}

fn note(json: &Value, told: &mut Vec<Told>) {
    let at = Timestamp::now();
    let deployment = Deployment { json: json.clone() };
    for (code, cause) in deployment.leaves().iter().filter_map(Leaf::code_and_cause) {
        let known = told
            .iter()
            .any(|old| old.deployment == deployment.id() && (old.code, old.cause) == (code, cause));
        if !known {
            told.push(Told {
                at,
                deployment: deployment.id().to_owned(),
                code,
                cause,
            });
        }
    }
}

/// How long after its fact the deployment's reason was told; `None` where the fact has no time, or none is promised.
pub(super) fn delay(deployment: &Deployment, told: &[Told]) -> Option<Delay> {
    let leaf = deployment.failed_leaf()?;
    let (code, cause) = leaf.code_and_cause()?;
    let told = told
        .iter()
        .find(|told| told.deployment == deployment.id() && (told.code, told.cause) == (code, cause))?;
    let (since, fact) = fact(&leaf, code, cause)?;
    Some(Delay {
        since,
        seconds: seconds_between(fact, told.at),
    })
}

pub(super) fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
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
pub(super) fn ended_at(reason: &Value) -> Option<Timestamp> {
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

    fn told(code: Code, cause: Cause, at: &str) -> Told {
        Told {
            at: at.parse().unwrap(),
            deployment: "d".into(),
            code,
            cause,
        }
    }

    #[test]
    fn an_exit_counts_from_its_record() {
        let deployment = failed(&json!({
            "code": "ContainerExitNonZero", "cause": "exited_with_error",
            "evidence": [{ "type": "exit", "ended_at": "2026-11-26T10:00:01Z" }],
        }));
        let other = told(
            Code::InternalError,
            Cause::PlatformFault,
            "2026-11-26T10:00:00.5Z",
        );
        let right = told(
            Code::ContainerExitNonZero,
            Cause::ExitedWithError,
            "2026-11-26T10:00:01.05Z",
        );
        let delay = delay(&deployment, &[other, right]).unwrap();
        assert_eq!(delay.since, Since::Ended);
        assert!((delay.seconds - 0.05).abs() < 1e-6, "{delay:?}");
    }

    #[test]
    fn a_wrong_port_counts_from_the_start() {
        let reason = json!({ "code": "ContainerHealthChecksFailed", "cause": "listens_on_other_port" });
        let right = told(
            Code::ContainerHealthChecksFailed,
            Cause::ListensOnOtherPort,
            "2026-11-26T10:00:01.5Z",
        );
        let delay = delay(&failed(&reason), &[right]).unwrap();
        assert_eq!(delay.since, Since::Started);
        assert!((delay.seconds - 1.5).abs() < 1e-6, "{delay:?}");
    }
}
