//! `mainstay apps rollback`, `commit-rollback` and `revert-rollback`.

use std::process::ExitCode;

use mainstay_api::{App, Deployment};

use super::follow;
use crate::{client::Client, error::CliError, output::Output};

/// What is asked of a rollback.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    Validate,
    Deploy { skip_pin: bool, wait: bool },
}

pub(super) async fn roll_back(
    client: &Client,
    output: &Output,
    app: &str,
    deployment: Option<String>,
    how: How,
) -> Result<ExitCode, CliError> {
    let app = client.app(app).await?;
    let to = match deployment {
        Some(deployment) => deployment,
        None => before_the_serving(client, &app).await?,
    };
    match how {
        How::Validate => validate(client, output, &app, &to).await,
        How::Deploy { skip_pin, wait } => {
            let deployment = client.roll_back(&app.id, &to, skip_pin).await?;
            told(client, output, &app, &deployment, wait).await
        }
    }
}

pub(super) async fn commit(client: &Client, output: &Output, app: &str) -> Result<ExitCode, CliError> {
    let app = client.app(app).await?;
    client.commit_rollback(&app.id).await?;
    let app = client.app(&app.id).await?;
    output.data(&[&app], || app.id.clone());
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn revert(
    client: &Client,
    output: &Output,
    app: &str,
    wait: bool,
) -> Result<ExitCode, CliError> {
    let app = client.app(app).await?;
    let deployment = client.revert_rollback(&app.id).await?;
    told(client, output, &app, &deployment, wait).await
}

async fn validate(client: &Client, output: &Output, app: &App, to: &str) -> Result<ExitCode, CliError> {
    let answer = client.validate_rollback(&app.id, to).await?;
    output.data(&answer, || match &answer.error {
        None => "valid".into(),
        Some(error) => format!("not valid ({}): {}", error.code, error.message),
    });
    Ok(if answer.valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn told(
    client: &Client,
    output: &Output,
    app: &App,
    deployment: &Deployment,
    wait: bool,
) -> Result<ExitCode, CliError> {
    if wait {
        return follow(client, output, &app.id, &deployment.id).await;
    }
    output.data(deployment, || deployment.id.clone());
    Ok(ExitCode::SUCCESS)
}

/// The newest one that served before what serves now; the server says whether it really can be gone back to.
async fn before_the_serving(client: &Client, app: &App) -> Result<String, CliError> {
    let serving = app
        .active_deployment
        .as_ref()
        .map(|deployment| deployment.id.as_str());
    let deployments = client.deployments(&app.id).await?;
    let mut older = deployments
        .iter()
        .skip_while(|deployment| Some(deployment.id.as_str()) != serving)
        .skip(1);
    let served = older.find(|deployment| {
        let progress = deployment.progress.as_ref();
        progress.is_some_and(|progress| progress.success_steps == progress.total_steps)
    });
    let nothing = || CliError::NotUnderstood {
        message: format!("app {} has no earlier deployment that served", app.spec.name),
    };
    served.map(|deployment| deployment.id.clone()).ok_or_else(nothing)
}
