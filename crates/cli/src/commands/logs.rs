//! `mainstay logs`.

use std::{io::Write, process::ExitCode};

use futures_util::StreamExt;
use mainstay_api::JobInvocation;

use crate::{
    args::{LogKind, Logs},
    client::{Client, escaped},
    error::CliError,
    output::Output,
};

pub(super) async fn logs(client: &Client, output: &Output, wish: Logs) -> Result<ExitCode, CliError> {
    let app = client.app(&wish.app).await?;
    show(client, output, &app.id, &path(&wish), wish.follow).await
}

/// The log of one run of a job.
pub(super) async fn of_run(
    client: &Client,
    output: &Output,
    app: &str,
    run: &JobInvocation,
    follow: bool,
    tail: Option<u32>,
) -> Result<ExitCode, CliError> {
    let path = format!(
        "/jobs/{}/invocations/{}/logs?type=JOB_INVOCATION{}",
        escaped(&run.job_name),
        escaped(&run.id),
        reading(follow, tail)
    );
    show(client, output, app, &path, follow).await
}

async fn show(
    client: &Client,
    output: &Output,
    app: &str,
    path: &str,
    follow: bool,
) -> Result<ExitCode, CliError> {
    let links = client.log_links(app, path).await?;
    let link = if follow {
        Some(&links.live_url)
    } else {
        links.historic_urls.first()
    };
    let Some(link) = link.filter(|link| !link.is_empty()) else {
        return Err(CliError::Usage("there is no such log".into()));
    };
    if output.is_json() {
        output.data(&links, String::new);
        return Ok(ExitCode::SUCCESS);
    }
    let mut body = client.open(link).await?.bytes_stream();
    let mut stdout = std::io::stdout();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| CliError::NotUnderstood {
            message: error.to_string(),
        })?;
        // A reader that went away (`| head`) wants no more.
        if stdout.write_all(&chunk).and_then(|()| stdout.flush()).is_err() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(wish: &Logs) -> String {
    let mut path = String::new();
    if let Some(deployment) = &wish.deployment {
        path += &format!("/deployments/{}", escaped(deployment));
    }
    if let Some(component) = &wish.component {
        path += &format!("/components/{}", escaped(component));
    }
    let kind = match wish.r#type {
        LogKind::Build => "BUILD",
        LogKind::Deploy => "DEPLOY",
        LogKind::Run => "RUN",
        LogKind::RunRestarted => "RUN_RESTARTED",
    };
    format!("{path}/logs?type={kind}{}", reading(wish.follow, wish.tail))
}

fn reading(follow: bool, tail: Option<u32>) -> String {
    let tail = tail.map_or(String::new(), |lines| format!("&tail_lines={lines}"));
    format!("&follow={follow}{tail}")
}
