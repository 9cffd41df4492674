//! Databases: the servers' own sentences and codes, which are the same in every language.

use super::{Cause, Pattern, Subject, strong};

pub(super) const TABLE: &[Pattern] = &[
    strong(
        &["password authentication failed"],
        Cause::DatabaseAuth,
        Subject::Quoted,
    ),
    strong(
        &["sasl", "authentication failed"],
        Cause::DatabaseAuth,
        Subject::None,
    ),
    strong(&["access denied for user"], Cause::DatabaseAuth, Subject::Quoted),
    strong(&["wrongpass"], Cause::DatabaseAuth, Subject::None),
    strong(
        &["noauth authentication required"],
        Cause::DatabaseAuth,
        Subject::None,
    ),
    strong(&["28p01"], Cause::DatabaseAuth, Subject::None),
    strong(&["no pg_hba.conf entry"], Cause::DatabaseRefused, Subject::None),
    strong(
        &["too many clients already"],
        Cause::DatabaseConnectionsExhausted,
        Subject::None,
    ),
    strong(
        &["remaining connection slots are reserved"],
        Cause::DatabaseConnectionsExhausted,
        Subject::None,
    ),
    strong(
        &["too many connections"],
        Cause::DatabaseConnectionsExhausted,
        Subject::None,
    ),
    strong(&["'53300'"], Cause::DatabaseConnectionsExhausted, Subject::None),
    strong(
        &["sqlstate", "53300"],
        Cause::DatabaseConnectionsExhausted,
        Subject::None,
    ),
    strong(&["unknown database"], Cause::DatabaseMissing, Subject::Quoted),
    strong(
        &["database \"", "\" does not exist"],
        Cause::DatabaseMissing,
        Subject::Between("database \"", "\""),
    ),
    strong(
        &["role \"", "\" does not exist"],
        Cause::DatabaseAuth,
        Subject::Between("role \"", "\""),
    ),
    // What migrations make.
    strong(
        &["relation \"", "\" does not exist"],
        Cause::DatabaseObjectMissing,
        Subject::Between("relation \"", "\""),
    ),
    strong(
        &["column ", " does not exist"],
        Cause::DatabaseObjectMissing,
        Subject::Between("column ", " does not exist"),
    ),
    strong(
        &["table '", "' doesn't exist"],
        Cause::DatabaseObjectMissing,
        Subject::Between("table '", "'"),
    ),
    strong(
        &["unknown column '"],
        Cause::DatabaseObjectMissing,
        Subject::Between("unknown column '", "'"),
    ),
    strong(
        &["no such table:"],
        Cause::DatabaseObjectMissing,
        Subject::After("no such table:"),
    ),
    strong(
        &["no such column:"],
        Cause::DatabaseObjectMissing,
        Subject::After("no such column:"),
    ),
    strong(
        &["does not exist in the current database"],
        Cause::DatabaseObjectMissing,
        Subject::Between("`", "`"),
    ),
    strong(&["'42p01'"], Cause::DatabaseObjectMissing, Subject::None),
    strong(
        &["sqlstate", "42p01"],
        Cause::DatabaseObjectMissing,
        Subject::None,
    ),
    strong(
        &["the database system is starting up"],
        Cause::DatabaseStarting,
        Subject::None,
    ),
    strong(
        &["the database system is not yet accepting connections"],
        Cause::DatabaseStarting,
        Subject::None,
    ),
    strong(
        &["the database system is in recovery mode"],
        Cause::DatabaseStarting,
        Subject::None,
    ),
    strong(&["sqlstate", "57p03"], Cause::DatabaseStarting, Subject::None),
    strong(
        &["permission denied for schema"],
        Cause::DatabasePermission,
        Subject::After("permission denied for schema"),
    ),
    strong(
        &["permission denied for table"],
        Cause::DatabasePermission,
        Subject::After("permission denied for table"),
    ),
    strong(
        &["permission denied for relation"],
        Cause::DatabasePermission,
        Subject::After("permission denied for relation"),
    ),
    strong(
        &["in a read-only transaction"],
        Cause::DatabaseReadOnly,
        Subject::None,
    ),
    strong(
        &["running with the --", "read-only option so it cannot execute"],
        Cause::DatabaseReadOnly,
        Subject::None,
    ),
    strong(
        &["can't write against a read only replica"],
        Cause::DatabaseReadOnly,
        Subject::None,
    ),
    // Some clients make an "out of memory" of their own of it, which is not the app's.
    strong(
        &["command not allowed when used memory"],
        Cause::DatabaseStorageFull,
        Subject::None,
    ),
    strong(
        &["is loading the dataset in memory"],
        Cause::DatabaseStarting,
        Subject::None,
    ),
    strong(
        &["max number of clients reached"],
        Cause::DatabaseConnectionsExhausted,
        Subject::None,
    ),
    strong(
        &["could not extend file", "no space left on device"],
        Cause::DatabaseStorageFull,
        Subject::Quoted,
    ),
    strong(&["sqlstate", "53100"], Cause::DatabaseStorageFull, Subject::None),
    strong(&["p3009"], Cause::MigrationBlocked, Subject::None),
    strong(
        &["found failed migrations in the target database"],
        Cause::MigrationBlocked,
        Subject::None,
    ),
    strong(
        &["can't load plugin: sqlalchemy.dialects:"],
        Cause::DatabaseUrlScheme,
        Subject::After("sqlalchemy.dialects:"),
    ),
    strong(
        &["could not translate host name"],
        Cause::DatabaseHostNotFound,
        Subject::Quoted,
    ),
    strong(
        &["p1001", "can't reach database server"],
        Cause::DatabaseRefused,
        Subject::Quoted,
    ),
    strong(
        &["can't reach database server at"],
        Cause::DatabaseRefused,
        Subject::Quoted,
    ),
];
