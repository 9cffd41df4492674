//! One file per group of commands.

mod accounts;
mod apps;
mod as_doctl;
mod auth;
mod backups;
mod databases;
mod deploy;
mod deployments;
mod exec;
mod explain;
mod jobs;
mod limits;
mod logs;
mod manual;
mod metrics;
mod rollback;
mod spec;
mod tokens;
mod users;

use std::{os::unix::process::CommandExt, path::Path, process::ExitCode};

use mainstay_api::{Deployment, Phase, Reason, StepStatus};
use mainstay_diagnosis::Severity;

use crate::{
    args::{Arguments, Command},
    client::Client,
    connection::Given,
    error::CliError,
    output::{Output, card},
    progress,
};

pub(crate) async fn run(arguments: Arguments, output: &Output) -> Result<ExitCode, CliError> {
    let given = Given::by(&arguments);
    let client = || given.connect();
    match arguments.command {
        Command::Deploy(deploy) => deploy::deploy(&client()?, output, deploy).await,
        Command::Apps(apps) => apps::run(&client()?, output, apps).await,
        Command::Deployments(deployments) => deployments::run(&client()?, output, deployments).await,
        Command::Jobs(jobs) => jobs::run(&client()?, output, jobs).await,
        Command::Limits { of } => limits::limits(&client()?, output, &of).await,
        Command::Account => accounts::who(&client()?, output).await,
        Command::Accounts(accounts) => accounts::run(&client()?, output, accounts).await,
        Command::Users(users) => users::run(&client()?, output, users).await,
        Command::Logs(logs) => logs::logs(&client()?, output, logs).await,
        Command::Exec(exec) => exec::exec(&client()?, exec).await,
        Command::Explain(explain) => explain::explain(client, output, explain).await,
        Command::Spec(spec) => spec::run(client, output, spec).await,
        Command::Databases(databases) => databases::run(&client()?, output, databases).await,
        Command::Tokens(tokens) => tokens::run(&client()?, output, tokens).await,
        Command::Audit { count, of } => tokens::audit(&client()?, output, count, &of).await,
        Command::Login(login) => auth::login(&given, output, &login).await,
        Command::Auth(auth) => auth::run(&given, output, auth).await,
        Command::Completion { shell } => manual::completion(shell),
        Command::Man(wish) => manual::manual(&wish),
        Command::Server { arguments } => Err(server(&arguments)),
    }
}

/// Becomes the server.
fn server(arguments: &[String]) -> CliError {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join("mainstay-server")));
    let program = beside
        .filter(|path| path.exists())
        .unwrap_or_else(|| "mainstay-server".into());
    let source = std::process::Command::new(&program).args(arguments).exec();
    CliError::Io {
        operation: format!("start {}", program.display()),
        source,
    }
}

/// Waits for the deployment and says how it ended; a failure is the reason's card and an exit status of 1. Red backups of the app's own databases
/// are warned of along with it.
async fn follow(client: &Client, output: &Output, app: &str, deployment: &str) -> Result<ExitCode, CliError> {
    let ended = progress::wait(client, app, deployment, output.is_json()).await?;
    output.data(&ended, || outcome(&ended));
    if ended.spec.databases.iter().any(|database| !database.production) {
        backups::warn_of_red(client, app).await;
    }
    Ok(exit_code(&ended))
}

fn exit_code(deployment: &Deployment) -> ExitCode {
    if deployment.phase == Phase::Active {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How a deployment ended, for people.
fn outcome(deployment: &Deployment) -> String {
    match deployment.phase {
        Phase::Error => failures(deployment),
        Phase::Superseded => {
            format!(
                "Deployment {} was superseded by {}.",
                deployment.id, deployment.superseded_by
            )
        }
        Phase::Canceled => format!("Deployment {} was canceled.", deployment.id),
        Phase::Active => {
            let troubles = troubles(deployment).map(|reason| format!("\n{}", card(reason)));
            format!(
                "Deployment {} is active.\n{}",
                deployment.id,
                troubles.collect::<String>()
            )
        }
        other => {
            let phase = other.as_str().to_lowercase().replace('_', " ");
            format!(
                "Deployment {} is {phase}.\n{}",
                deployment.id,
                known_so_far(deployment)
            )
        }
    }
}

/// What is wrong now with the components of a deployment that serves.
fn troubles(deployment: &Deployment) -> impl Iterator<Item = &Reason> {
    let reasons = deployment.run_reasons.iter();
    reasons.filter(|reason| reason.resolved_at.is_none())
}

/// What is known already of steps that are still going on.
fn known_so_far(deployment: &Deployment) -> String {
    let steps = deployment.progress.iter().flat_map(|progress| &progress.steps);
    let running = steps
        .flat_map(mainstay_api::Step::leaves)
        .filter(|leaf| leaf.status == StepStatus::Running);
    running
        .filter_map(|leaf| leaf.reason.as_ref())
        .map(|reason| format!("\n{}", card(reason)))
        .collect()
}

/// The cards of all failed steps, the first cause first.
fn failures(deployment: &Deployment) -> String {
    let steps = deployment.progress.iter().flat_map(|progress| &progress.steps);
    let reasons = steps
        .flat_map(mainstay_api::Step::leaves)
        .filter_map(|leaf| leaf.reason.as_ref());
    let failed = reasons.filter(|reason| {
        reason
            .code()
            .is_none_or(|code| code.severity() == Severity::Failure)
    });
    let cards: Vec<String> = failed.map(card).collect();
    match (cards.is_empty(), &deployment.reason) {
        (false, _) => cards.join("\n"),
        (true, Some(reason)) => card(reason),
        (true, None) => format!("Deployment {} failed.", deployment.id),
    }
}

/// The text of a file; `-` is standard input.
fn read(file: &Path) -> Result<String, CliError> {
    if file == Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).map_err(CliError::io("read standard input"));
    }
    std::fs::read_to_string(file).map_err(CliError::io(format!("read {}", file.display())))
}
