//! Database clusters: the original's managed ones are here those that are registered.

use jiff::Timestamp;

use crate::wire::wire_object;

wire_object! {
    /// A registered cluster. Passwords are taken, and never given.
    pub struct DatabaseCluster {
        pub id: String,
        pub name: String,
        /// "pg", "mysql", "redis", "valkey", "mongodb", "kafka", "opensearch".
        pub engine: String,
        pub version: String,
        pub num_nodes: u32,
        pub region: String,
        /// "online": registered.
        pub status: String,
        pub created_at: Option<Timestamp>,
        pub db_names: Vec<String>,
        pub connection: Option<DatabaseConnection>,
        pub users: Vec<DatabaseUser>,
        /// Addition: apps whose specs name it.
        pub app_names: Vec<String>,
    }
}

wire_object! {
    /// How a cluster is reached; without the password.
    pub struct DatabaseConnection {
        pub uri: String,
        pub database: String,
        pub host: String,
        pub port: u16,
        pub user: String,
        pub ssl: bool,
    }
}

wire_object! {
    pub struct DatabaseUser {
        pub name: String,
        pub role: String,
    }
}

wire_object! {
    pub struct DatabasesResponse {
        pub databases: Vec<DatabaseCluster>,
    }
}

wire_object! {
    pub struct DatabaseResponse {
        pub database: DatabaseCluster,
    }
}

wire_object! {
    pub struct NamedDatabase {
        pub name: String,
    }
}

wire_object! {
    pub struct DatabaseNamesResponse {
        pub dbs: Vec<NamedDatabase>,
    }
}

wire_object! {
    pub struct DatabaseUsersResponse {
        pub users: Vec<DatabaseUser>,
    }
}

wire_object! {
    /// Addition.
    pub struct RegisterDatabaseRequest {
        /// What specs call it in `cluster_name`.
        pub name: String,
        /// As in an answer; "PG" is read, too.
        pub engine: String,
        pub version: String,
        pub host: String,
        /// 0: the engine's own.
        pub port: u16,
        pub user: String,
        pub password: String,
        /// What apps get unless their spec names another one.
        pub database: String,
        /// PEM: who vouches for the server.
        pub ca_certificate: String,
        /// The server does not speak TLS.
        pub without_tls: bool,
        /// One of this name is changed to this.
        pub replace: bool,
        /// It is not tried first whether the login is accepted.
        pub unchecked: bool,
    }
}
