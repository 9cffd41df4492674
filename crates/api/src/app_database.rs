//! Addition: the databases that the platform runs for an app.

use jiff::Timestamp;

use crate::{
    DatabaseBackup,
    wire::{wire_object, wire_words},
};

wire_words! {
    /// How a database that the platform runs is.
    pub enum DatabaseState {
        Unknown = "unknown",
        /// Being made or started.
        Starting = "starting",
        Ready = "ready",
        /// It does not get better by itself.
        Broken = "broken",
        /// No spec names it; its data stays.
        Stopped = "stopped",
    }
}

wire_object! {
    /// One of them; without its password.
    pub struct AppDatabase {
        pub id: String,
        pub name: String,
        /// "PG".
        pub engine: String,
        pub version: String,
        pub db_name: String,
        pub db_user: String,
        pub state: DatabaseState,
        /// What holds it up, if something does.
        pub message: String,
        /// A spec of the app that counts names it.
        pub is_in_use: bool,
        /// The size of its volume.
        pub disk_bytes: u64,
        pub created_at: Option<Timestamp>,
        /// The newest that is over, good or not; without its tables.
        pub last_backup: Option<DatabaseBackup>,
        /// When the newest good one was begun: what it has is of that time. Left out where there is none.
        pub last_good_backup_at: Option<Timestamp>,
    }
}

wire_object! {
    pub struct AppDatabasesResponse {
        pub databases: Vec<AppDatabase>,
    }
}
