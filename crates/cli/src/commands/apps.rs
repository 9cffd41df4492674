//! `mainstay apps`.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use mainstay_api::{App, AppResponse, Deployment, Instance, InstanceEvent};
use mainstay_spec::{AppSpec, Sources};

use super::{
    as_doctl,
    deploy::{self, update},
    follow, metrics,
    rollback::{self, How},
    spec::{load, warn},
    troubles,
};
use crate::{
    args::Apps,
    client::Client,
    error::CliError,
    output::{Column, Output, card, time},
};

pub(super) async fn run(client: &Client, output: &Output, command: Apps) -> Result<ExitCode, CliError> {
    match command {
        Apps::Create {
            spec: file,
            upsert,
            allow_losses,
            wait,
        } => {
            output.check(&COLUMNS)?;
            let spec = load_and_warn(&file)?;
            let created = if upsert {
                deploy::create_or_update(client, &spec, allow_losses).await?
            } else {
                client.create_app(&spec).await?
            };
            accepted(client, output, &created, wait).await
        }
        Apps::Update {
            app,
            spec: file,
            update_sources,
            allow_losses,
            wait,
        } => {
            output.check(&COLUMNS)?;
            let spec = load_and_warn(&file)?;
            let app = client.app(&app).await?;
            let updated = update(client, &app, &spec, update_sources, allow_losses).await?;
            accepted(client, output, &updated, wait).await
        }
        Apps::List => list(client, output).await,
        Apps::Get { app } => {
            let app = client.app(&app).await?;
            output.one(&app, &COLUMNS, || describe(&app))?;
            Ok(ExitCode::SUCCESS)
        }
        Apps::Delete {
            app,
            force,
            delete_databases,
        } => delete(client, output, &app, force, delete_databases).await,
        Apps::Restart {
            app,
            components,
            wait,
        } => {
            let app = client.app(&app).await?;
            let deployment = client.restart_app(&app.id, &components).await?;
            if wait {
                return follow(client, output, &app.id, &deployment.id).await;
            }
            output.data(&deployment, || deployment.id.clone());
            Ok(ExitCode::SUCCESS)
        }
        Apps::Rollback {
            app,
            deployment,
            skip_pin,
            validate,
            wait,
        } => {
            let how = if validate {
                How::Validate
            } else {
                How::Deploy { skip_pin, wait }
            };
            rollback::roll_back(client, output, &app, deployment, how).await
        }
        Apps::CommitRollback { app } => rollback::commit(client, output, &app).await,
        Apps::RevertRollback { app, wait } => rollback::revert(client, output, &app, wait).await,
        Apps::Instances { app } => instances(client, output, &app).await,
        Apps::Events {
            app,
            component,
            count,
        } => events(client, output, &app, component.as_deref(), count).await,
        Apps::Metrics { app, component } => metrics::last(client, output, &app, component.as_deref()).await,
        Apps::AsDoctl(command) => as_doctl::run(client, output, command).await,
    }
}

/// Warnings are shown with their places in the user's file; the server's would name places of what was sent.
fn load_and_warn(file: &Path) -> Result<AppSpec, CliError> {
    let parsed = load(file, Sources::Required)?;
    warn(&parsed, file);
    Ok(parsed.spec)
}

async fn accepted(
    client: &Client,
    output: &Output,
    answer: &AppResponse,
    wait: bool,
) -> Result<ExitCode, CliError> {
    if wait {
        return follow(client, output, &answer.app.id, &answer.deployment_id).await;
    }
    output.one(&answer.app, &COLUMNS, || describe(&answer.app))?;
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    let apps = client.apps().await?;
    output.list(&apps, &COLUMNS)?;
    Ok(ExitCode::SUCCESS)
}

/// The keys are doctl's, where it has them.
const COLUMNS: [Column<App>; 8] = [
    Column::new("ID", "ID", |app| app.id.clone()),
    Column::new("Spec.Name", "NAME", |app| app.spec.name.clone()),
    Column::new("State", "STATE", state),
    Column::new("DefaultIngress", "URL", |app| app.default_ingress.clone()),
    Column::on_request("ActiveDeployment.ID", "ACTIVE DEPLOYMENT", |app| {
        id_of(app.active_deployment.as_ref())
    }),
    Column::on_request("InProgressDeployment.ID", "IN PROGRESS DEPLOYMENT", |app| {
        id_of(app.in_progress_deployment.as_ref())
    }),
    Column::on_request("Created", "CREATED", |app| time(app.created_at)),
    Column::new("Updated", "UPDATED", |app| time(app.updated_at)),
];

