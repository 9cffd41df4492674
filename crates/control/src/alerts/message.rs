//! What an alert says: which app, what happened, and of a failure its code, its cause and what to do.

use mainstay_api::Reason;
use mainstay_spec::AlertRule;
use mainstay_store::Occurrence;
use serde::{Deserialize, Serialize};

use crate::app::{Application, Refusal};

/// Plain text: how it is marked up is the place's own affair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub title: String,
    pub lines: Vec<String>,
}

pub(super) async fn of(application: &Application, occurrence: &Occurrence) -> Result<Message, Refusal> {
    let app = application.app(occurrence.app).await?.app;
    let view = application
        .deployment(occurrence.app, occurrence.deployment)
        .await?;
    let number = view.row.number;
    let is = |rule: AlertRule| occurrence.rule == rule.as_str();
    let reason = match occurrence.invocation {
        Some(invocation) => application
            .platform
            .store
            .invocation(invocation)
            .await?
            .and_then(|run| run.reason),
        None if is(AlertRule::DeploymentFailed) => view.failed_leaf().and_then(|leaf| leaf.reason.clone()),
        None => None,
    };
    let what = if is(AlertRule::JobInvocationFailed) {
        format!("job {} failed", occurrence.component)
    } else if is(AlertRule::DeploymentFailed) {
        format!("deployment {number} failed")
    } else if is(AlertRule::DeploymentLive) {
        format!("deployment {number} is live")
    } else if is(AlertRule::DeploymentCanceled) {
        format!("deployment {number} was canceled")
    } else {
        format!("deployment {number} began")
    };
    let mut lines = reason.map_or_else(Vec::new, |reason| lines_of(&reason.into()));
    if is(AlertRule::DeploymentFailed) && app.active_deployment.is_some() {
        lines.push("The version before serves on.".to_owned());
    }
    if is(AlertRule::DeploymentLive) {
        let config = &application.platform.config;
        lines.push(config.app_url(&app.spec, &app.host_suffix));
    }
    lines.push(format!(
        "Cause of the deployment: {}. Look: mainstay deployments get {}",
        view.row.cause, view.row.id
    ));
    Ok(Message {
        title: format!("{}: {what}", app.name),
        lines,
    })
}

fn lines_of(reason: &Reason) -> Vec<String> {
    let mut lines = vec![
        format!("{} ({})", reason.code, reason.cause),
        reason.message.clone(),
    ];
    lines.extend(
        reason
            .next_steps
            .iter()
            .map(|step| format!("Next: {}", step.text)),
    );
    lines
}
