//! `mainstay databases`.

use std::process::ExitCode;

use mainstay_api::AppDatabase;
use serde_json::json;

use super::logs::{self, Reading};
use crate::{
    args::Databases,
    client::Client,
    error::CliError,
    output::{Column, Output},
};

pub(super) async fn run(client: &Client, output: &Output, command: Databases) -> Result<ExitCode, CliError> {
    match command {
        Databases::List { app } => {
            let app = client.app(&app).await?;
            output.list(&client.app_databases(&app.id).await?, &OF_APP)?;
        }
        Databases::Delete {
            name,
            app,
            delete_data,
        } => {
            let app = client.app(&app).await?;
            client.delete_app_database(&app.id, &name, delete_data).await?;
            let told = || format!("Database {name} and its data are deleted.");
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

const OF_APP: [Column<AppDatabase>; 5] = [
    Column::new("Name", "NAME", |database| database.name.clone()),
    Column::new("Engine", "ENGINE", |database| {
        format!("{} {}", database.engine, database.version)
    }),
    Column::new("State", "STATE", state),
    Column::new("InUse", "IN USE", |database| {
        if database.is_in_use { "yes" } else { "no" }.to_owned()
    }),
    Column::new("ID", "ID", |database| database.id.clone()),
];

fn state(database: &AppDatabase) -> String {
    match database.message.as_str() {
        "" => database.state.to_string(),
        message => format!("{}: {message}", database.state),
    }
}
