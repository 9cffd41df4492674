//! `/v2/databases`: registered clusters, as the original shows its managed ones; and how they are registered, which is ours.

use axum::{Json, extract::State};
use mainstay_api::{
    DatabaseCluster, DatabaseConnection, DatabaseNamesResponse, DatabaseResponse, DatabaseUser,
    DatabaseUsersResponse, DatabasesResponse, NamedDatabase, RegisterDatabaseRequest,
};
use mainstay_spec::database_binding::DatabaseBinding;
use serde_json::{Value, json};

use super::{
    ApiError,
    accounts::Own,
    extract::{Path, Text, body_of},
    wire,
};
use crate::{
    app::{Application, clusters::ClusterView},
    databases,
};

pub(crate) async fn list(
    State(application): State<Application>,
    Own(account): Own,
) -> Result<Json<DatabasesResponse>, ApiError> {
    let views = application.clusters(account).await?;
    Ok(Json(DatabasesResponse {
        databases: views.into_iter().map(cluster).collect(),
    }))
}

pub(crate) async fn get(
    State(application): State<Application>,
    Own(account): Own,
    Path(wanted): Path<String>,
) -> Result<Json<DatabaseResponse>, ApiError> {
    Ok(Json(DatabaseResponse {
        database: cluster(application.cluster(account, &wanted).await?),
    }))
}

pub(crate) async fn databases(
    State(application): State<Application>,
    Own(account): Own,
    Path(wanted): Path<String>,
) -> Result<Json<DatabaseNamesResponse>, ApiError> {
    let names = cluster(application.cluster(account, &wanted).await?).db_names;
    Ok(Json(DatabaseNamesResponse {
        dbs: names.into_iter().map(|name| NamedDatabase { name }).collect(),
    }))
}

pub(crate) async fn users(
    State(application): State<Application>,
    Own(account): Own,
    Path(wanted): Path<String>,
) -> Result<Json<DatabaseUsersResponse>, ApiError> {
    Ok(Json(DatabaseUsersResponse {
        users: cluster(application.cluster(account, &wanted).await?).users,
    }))
}

pub(crate) async fn register(
    State(application): State<Application>,
    Own(account): Own,
    Text(body): Text,
) -> Result<Json<DatabaseResponse>, ApiError> {
    let request: RegisterDatabaseRequest = body_of(&body)?;
    Ok(Json(DatabaseResponse {
        database: cluster(application.register_cluster(account, request).await?),
    }))
}

pub(crate) async fn remove(
    State(application): State<Application>,
    Own(account): Own,
    Path(wanted): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = application.remove_cluster(account, &wanted).await?;
    Ok(Json(json!({ "id": id.to_string() })))
}

fn cluster(view: ClusterView) -> DatabaseCluster {
    let row = view.row;
    let binding = DatabaseBinding {
        engine: databases::engine(&row.engine),
        hostname: row.host,
        port: row.port,
        username: row.user,
        password: String::new(),
        database: row.database,
        ca_certificate: String::new(),
        tls: row.tls,
    };
    let named = |name: &String| (!name.is_empty()).then(|| name.clone());
    DatabaseCluster {
        id: row.id.to_string(),
        name: row.name,
        engine: row.engine.to_ascii_lowercase(),
        version: row.version,
        num_nodes: 1,
        region: wire::region().slug,
        status: "online".into(),
        created_at: Some(row.created_at),
        db_names: named(&binding.database).into_iter().collect(),
        users: named(&binding.username)
            .map(|name| DatabaseUser {
                name,
                role: "primary".into(),
            })
            .into_iter()
            .collect(),
        connection: Some(DatabaseConnection {
            uri: binding.shown_url(),
            database: binding.database,
            host: binding.hostname,
            port: binding.port,
            user: binding.username,
            ssl: binding.tls,
        }),
        app_names: view.apps,
    }
}
