//! Deploying a fault, and comparing what the platform says with what it must say.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::Fault;
use crate::{Deployment, Platform};

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    pub deployment: Deployment,
    pub took: Duration,
    /// Everything that is otherwise than it must be.
    pub differences: Vec<String>,
}

/// Deploys the fault as a new version of `app`, which serves already and has to go on doing so with `words` on its page.
pub fn check(platform: &Platform, fault: &Fault, app: &str, words: &str) -> Outcome {
    let started = Instant::now();
    let deployment = platform.deploy(&fault.folder(app));
    let took = started.elapsed();
    let said = said(fault, &deployment);
    let shown = shown(platform, fault, app, &deployment);
    let logged = logged(platform, fault, app, &deployment);
    let differences = said
        .into_iter()
        .chain(shown)
        .chain(logged)
        .chain(serving(platform, app, words))
        .collect();
    Outcome {
        deployment,
        took,
        differences,
    }
}

fn said(fault: &Fault, deployment: &Deployment) -> Option<String> {
    let right = deployment.phase() == "ERROR"
        && deployment.code() == Some(fault.code)
        && deployment.cause() == Some(fault.cause)
        && !deployment.message().is_empty();
    (!right).then(|| format!("ended as {deployment}"))
}

fn shown(platform: &Platform, fault: &Fault, app: &str, deployment: &Deployment) -> Option<String> {
    let card = platform
        .text(&["deployments", "get", app, deployment.id()])
        .stdout;
    let missing: Vec<_> = fault
        .shown
        .iter()
        .filter(|words| !card.contains(**words))
        .collect();
    (!missing.is_empty()).then(|| format!("the card does not show {missing:?}:\n{card}"))
}

fn logged(platform: &Platform, fault: &Fault, app: &str, deployment: &Deployment) -> Option<String> {
    let (kind, words) = fault.log;
    let log = platform.log(app, deployment.id(), kind);
    (!log.contains(words)).then(|| format!("the {kind} log does not say {words:?}:\n{log}"))
}

fn serving(platform: &Platform, app: &str, words: &str) -> Option<String> {
    match platform.get(app, "/") {
        Ok(page) if page.status == 200 && page.text.contains(words) => None,
        Ok(page) => Some(format!(
            "the version before answers {}:\n{}",
            page.status, page.text
        )),
        Err(error) => Some(format!("the version before does not answer: {error}")),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.differences.is_empty() {
            write!(
                formatter,
                "{} ({:.1} s)",
                self.deployment,
                self.took.as_secs_f64()
            )
        } else {
            write!(formatter, "{}", self.differences.join("\n"))
        }
    }
}
