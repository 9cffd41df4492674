//! `mainstay explain`.

use std::process::ExitCode;

use mainstay_api::{App, Deployment, ErrorId, Phase};
use mainstay_diagnosis::{Explanation, UnknownTopic};
use mainstay_spec::ids::DeploymentId;
use serde_json::{Value, json};

use super::{outcome, troubles};
use crate::{args::Explain, client::Client, error::CliError, output::Output};

/// A word of the reference, else a deployment, else an app.
pub(super) async fn explain(
    client: impl Fn() -> Result<Client, CliError>,
    output: &Output,
    wish: Explain,
) -> Result<ExitCode, CliError> {
    let page = mainstay_diagnosis::explain(&wish.topic);
    let unknown = match (page, &wish.deployment) {
        (Ok(page), None) => {
            output.data(&as_json(&page), || page.to_string());
            return Ok(ExitCode::SUCCESS);
        }
        (Ok(_), Some(_)) => None,
        (Err(unknown), _) => Some(unknown),
    };
    let found = find(&client()?, &wish).await;
    let found = found.map_err(|error| named(error, unknown.as_ref()))?;
    output.data(&found, || outcome(&found));
    Ok(ExitCode::SUCCESS)
}

fn as_json(page: &Explanation) -> Value {
    json!({
        "name": page.name,
        "title": page.title,
        "meaning": page.meaning,
        "decided_by": page.decided_by,
        "evidence": page.evidence,
        "retried": page.retried,
        "next_step": page.next_step,
        "see_also": page.see_also,
    })
}

/// "Not found" says what else was looked for, and what looks alike.
fn named(error: CliError, unknown: Option<&UnknownTopic>) -> CliError {
    match (&error, unknown) {
        (CliError::Refused { body }, Some(unknown)) if body.id == ErrorId::NotFound => CliError::Usage(
            format!("{unknown}; there is no app or deployment of that name either"),
        ),
        _ => error,
    }
}

async fn find(client: &Client, wish: &Explain) -> Result<Deployment, CliError> {
    if let Some(id) = &wish.deployment {
        let app = client.app(&wish.topic).await?;
        return client.deployment(&app.id, id).await;
    }
    if wish.topic.parse::<DeploymentId>().is_ok() {
        match client.deployment_by_id(&wish.topic).await {
            Err(CliError::Refused { body }) if body.id == ErrorId::NotFound => {}
            found => return found,
        }
    }
    of_app(client, client.app(&wish.topic).await?).await
}

/// What is wrong with the app now, else its newest failure, else its newest deployment.
async fn of_app(client: &Client, app: App) -> Result<Deployment, CliError> {
    if let Some(active) = app.active_deployment
        && troubles(&active).next().is_some()
    {
        return Ok(active);
    }
    let mut deployments = client.deployments(&app.id).await?;
    let failed = deployments
        .iter()
        .position(|deployment| deployment.phase == Phase::Error);
    if deployments.is_empty() {
        return Err(CliError::Usage("the app has no deployment".into()));
    }
    Ok(deployments.swap_remove(failed.unwrap_or(0)))
}
