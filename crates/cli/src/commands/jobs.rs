//! `mainstay jobs`.

use std::{process::ExitCode, time::Duration};

use jiff::Timestamp;
use mainstay_api::{JobInvocation, JobInvocationPhase, JobTriggerType};

use super::logs;
use crate::{
    args::Jobs,
    client::Client,
    error::CliError,
    output::{Output, card, table},
};

const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) async fn run(client: &Client, output: &Output, command: Jobs) -> Result<ExitCode, CliError> {
    match command {
        Jobs::List { app, job, deployment } => {
            let app = client.app(&app).await?;
            let runs = client.invocations(&app.id, &job, deployment.as_deref()).await?;
            output.data(&runs, || {
                let rows: Vec<_> = runs.iter().map(row).collect();
                let columns = [
                    "ID",
                    "JOB",
                    "TRIGGER",
                    "PHASE",
                    "REASON",
                    "DUE",
                    "STARTED",
                    "COMPLETED",
                ];
                table(&columns, &rows)
            });
            Ok(ExitCode::SUCCESS)
        }
        Jobs::Get { app, run } => {
            let app = client.app(&app).await?;
            let found = client.invocation(&app.id, &run).await?;
            output.data(&found, || outcome(&found));
            Ok(ExitCode::SUCCESS)
        }
        Jobs::Run { app, job, wait } => {
            let app = client.app(&app).await?;
            let mut run = client.run_job(&app.id, &job).await?;
            while wait && !is_over(run.phase) {
                tokio::time::sleep(LOOK_EVERY).await;
                run = client.invocation(&app.id, &run.id).await?;
            }
            output.data(&run, || outcome(&run));
            Ok(exit_code(&run))
        }
        Jobs::Cancel { app, run } => {
            let app = client.app(&app).await?;
            let canceled = client.cancel_invocation(&app.id, &run).await?;
            output.data(&canceled, || outcome(&canceled));
            Ok(ExitCode::SUCCESS)
        }
        Jobs::Logs {
            app,
            run,
            follow,
            tail,
        } => {
            let app = client.app(&app).await?;
            let run = client.invocation(&app.id, &run).await?;
            logs::of_run(client, output, &app.id, &run, follow, tail).await
        }
    }
}

fn is_over(phase: JobInvocationPhase) -> bool {
    !matches!(phase, JobInvocationPhase::Pending | JobInvocationPhase::Running)
}

fn exit_code(run: &JobInvocation) -> ExitCode {
    if run.phase == JobInvocationPhase::Succeeded || !is_over(run.phase) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn outcome(run: &JobInvocation) -> String {
    let state = run.phase.as_str().to_lowercase();
    let line = format!("Run {} of job {} is {state}.", run.id, run.job_name);
    let line = [line.as_str(), &run.note].join(" ");
    match &run.reason {
        Some(reason) => format!("{}\n\n{}", line.trim_end(), card(reason)),
        None => line.trim_end().to_owned(),
    }
}

fn row(run: &JobInvocation) -> Vec<String> {
    let trigger = match run.trigger.as_ref().map(|trigger| trigger.r#type) {
        None | Some(JobTriggerType::Unknown) => "deployment",
        Some(JobTriggerType::Scheduled) => "schedule",
        Some(JobTriggerType::Manual) => "by hand",
    };
    let scheduled = run
        .trigger
        .as_ref()
        .and_then(|trigger| trigger.scheduled.as_ref());
    let due = scheduled.and_then(|scheduled| scheduled.due_at);
    let time = |at: Option<Timestamp>| at.map_or(String::new(), |at| at.strftime("%F %T").to_string());
    vec![
        run.id.clone(),
        run.job_name.clone(),
        trigger.to_owned(),
        run.phase.as_str().to_owned(),
        run.reason.as_ref().map_or_else(
            || run.note.clone(),
            |reason| format!("{} ({})", reason.code, reason.cause),
        ),
        time(due),
        time(run.started_at),
        time(run.completed_at),
    ]
}
