//! `/v2/mainstay/apps/{app_id}/databases/{database_name}/backups`, and `…/restores`.

use axum::{Json, extract::State};
use mainstay_api::{
    BackupCause, BackupFailure, BackupResponse, BackupState, BackupTable, BackupsResponse, DatabaseBackup,
    DatabaseRestore, RestoreResponse, RestoreState, RestoresResponse,
};
use mainstay_spec::ids::{AppId, BackupId};
use mainstay_store as store;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    ApiError,
    extract::{Path, Query},
};
use crate::app::Application;

pub(crate) async fn begin(
    State(application): State<Application>,
    Path((app, name)): Path<(AppId, String)>,
) -> Result<Json<BackupResponse>, ApiError> {
    let backup = application.back_up(app, &name).await?;
    Ok(Json(BackupResponse {
        backup: whole(backup),
    }))
}

pub(crate) async fn list(
    State(application): State<Application>,
    Path((app, name)): Path<(AppId, String)>,
) -> Result<Json<BackupsResponse>, ApiError> {
    let backups = application.backups(app, &name).await?;
    Ok(Json(BackupsResponse {
        backups: backups.into_iter().map(short).collect(),
    }))
}

pub(crate) async fn get(
    State(application): State<Application>,
    Path((app, name, id)): Path<(AppId, String, BackupId)>,
) -> Result<Json<BackupResponse>, ApiError> {
    let backup = application.backup(app, &name, id).await?;
    Ok(Json(BackupResponse {
        backup: whole(backup),
    }))
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct RestoreQuery {
    /// The present data is to be replaced.
    #[serde(default)]
    replace_data: bool,
}

pub(crate) async fn restore(
    State(application): State<Application>,
    Path((app, name, id)): Path<(AppId, String, BackupId)>,
    Query(query): Query<RestoreQuery>,
) -> Result<Json<RestoreResponse>, ApiError> {
    let row = application.restore(app, &name, id, query.replace_data).await?;
    Ok(Json(RestoreResponse {
        restore: restored(row),
    }))
}

pub(crate) async fn restores(
    State(application): State<Application>,
    Path((app, name)): Path<(AppId, String)>,
) -> Result<Json<RestoresResponse>, ApiError> {
    let rows = application.restores(app, &name).await?;
    Ok(Json(RestoresResponse {
        restores: rows.into_iter().map(restored).collect(),
    }))
}

fn restored(row: store::RestoreRow) -> DatabaseRestore {
    DatabaseRestore {
        id: row.id.to_string(),
        backup_id: row.backup.to_string(),
        state: match row.state {
            store::RestoreState::Pending => RestoreState::Pending,
            store::RestoreState::Restoring => RestoreState::Restoring,
            store::RestoreState::Switching => RestoreState::Switching,
            store::RestoreState::Done => RestoreState::Done,
            store::RestoreState::Failed => RestoreState::Failed,
        },
        failure: row.failure.map(failure).unwrap_or_default(),
        message: row.message,
        created_at: Some(row.created_at),
        finished_at: row.finished_at,
    }
}

/// With its tables.
fn whole(mut row: store::BackupRow) -> DatabaseBackup {
    let tables = std::mem::take(&mut row.tables);
    let rows = tables.iter().map(|table| table.rows).sum();
    let table = |table: store::TableRows| BackupTable {
        schema: table.schema,
        name: table.name,
        rows: table.rows,
    };
    DatabaseBackup {
        rows,
        tables: tables.into_iter().map(table).collect(),
        ..short(row)
    }
}

/// Without.
pub(super) fn short(row: store::BackupRow) -> DatabaseBackup {
    DatabaseBackup {
        id: row.id.to_string(),
        state: state(row.state),
        cause: match row.cause {
            store::BackupCause::Manual => BackupCause::Manual,
            store::BackupCause::Schedule => BackupCause::Schedule,
        },
        failure: row.failure.map(failure).unwrap_or_default(),
        message: row.message,
        size_bytes: row.bytes.unwrap_or(0),
        sha256: row.sha256.unwrap_or_default(),
        rows: row.tables.iter().map(|table| table.rows).sum(),
        tables: Vec::new(),
        created_at: Some(row.created_at),
        finished_at: row.finished_at,
    }
}

fn state(state: store::BackupState) -> BackupState {
    match state {
        store::BackupState::Pending => BackupState::Pending,
        store::BackupState::Running => BackupState::Running,
        store::BackupState::Verifying => BackupState::Verifying,
        store::BackupState::Good => BackupState::Good,
        store::BackupState::Failed => BackupState::Failed,
    }
}

fn failure(failure: store::BackupFailure) -> BackupFailure {
    match failure {
        store::BackupFailure::NotReady => BackupFailure::NotReady,
        store::BackupFailure::NoRoom => BackupFailure::NoRoom,
        store::BackupFailure::DiskFull => BackupFailure::DiskFull,
        store::BackupFailure::Dump => BackupFailure::Dump,
        store::BackupFailure::Restore => BackupFailure::Restore,
        store::BackupFailure::CountsDiffer => BackupFailure::CountsDiffer,
        store::BackupFailure::Checksum => BackupFailure::Checksum,
        store::BackupFailure::FileMissing => BackupFailure::FileMissing,
        store::BackupFailure::TimeLimit => BackupFailure::TimeLimit,
        store::BackupFailure::Interrupted => BackupFailure::Interrupted,
        store::BackupFailure::Platform => BackupFailure::Platform,
    }
}
