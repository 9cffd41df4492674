//! Causes that concern a database, as the platform's probe or the app saw it.

use super::{CausePage, app, upstream};
use crate::Cause;

pub(super) fn page(cause: Cause) -> Option<CausePage> {
    reaching(cause).or_else(|| using(cause))
}

fn reaching(cause: Cause) -> Option<CausePage> {
    Some(match cause {
        Cause::DatabaseRefused => upstream(
            "The database refuses the connection",
            "Nothing listens at the database's address, or it lets nobody in from here.",
            "A refused connect to a database's port, or the server's own words.",
            "Check host and port, and whether the database runs and allows this machine.",
        ),
        Cause::DatabaseTimedOut => upstream(
            "The database does not answer",
            "A connection to the database's address is not answered; often an allow-list or firewall drops it.",
            "An unanswered connect to a database's port.",
            "Check the address, and add this machine to the database's trusted sources.",
        ),
        Cause::DatabaseUnreachable => upstream(
            "There is no route to the database",
            "The database's address cannot be reached from the instance's network.",
            "A connect to a database's port that ended as unreachable.",
            "Check the address and the networks between.",
        ),
        Cause::DatabaseHostNotFound => app(
            "The database's host name does not exist",
            "The host name in the connection settings does not resolve.",
            "The error of the name lookup.",
            "Correct the host name.",
        ),
        Cause::DatabaseTlsUntrusted => app(
            "The database's certificate is not trusted",
            "The database was reached, but its certificate is signed by an authority that the driver does not know.",
            "The driver's own error.",
            "Bind the database's CA_CERT and pass it to the driver.",
        ),
        Cause::DatabaseTlsRequired => app(
            "The database takes connections over TLS only",
            "The database was reached without TLS, and lets nobody in so.",
            "The connection settings ask for no TLS, and the server refuses the login (SQLSTATE 28000).",
            "Ask for TLS: `sslmode=require` in the connection URL, or the driver's own setting.",
        ),
        Cause::DatabaseNotConfigured => app(
            "No database is configured",
            "The app tried a database at its own address (localhost), and no database variable is set on the component.",
            "A refused connect to a database's port on the loopback address, and the names of the variables set.",
            "Bind the database's URL on this component with RUN_TIME scope.",
        ),
        Cause::DatabaseUrlScheme => app(
            "The database URL's scheme is not accepted",
            "The library does not know the scheme of the connection URL.",
            "The library's own error.",
            "Use the scheme the library wants (for SQLAlchemy `postgresql://`).",
        ),
        _ => return None,
    })
}

fn using(cause: Cause) -> Option<CausePage> {
    Some(match cause {
        Cause::DatabaseAuth => app(
            "The database refuses the login",
            "User or password is not accepted.",
            "The server's own error (SQLSTATE 28P01, 28000, MySQL 1045).",
            "Correct the credentials in the connection settings.",
        ),
        Cause::DatabasePermission => app(
            "The database user lacks a right",
            "The user may log in, but not do what was asked: often to create tables in the schema `public`, or to use this database at all.",
            "The server's own error (SQLSTATE 42501), and what the server says of the role's right to create.",
            "Grant the right, or use the owner of the schema.",
        ),
        Cause::DatabaseMissing => app(
            "The database does not exist",
            "The spec refers to a database that is not there, or the server was reached and has no database of that name.",
            "The reference in the spec, or the server's own error (SQLSTATE 3D000, MySQL 1049).",
            "Correct the name, or create the database.",
        ),
        Cause::DatabaseObjectMissing => app(
            "The database lacks a table or column",
            "The app was let into its database, but what it asks for was never made there: often the migrations did not run.",
            "The server's own error (SQLSTATE 42P01, 42703, MySQL 1146, 1054, SQLite's sentence).",
            "Run the migrations before the app starts: as a PRE_DEPLOY job, or at the beginning of run_command.",
        ),
        Cause::DatabaseConnectionsExhausted => app(
            "The database has no connections left",
            "All connection slots are taken. During a deploy old and new instances hold theirs at once.",
            "The server's own error (SQLSTATE 53300, MySQL 1040).",
            "Lower the pool size per instance, or put a connection pool in between.",
        ),
        Cause::DatabaseStarting => upstream(
            "The database is starting",
            "The server answers, but does not let anybody in yet.",
            "The server's own error (SQLSTATE 57P03).",
            "Wait for it; let the app try again instead of ending.",
        ),
        Cause::DatabaseReadOnly => upstream(
            "The database is read-only",
            "The server accepts no writes: it is a replica, it was made read-only, or its disk is nearly full.",
            "The server's own error (SQLSTATE 25006), or its word that transactions may only read.",
            "Connect to the primary, or free space.",
        ),
        Cause::DatabaseStorageFull => upstream(
            "The database's disk is full",
            "The server cannot write any more.",
            "The server's own error (SQLSTATE 53100), also to a temporary file of the platform's probe.",
            "Free space or give the database more.",
        ),
        Cause::DatabaseServerEnded => upstream(
            "The database's server does not run",
            "The server that the platform runs for the app ended, or could not be started; it is started again, with pauses.",
            "The end of its process, or the refusal to start it.",
            "Read what the server said last; if its memory or its disk is full, give it more.",
        ),
        Cause::DatabaseVolumeLost => upstream(
            "The database's data is not where it was",
            "The volume is missing, empty, or not the one that the database's data was on. The server is not started, so that nothing is \
             overwritten.",
            "The identity and the content of the volume, compared with what is stored of the database.",
            "Put the volume back, or restore a backup.",
        ),
        Cause::DatabaseQuota => app(
            "No more databases are allowed",
            "The account has as many databases as it may.",
            "The quota against what is in use.",
            "Delete one that is not needed, or have the quota raised.",
        ),
        Cause::MigrationBlocked => app(
            "An earlier migration blocks the next ones",
            "A migration failed before and is marked as failed; the tool refuses to run later ones.",
            "The tool's own error.",
            "Resolve the failed migration with the tool (for Prisma `prisma migrate resolve`), then deploy again.",
        ),
        _ => return None,
    })
}
