//! `mainstay jobs`.

use std::{process::ExitCode, time::Duration};

use jiff::Timestamp;
use mainstay_api::{JobInvocation, JobInvocationPhase, JobTriggerType};

use super::logs;
use crate::{
    args::Jobs,
    client::Client,
    error::CliError,
    output::{Column, Output, card, time},
};

const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) async fn run(client: &Client, output: &Output, command: Jobs) -> Result<ExitCode, CliError> {
    match command {
        Jobs::List { app, job, deployment } => {
            let app = client.app(&app).await?;
            let runs = client.invocations(&app.id, &job, deployment.as_deref()).await?;
            output.list(&runs, &COLUMNS)?;
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
            let reading = logs::Reading {
                follow,
                tail,
                no_prefix: false,
            };
            logs::of_run(client, output, &app.id, &run, reading).await
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

pub(super) fn outcome(run: &JobInvocation) -> String {
    let state = run.phase.as_str().to_lowercase();
    let line = format!("Run {} of job {} is {state}.", run.id, run.job_name);
    let line = [line.as_str(), &run.note].join(" ");
    match &run.reason {
        Some(reason) => format!("{}\n\n{}", line.trim_end(), card(reason)),
        None => line.trim_end().to_owned(),
    }
}

/// The keys are doctl's, where it has them.
pub(super) const COLUMNS: [Column<JobInvocation>; 9] = [
    Column::new("ID", "ID", |run| run.id.clone()),
    Column::new("Jobname", "JOB", |run| run.job_name.clone()),
    Column::new("Trigger", "TRIGGER", trigger),
    Column::new("Phase", "PHASE", |run| run.phase.as_str().to_owned()),
    Column::new("Reason", "REASON", |run| {
        let reason = run.reason.as_ref();
        reason.map_or_else(
            || run.note.clone(),
            |reason| format!("{} ({})", reason.code, reason.cause),
        )
    }),
    Column::new("Due", "DUE", |run| time(due(run))),
    Column::on_request("Created", "CREATED", |run| time(run.created_at)),
    Column::new("Started", "STARTED", |run| time(run.started_at)),
    Column::new("Completed", "COMPLETED", |run| time(run.completed_at)),
];

fn due(run: &JobInvocation) -> Option<Timestamp> {
    let trigger = run.trigger.as_ref()?;
    trigger.scheduled.as_ref()?.due_at
}

fn trigger(run: &JobInvocation) -> String {
    match run.trigger.as_ref().map(|trigger| trigger.r#type) {
        None | Some(JobTriggerType::Unknown) => "deployment",
        Some(JobTriggerType::Scheduled) => "schedule",
        Some(JobTriggerType::Manual) => "by hand",
    }
    .to_owned()
}
