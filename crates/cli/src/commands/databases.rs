//! `mainstay databases`.

use std::{io::IsTerminal, process::ExitCode};

use mainstay_api::{AppDatabase, DatabaseCluster, RegisterDatabaseRequest};
use serde_json::json;

use super::{
    backups,
    logs::{self, Reading},
};
use crate::{
    args::{Databases, Register},
    client::Client,
    error::CliError,
    output::{Column, Output},
    secret_input,
};

pub(super) async fn run(client: &Client, output: &Output, command: Databases) -> Result<ExitCode, CliError> {
    match command {
        Databases::List { app: None } => {
            output.list(&client.clusters().await?, &CLUSTERS)?;
        }
        Databases::Register(wish) => {
            let cluster = client.register_cluster(&request(wish)?).await?;
            output.data(&cluster, || shown(&cluster));
        }
        Databases::Get { name, app: None } => {
            let cluster = client.cluster(&name).await?;
            output.data(&cluster, || shown(&cluster));
        }
        Databases::Get { name, app: Some(app) } => {
            let app = client.app(&app).await?;
            let mut databases = client.app_databases(&app.id).await?.into_iter();
            let database = databases.find(|database| database.name == name || database.id == name);
            let database = database.ok_or_else(|| {
                CliError::Usage(format!(
                    "the platform runs no database `{name}` for {}",
                    app.spec.name
                ))
            })?;
            output.data(&database, || shown_of_app(&database));
        }
        Databases::Remove { name } => {
            client.remove_cluster(&name).await?;
            let told = || format!("Cluster {name} is forgotten; nothing at it was changed.");
            output.data(&json!({ "id": name }), told);
        }
        Databases::List { app: Some(app) } => {
            let app = client.app(&app).await?;
            output.list(&client.app_databases(&app.id).await?, &OF_APP)?;
        }
        Databases::Backup { name, app, no_wait } => {
            return backups::make(client, output, &app, &name, !no_wait).await;
        }
        Databases::Restore {
            name,
            backup,
            app,
            replace_data,
            no_wait,
        } => {
            let wish = backups::Restore {
                app: &app,
                database: &name,
                backup: &backup,
                replace_data,
                wait: !no_wait,
            };
            return backups::restore(client, output, &wish).await;
        }
        Databases::Restores { name, app } => return backups::restores(client, output, &app, &name).await,
        Databases::Backups(command) => return backups::run(client, output, command).await,
        Databases::Delete {
            name,
            app,
            delete_data,
        } => {
            let app = client.app(&app).await?;
            client.delete_app_database(&app.id, &name, delete_data).await?;
            let told = || format!("Database {name}, its data and its backups are deleted.");
            output.data(&json!({ "id": name }), told);
        }
        Databases::Logs {
            name,
            app,
            follow,
            tail,
        } => {
            let app = client.app(&app).await?;
            let reading = Reading {
                follow,
                tail,
                no_prefix: false,
            };
            return logs::of_database(client, output, &app.id, &name, reading).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn request(wish: Register) -> Result<RegisterDatabaseRequest, CliError> {
    let password = password(&wish)?;
    let ca_certificate = wish.server_ca_file.as_deref().map(super::read).transpose()?;
    Ok(RegisterDatabaseRequest {
        name: wish.name,
        engine: wish.engine,
        version: wish.version,
        host: wish.host,
        port: wish.port.unwrap_or(0),
        user: wish.user,
        password,
        database: wish.database,
        ca_certificate: ca_certificate.unwrap_or_default(),
        without_tls: wish.without_tls,
        replace: wish.replace,
        unchecked: wish.unchecked,
    })
}

/// Of the file or of standard input. A terminal is asked; where nobody can be asked, nothing is read that was not said to be there.
fn password(wish: &Register) -> Result<String, CliError> {
    if let Some(file) = &wish.password_file {
        let text = super::read(file)?;
        return Ok(text.lines().next().unwrap_or_default().to_owned());
    }
    if !wish.password_stdin && !std::io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "say where the password comes from: --password-stdin or --password-file".into(),
        ));
    }
    secret_input::read_line("Password").map_err(CliError::io("read the password"))
}

fn shown(cluster: &DatabaseCluster) -> String {
    let uri = cluster
        .connection
        .as_ref()
        .map(|connection| connection.uri.as_str());
    let apps = match cluster.app_names.as_slice() {
        [] => "no app".to_owned(),
        names => names.join(", "),
    };
    format!(
        "{} ({}), {}\nin use by {apps}",
        cluster.name,
        cluster.engine,
        uri.unwrap_or_default()
    )
}

fn shown_of_app(database: &AppDatabase) -> String {
    let use_of_it = if database.is_in_use {
        "in use"
    } else {
        "not in use"
    };
    let backup = match backups::newest(database) {
        text if text.is_empty() => "none yet".to_owned(),
        text => text,
    };
    format!(
        "{} ({} {}), {}, {use_of_it}\ndatabase {} of user {}, on a volume of {} MiB\nlast backup: {backup}",
        database.name,
        database.engine,
        database.version,
        state(database),
        database.db_name,
        database.db_user,
        database.disk_bytes >> 20,
    )
}

const CLUSTERS: [Column<DatabaseCluster>; 5] = [
    Column::new("Name", "NAME", |cluster| cluster.name.clone()),
    Column::new("Engine", "ENGINE", |cluster| cluster.engine.clone()),
    Column::new("URI", "ADDRESS", |cluster| {
        let connection = cluster.connection.as_ref();
        connection
            .map(|connection| connection.uri.clone())
            .unwrap_or_default()
    }),
    Column::new("Apps", "APPS", |cluster| cluster.app_names.join(",")),
    Column::new("ID", "ID", |cluster| cluster.id.clone()),
];

const OF_APP: [Column<AppDatabase>; 6] = [
    Column::new("Name", "NAME", |database| database.name.clone()),
    Column::new("Engine", "ENGINE", |database| {
        format!("{} {}", database.engine, database.version)
    }),
    Column::new("State", "STATE", state),
    Column::new("InUse", "IN USE", |database| {
        if database.is_in_use { "yes" } else { "no" }.to_owned()
    }),
    Column::new("LastBackup", "LAST BACKUP", backups::newest),
    Column::new("ID", "ID", |database| database.id.clone()),
];

fn state(database: &AppDatabase) -> String {
    match database.message.as_str() {
        "" => database.state.to_string(),
        message => format!("{}: {message}", database.state),
    }
}
