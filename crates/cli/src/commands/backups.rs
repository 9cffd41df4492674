//! `mainstay databases backup` and `mainstay databases backups`.

use std::{process::ExitCode, time::Duration};

use mainstay_api::{AppDatabase, BackupFailure, BackupState, DatabaseBackup, DatabaseRestore, RestoreState};

use crate::{
    args::Backups,
    client::Client,
    error::CliError,
    output::{Column, Output, time},
};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Instead of a backup's id.
const LATEST: &str = "latest";

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

/// What `mainstay databases restore` was asked for.
pub(super) struct Restore<'a> {
    pub(super) app: &'a str,
    pub(super) database: &'a str,
    /// An id, or "latest".
    pub(super) backup: &'a str,
    pub(super) replace_data: bool,
    pub(super) wait: bool,
}

/// Waits for its end, unless nobody wants to.
pub(super) async fn restore(
    client: &Client,
    output: &Output,
    wish: &Restore<'_>,
) -> Result<ExitCode, CliError> {
    let app = client.app(wish.app).await?;
    let backup = match wish.backup {
        LATEST => newest_good(&client.backups(&app.id, wish.database).await?)?,
        id => id.to_owned(),
    };
    let mut restore = client
        .restore(&app.id, wish.database, &backup, wish.replace_data)
        .await?;
    while wish.wait && !matches!(restore.state, RestoreState::Done | RestoreState::Failed) {
        tokio::time::sleep(LOOK_EVERY).await;
        let restores = client.restores(&app.id, wish.database).await?;
        let same = restores.into_iter().find(|one| one.id == restore.id);
        restore = same.ok_or_else(|| CliError::Usage("the restore is not known any more".into()))?;
    }
    output.data(&restore, || {
        format!(
            "restore {} of {}: {}",
            restore.id,
            wish.database,
            restore_state(&restore)
        )
    });
    Ok(if restore.state == RestoreState::Failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn newest_good(backups: &[DatabaseBackup]) -> Result<String, CliError> {
    let good = backups.iter().find(|backup| backup.state == BackupState::Good);
    good.map(|backup| backup.id.clone())
        .ok_or_else(|| CliError::Usage("there is no good backup".into()))
}

pub(super) async fn restores(
    client: &Client,
    output: &Output,
    app: &str,
    database: &str,
) -> Result<ExitCode, CliError> {
    let app = client.app(app).await?;
    output.list(&client.restores(&app.id, database).await?, &RESTORES)?;
    Ok(ExitCode::SUCCESS)
}

const RESTORES: [Column<DatabaseRestore>; 4] = [
    Column::new("ID", "ID", |restore| restore.id.clone()),
    Column::new("Created", "CREATED (UTC)", |restore| time(restore.created_at)),
    Column::new("Backup", "BACKUP", |restore| restore.backup_id.clone()),
    Column::new("State", "STATE", restore_state),
];

fn restore_state(restore: &DatabaseRestore) -> String {
    match (restore.failure, restore.message.as_str()) {
        (BackupFailure::Unknown, "") => restore.state.to_string(),
        (BackupFailure::Unknown, message) => format!("{}: {message}", restore.state),
        (failure, message) => format!("{} ({failure}): {message}", restore.state),
    }
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

/// The newest of a database that is over; of a failed one also what there is to go back to. Empty where there is none.
pub(super) fn newest(database: &AppDatabase) -> String {
    let Some(backup) = &database.last_backup else {
        return String::new();
    };
    let told = format!("{} {}", time(backup.finished_at), state(backup));
    match (backup.state, database.last_good_backup_at) {
        (BackupState::Failed, None) => format!("{told}; there is no good one"),
        (BackupState::Failed, good) => format!("{told}; the last good one is of {}", time(good)),
        _ => told,
    }
}

/// One line for each database of the app whose newest backup is red: nobody looks for them every day. Where the server does not say, nothing
/// is told: whoever asked for something else has it.
pub(super) async fn warn_of_red(client: &Client, app: &str) {
    let databases = client.app_databases(app).await.unwrap_or_default();
    let is_red = |database: &&AppDatabase| {
        let backup = database.last_backup.as_ref();
        backup.is_some_and(|backup| backup.state == BackupState::Failed)
    };
    for database in databases.iter().filter(is_red) {
        eprintln!(
            "warning: last backup of database {}: {}",
            database.name,
            newest(database)
        );
    }
}

/// "GOOD"; "FAILED (CHECKSUM): its file is not what was written".
fn state(backup: &DatabaseBackup) -> String {
    match backup.failure {
        BackupFailure::Unknown => backup.state.to_string(),
        failure => format!("{} ({failure}): {}", backup.state, backup.message),
    }
}