fn id_of(deployment: Option<&Deployment>) -> String {
    deployment.map_or(String::new(), |deployment| deployment.id.clone())
}

fn state(app: &App) -> String {
    let at_work = app
        .in_progress_deployment
        .as_ref()
        .or(app.pending_deployment.as_ref());
    let word = |deployment: &Deployment| deployment.phase.as_str().to_lowercase().replace('_', " ");
    match (&app.active_deployment, at_work) {
        (Some(active), None) => serving(active).into(),
        (Some(active), Some(deployment)) => format!("{}, {}", serving(active), word(deployment)),
        (None, Some(deployment)) => word(deployment),
        (None, None) => "never active".into(),
    }
}

fn serving(active: &Deployment) -> &'static str {
    if troubles(active).next().is_some() {
        "unhealthy"
    } else {
        "active"
    }
}

fn describe(app: &App) -> String {
    let id = |deployment: &Option<Deployment>| {
        deployment
            .as_ref()
            .map_or("-".to_owned(), |found| found.id.clone())
    };
    let rows = [
        ("ID", app.id.clone()),
        ("Name", app.spec.name.clone()),
        ("State", state(app)),
        ("URL", app.default_ingress.clone()),
        ("Active", id(&app.active_deployment)),
        ("In progress", id(&app.in_progress_deployment)),
        ("Pending", id(&app.pending_deployment)),
    ];
    let troubles = app.active_deployment.iter().flat_map(troubles);
    let troubles = troubles.map(|reason| format!("\n{}", card(reason)));
    rows.iter()
        .map(|(label, value)| format!("{label:<12} {value}\n"))
        .chain(troubles)
        .collect()
}

async fn delete(
    client: &Client,
    output: &Output,
    app: &str,
    force: bool,
    with_databases: bool,
) -> Result<ExitCode, CliError> {
    let app = client.app(app).await?;
    let what = if with_databases {
        "its deployments, its logs and the data of its databases"
    } else {
        "all its deployments and logs"
    };
    if !force && !confirmed(&format!("Delete app {} with {what}?", app.spec.name))? {
        return Err(CliError::Usage("nothing was deleted".into()));
    }
    let answer = client.delete_app(&app.id, with_databases).await?;
    output.data(&answer, || format!("{} is being deleted", app.spec.name));
    Ok(ExitCode::SUCCESS)
}

fn confirmed(question: &str) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "give --force to delete without being asked".into(),
        ));
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush().map_err(CliError::io("ask"))?;
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(CliError::io("read the answer"))?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

async fn events(
    client: &Client,
    output: &Output,
    app: &str,
    component: Option<&str>,
    count: u32,
) -> Result<ExitCode, CliError> {
    let app = client.app(app).await?;
    let mut events = client.instance_events(&app.id, component, count).await?;
    events.reverse();
    output.data(&events, || events.iter().map(event_line).collect());
    Ok(ExitCode::SUCCESS)
}

/// "2026-11-26 05:10:00  web-0  EXITED  exited with code 3  (ContainerExitNonZero: exited_with_error)".
fn event_line(event: &InstanceEvent) -> String {
    let at = time(event.created_at);
    let reason = if event.reason_code.is_empty() {
        String::new()
    } else {
        format!("  ({}: {})", event.reason_code, event.reason_cause)
    };
    format!(
        "{at}  {}  {:<15}  {}{reason}\n",
        event.instance_alias,
        event.r#type.as_str().to_lowercase().replace('_', " "),
        event.message
    )
}

async fn instances(client: &Client, output: &Output, app: &str) -> Result<ExitCode, CliError> {
    let app = client.app(app).await?;
    let instances = client.instances(&app.id).await?;
    output.list(&instances, &INSTANCE_COLUMNS)?;
    let reasons = instances.iter().filter_map(|instance| instance.reason.as_ref());
    let open = reasons.filter(|reason| reason.resolved_at.is_none());
    output.text(&open.map(card).collect::<String>());
    Ok(ExitCode::SUCCESS)
}

const INSTANCE_COLUMNS: [Column<Instance>; 6] = [
    Column::new("Name", "NAME", |instance| instance.instance_alias.clone()),
    Column::new("ComponentName", "COMPONENT", |instance| {
        instance.component_name.clone()
    }),
    Column::on_request("ComponentType", "TYPE", |instance| {
        instance.component_type.as_str().to_lowercase()
    }),
    Column::new("State", "STATE", |instance| {
        instance.state.as_str().to_lowercase()
    }),
    Column::new("Started", "STARTED", |instance| time(instance.started_at)),
    Column::new("ID", "ID", |instance| instance.instance_id.clone()),
];
