//! Databases, as the apps that cannot reach them tell.

use mainstay_diagnosis::Cause;

use super::*;

#[test]
fn databases_as_the_app_sees_them() {
    let none = "Error: connect ECONNREFUSED 127.0.0.1:5432";
    exits(1, &[none], Cause::DatabaseNotConfigured, "127.0.0.1:5432");
    exits(
        1,
        &["Error: connect ECONNREFUSED 10.0.0.5:5432"],
        Cause::DatabaseRefused,
        "10.0.0.5:5432",
    );
    exits(
        1,
        &["Error: connect ETIMEDOUT 10.0.0.5:3306"],
        Cause::DatabaseTimedOut,
        "10.0.0.5:3306",
    );
    exits(
        1,
        &["Error: connect ECONNREFUSED 10.0.0.5:9999"],
        Cause::ConnectionRefused,
        "10.0.0.5:9999",
    );
    exits(
        1,
        &["Error: getaddrinfo ENOTFOUND db.internal"],
        Cause::HostNotFound,
        "db.internal",
    );
    exits(
        1,
        &["error: password authentication failed for user \"shop\""],
        Cause::DatabaseAuth,
        "shop",
    );
    exits(
        1,
        &["Access denied for user 'shop'@'10.0.0.2' (using password: YES)"],
        Cause::DatabaseAuth,
        "shop",
    );
    exits(
        1,
        &["FATAL:  sorry, too many clients already"],
        Cause::DatabaseConnectionsExhausted,
        "too many clients",
    );
    exits(
        1,
        &["FATAL:  database \"shop\" does not exist"],
        Cause::DatabaseMissing,
        "shop",
    );
    exits(
        1,
        &["ERROR:  permission denied for schema public"],
        Cause::DatabasePermission,
        "public",
    );
    exits(
        1,
        &["sqlalchemy.exc.NoSuchModuleError: Can't load plugin: sqlalchemy.dialects:postgres"],
        Cause::DatabaseUrlScheme,
        "postgres",
    );
    exits(
        1,
        &[
            "Error: P3009",
            "migrate found failed migrations in the target database",
        ],
        Cause::MigrationBlocked,
        "failed migrations",
    );
    exits(
        1,
        &["psycopg2.OperationalError: SSL error: certificate verify failed"],
        Cause::DatabaseTlsUntrusted,
        "certificate",
    );
    exits(
        1,
        &["Error: self-signed certificate in certificate chain"],
        Cause::TlsUntrusted,
        "certificate",
    );
}

/// The servers' own words, which every client and framework passes on.
#[test]
fn what_migrations_make_is_missing() {
    for (lines, subject) in [
        (
            &[
                "error: relation \"products\" does not exist",
                "    at async file:///workspace/server.js:4:9 {",
                "  code: '42P01',",
            ][..],
            "`products`",
        ),
        (
            &["django.db.utils.ProgrammingError: column polls_question.slug does not exist"],
            "`polls_question.slug`",
        ),
        (&["Error: Table 'shop.products' doesn't exist"], "`shop.products`"),
        (&["sqlite3.OperationalError: no such table: users"], "`users`"),
        (
            &[
                "PrismaClientKnownRequestError:",
                "The table `public.User` does not exist in the current database.",
            ],
            "`public.User`",
        ),
    ] {
        exits(1, lines, Cause::DatabaseObjectMissing, subject);
    }
    exits(
        1,
        &["FATAL:  role \"shop\" does not exist"],
        Cause::DatabaseAuth,
        "role \"shop\"",
    );
}

#[test]
fn servers_that_let_nobody_in_yet_or_take_no_writes() {
    exits(
        1,
        &["FATAL:  the database system is not yet accepting connections"],
        Cause::DatabaseStarting,
        "not yet accepting",
    );
    exits(
        1,
        &["ERROR:  could not extend file \"base/16384/16385\": No space left on device"],
        Cause::DatabaseStorageFull,
        "No space left",
    );
    exits(
        1,
        &["ERROR:  cannot execute INSERT in a read-only transaction"],
        Cause::DatabaseReadOnly,
        "read-only transaction",
    );
    exits(
        1,
        &[
            "pymysql.err.OperationalError: (1290, 'The MariaDB server is running with the --read-only option so it cannot execute this statement')",
        ],
        Cause::DatabaseReadOnly,
        "read-only option",
    );
    exits(
        1,
        &["ReplyError: READONLY You can't write against a read only replica."],
        Cause::DatabaseReadOnly,
        "read only replica",
    );
    // The client's word for it is not the app's own heap.
    exits(
        1,
        &["redis.exceptions.OutOfMemoryError: command not allowed when used memory > 'maxmemory'."],
        Cause::DatabaseStorageFull,
        "used memory",
    );
    exits(
        1,
        &["redis.exceptions.BusyLoadingError: Redis is loading the dataset in memory"],
        Cause::DatabaseStarting,
        "loading the dataset",
    );
}
