//! `mainstay databases backup` and `mainstay databases backups`.

use std::{process::ExitCode, time::Duration};

use mainstay_api::{BackupFailure, BackupState, DatabaseBackup};

use crate::{
    args::Backups,
    client::Client,
    error::CliError,
    output::{Column, Output, time},
};

const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) async fn run(client: &Client, output: &Output, command: Backups) -> Result<ExitCode, CliError> {
    match command {
        Backups::List { database, app } => {
            let app = client.app(&app).await?;
            output.list(&client.backups(&app.id, &database).await?, &COLUMNS)?;
        }
        Backups::Get {
            database,
            backup,
            app,
        } => {
            let app = client.app(&app).await?;
            let backup = client.backup(&app.id, &database, &backup).await?;
            output.data(&backup, || shown(&backup));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for its end, unless nobody wants to.
pub(super) async fn make(
    client: &Client,
    output: &Output,
    app: &str,
    database: &str,
    wait: bool,
) -> Result<ExitCode, CliError> {
    let app = client.app(app).await?;
    let mut backup = client.back_up(&app.id, database).await?;
    while wait && !is_over(backup.state) {
        tokio::time::sleep(LOOK_EVERY).await;
        backup = client.backup(&app.id, database, &backup.id).await?;
    }
    output.data(&backup, || shown(&backup));
    Ok(if backup.state == BackupState::Failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn is_over(state: BackupState) -> bool {
    matches!(state, BackupState::Good | BackupState::Failed)
}

fn shown(backup: &DatabaseBackup) -> String {
    let mut text = format!("{}  {}\n", backup.id, state(backup));
    if !backup.sha256.is_empty() {
        text.push_str(&format!(
            "{} bytes, sha256 {}\n{} rows in {} tables\n",
            backup.size_bytes,
            backup.sha256,
            backup.rows,
            backup.tables.len()
        ));
    }
    for table in &backup.tables {
        text.push_str(&format!("  {}.{}  {}\n", table.schema, table.name, table.rows));
    }
    text
}

const COLUMNS: [Column<DatabaseBackup>; 6] = [
    Column::new("ID", "ID", |backup| backup.id.clone()),
    Column::new("Created", "CREATED (UTC)", |backup| time(backup.created_at)),
    Column::new("Cause", "CAUSE", |backup| backup.cause.to_string().to_lowercase()),
    Column::new("Bytes", "BYTES", |backup| backup.size_bytes.to_string()),
    Column::new("Rows", "ROWS", |backup| backup.rows.to_string()),
    Column::new("State", "STATE", state),
];

/// "GOOD"; "FAILED (CHECKSUM): its file is not what was written".
pub(super) fn state(backup: &DatabaseBackup) -> String {
    match backup.failure {
        BackupFailure::Unknown => backup.state.to_string(),
        failure => format!("{} ({failure}): {}", backup.state, backup.message),
    }
}
