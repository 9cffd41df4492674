//! `mainstay deployments`.

use std::process::ExitCode;

use mainstay_api::Deployment;

use super::{follow, outcome};
use crate::{
    args::Deployments,
    client::Client,
    error::CliError,
    output::{Column, Output, time},
};

pub(super) async fn run(
    client: &Client,
    output: &Output,
    command: Deployments,
) -> Result<ExitCode, CliError> {
    match command {
        Deployments::List { app } => {
            let app = client.app(&app).await?;
            let deployments = client.deployments(&app.id).await?;
            output.list(&deployments, &COLUMNS)?;
            Ok(ExitCode::SUCCESS)
        }
        Deployments::Get { app, deployment } => {
            let app = client.app(&app).await?;
            let found = find(client, &app.id, deployment.as_deref()).await?;
            output.data(&found, || outcome(&found));
            Ok(ExitCode::SUCCESS)
        }
        Deployments::Create {
            app,
            force_build,
            wait,
        } => {
            let app = client.app(&app).await?;
            let created = client.create_deployment(&app.id, force_build).await?;
            if wait {
                return follow(client, output, &app.id, &created.id).await;
            }
            output.data(&created, || created.id.clone());
            Ok(ExitCode::SUCCESS)
        }
        Deployments::Wait { app, deployment } => {
            let app = client.app(&app).await?;
            let found = find(client, &app.id, deployment.as_deref()).await?;
            follow(client, output, &app.id, &found.id).await
        }
        Deployments::Cancel { app, deployment } => {
            let app = client.app(&app).await?;
            let canceled = client.cancel_deployment(&app.id, &deployment).await?;
            output.data(&canceled, || outcome(&canceled));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The named deployment, or the newest.
pub(super) async fn find(
    client: &Client,
    app: &str,
    deployment: Option<&str>,
) -> Result<Deployment, CliError> {
    if let Some(id) = deployment {
        client.deployment(app, id).await
    } else {
        let newest = client.newest_deployment(app).await?;
        newest.ok_or_else(|| CliError::Usage("the app has no deployment".into()))
    }
}

/// The keys are doctl's, where it has them.
pub(super) const COLUMNS: [Column<Deployment>; 7] = [
    Column::new("ID", "ID", |deployment| deployment.id.clone()),
    Column::new("Cause", "CAUSE", |deployment| deployment.cause.clone()),
    Column::new("Progress", "PROGRESS", progress),
    Column::new("Phase", "PHASE", |deployment| {
        deployment.phase.as_str().to_owned()
    }),
    Column::new("Reason", "REASON", |deployment| {
        let reason = deployment.reason.as_ref();
        reason.map_or(String::new(), |reason| {
            format!("{} ({})", reason.code, reason.cause)
        })
    }),
    Column::new("Created", "CREATED", |deployment| time(deployment.created_at)),
    Column::on_request("Updated", "UPDATED", |deployment| time(deployment.updated_at)),
];

/// "5/6 (errors: 1)".
fn progress(deployment: &Deployment) -> String {
    let progress = deployment.progress.clone().unwrap_or_default();
    let errors = if progress.error_steps > 0 {
        format!(" (errors: {})", progress.error_steps)
    } else {
        String::new()
    };
    format!("{}/{}{errors}", progress.success_steps, progress.total_steps)
}
