//! The part of the table of routes that is about databases.

use axum::{
    http::Method,
    routing::{delete, get, post},
};
use mainstay_api::{
    AppDatabasesResponse, BackupResponse, BackupsResponse, DatabaseNamesResponse, DatabaseResponse,
    DatabaseUsersResponse, DatabasesResponse, IdResponse, RegisterDatabaseRequest, RestoreResponse,
    RestoresResponse,
    TokenScope::{Admin, Read, Write},
};

use super::{
    access::{
        Reach::{All, App},
        Route,
    },
    backups, clusters, databases,
    routes::route,
};

pub(super) fn all() -> Vec<Route> {
    [of_apps(), of_clusters()].into_iter().flatten().collect()
}

/// Those that the platform runs.
fn of_apps() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/v2/mainstay/apps/{app_id}/databases",
            Read,
            App,
            get(databases::of_app),
        )
        .named(
            "mainstay_list_app_databases",
            "The databases that the platform runs for an app.",
        )
        .gives::<AppDatabasesResponse>(),
        route(
            Method::DELETE,
            "/v2/mainstay/apps/{app_id}/databases/{database_name}",
            Write,
            App,
            delete(databases::delete_of_app),
        )
        .named(
            "mainstay_delete_app_database",
            "Delete a database that no spec names, with its data.",
        )
        .asks::<databases::DeleteQuery>()
        .gives::<IdResponse>(),
        route(
            Method::GET,
            "/v2/mainstay/apps/{app_id}/databases/{database_name}/backups",
            Read,
            App,
            get(backups::list),
        )
        .named(
            "mainstay_list_database_backups",
            "The backups of a database that the platform runs, the newest first.",
        )
        .gives::<BackupsResponse>(),
        route(
            Method::POST,
            "/v2/mainstay/apps/{app_id}/databases/{database_name}/backups",
            Write,
            App,
            post(backups::begin),
        )
        .named(
            "mainstay_create_database_backup",
            "Begin a backup; it is good once it was restored aside and counted.",
        )
        .gives::<BackupResponse>(),
        route(
            Method::GET,
            "/v2/mainstay/apps/{app_id}/databases/{database_name}/backups/{backup_id}",
            Read,
            App,
            get(backups::get),
        )
        .named(
            "mainstay_get_database_backup",
            "A backup, with the tables that are in it.",
        )
        .gives::<BackupResponse>(),
        route(
            Method::POST,
            "/v2/mainstay/apps/{app_id}/databases/{database_name}/backups/{backup_id}/restore",
            Write,
            App,
            post(backups::restore),
        )
        .named(
            "mainstay_restore_database_backup",
            "Begin to replace a database's data by that of a good backup.",
        )
        .asks::<backups::RestoreQuery>()
        .gives::<RestoreResponse>(),
        route(
            Method::GET,
            "/v2/mainstay/apps/{app_id}/databases/{database_name}/restores",
            Read,
            App,
            get(backups::restores),
        )
        .named(
            "mainstay_list_database_restores",
            "The restores of a database from backups, the newest first.",
        )
        .gives::<RestoresResponse>(),
    ]
}

/// Those of others.
fn of_clusters() -> Vec<Route> {
    vec![
        route(Method::GET, "/v2/databases", Read, All, get(clusters::list))
            .named("databases_list_clusters", "The registered database clusters.")
            .gives::<DatabasesResponse>(),
        route(
            Method::GET,
            "/v2/databases/{database_cluster_uuid}",
            Read,
            All,
            get(clusters::get),
        )
        .named("databases_get_cluster", "A registered cluster, by id or by name.")
        .gives::<DatabaseResponse>(),
        route(
            Method::GET,
            "/v2/databases/{database_cluster_uuid}/dbs",
            Read,
            All,
            get(clusters::databases),
        )
        .named(
            "databases_list",
            "The database that a cluster is registered with.",
        )
        .gives::<DatabaseNamesResponse>(),
        route(
            Method::GET,
            "/v2/databases/{database_cluster_uuid}/users",
            Read,
            All,
            get(clusters::users),
        )
        .named(
            "databases_list_users",
            "The user that a cluster is registered with.",
        )
        .gives::<DatabaseUsersResponse>(),
        route(
            Method::POST,
            "/v2/mainstay/databases",
            Admin,
            All,
            post(clusters::register),
        )
        .named(
            "mainstay_register_database",
            "Register a database cluster that specs can attach to.",
        )
        .takes::<RegisterDatabaseRequest>()
        .gives::<DatabaseResponse>(),
        route(
            Method::DELETE,
            "/v2/mainstay/databases/{database_cluster_uuid}",
            Admin,
            All,
            delete(clusters::remove),
        )
        .named("mainstay_remove_database", "Forget a cluster that no spec names.")
        .gives::<IdResponse>(),
    ]
}
