//! Databases: those that the platform runs for an app (`/v2/mainstay/apps/{app_id}/databases`).

use axum::{Json, extract::State};
use mainstay_api::{AppDatabase, AppDatabasesResponse, DatabaseState};
use mainstay_spec::ids::AppId;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, backups,
    extract::{Path, Query},
};
use crate::{
    app::Application,
    databases::{Condition, DatabaseView},
};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DeleteQuery {
    /// The data is to be deleted for good.
    #[serde(default)]
    delete_data: bool,
}

pub(crate) async fn of_app(
    State(application): State<Application>,
    Path(app): Path<AppId>,
) -> Result<Json<AppDatabasesResponse>, ApiError> {
    let views = application.app_databases(app).await?;
    Ok(Json(AppDatabasesResponse {
        databases: views.into_iter().map(app_database).collect(),
    }))
}

pub(crate) async fn delete_of_app(
    State(application): State<Application>,
    Path((app, name)): Path<(AppId, String)>,
    Query(query): Query<DeleteQuery>,
) -> Result<Json<Value>, ApiError> {
    application
        .delete_app_database(app, &name, query.delete_data)
        .await?;
    Ok(Json(json!({ "id": name })))
}

fn app_database(view: DatabaseView) -> AppDatabase {
    let (state, message) = match view.condition {
        Condition::Starting(trouble) => (
            DatabaseState::Starting,
            trouble.map(|trouble| trouble.message).unwrap_or_default(),
        ),
        Condition::Ready { .. } => (DatabaseState::Ready, String::new()),
        Condition::Broken(trouble) => (DatabaseState::Broken, trouble.message),
        Condition::Stopped => (DatabaseState::Stopped, String::new()),
    };
    let row = view.row;
    AppDatabase {
        id: row.id.to_string(),
        name: row.name,
        engine: row.engine,
        version: row.version,
        db_name: row.database_name,
        db_user: row.user,
        state,
        message,
        is_in_use: view.is_in_use,
        disk_bytes: row.volume_bytes,
        created_at: Some(row.created_at),
        last_good_backup_at: view.last_good_backup_at,
        last_backup: view.last_backup.map(backups::short),
    }
}
