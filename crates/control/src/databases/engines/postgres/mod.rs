//! PostgreSQL: its settings, its commands, and the role and database that an app finds in it.

mod backup;
mod questions;
mod session;

use std::collections::BTreeMap;

use async_trait::async_trait;
use mainstay_diagnosis::facts::SchemaRight;
use mainstay_images::debian::postgresql_version;
use mainstay_store::DatabaseRow;
use postgres_protocol::password::scram_sha_256;

use self::session::{Session, trouble};
use super::{Engine, Logins, Meaning, Purpose, Usage};
use crate::{
    config::DatabasesConfig,
    databases::{
        login::{Login, Trouble},
        server::SETTINGS,
    },
};

const PORT: u16 = 5432;
/// The role that the platform logs in as.
const ADMIN: &str = "postgres";
/// The database that every server has.
const ADMIN_DATABASE: &str = "postgres";
/// As on the smallest database of the original: 22 for apps, 3 kept for the platform.
const CONNECTIONS_MAX: u32 = 25;
const CONNECTIONS_KEPT: u32 = 3;

const VOLUME: &str = "/var/lib/postgresql";
const DATA: &str = "/var/lib/postgresql/data";
/// SIGINT: "fast shutdown", which ends sessions and writes a checkpoint (PostgreSQL manual, section 19.5).
const FAST_SHUTDOWN: i32 = 2;

/// SQLSTATEs (PostgreSQL manual, appendix A).
const NO_SUCH_DATABASE: &str = "3D000";
const TOO_MANY_CONNECTIONS: &str = "53300";
const LOGIN_NOT_ALLOWED: &str = "28000";

#[derive(Debug)]
pub(super) struct Postgres;

#[async_trait]
impl Engine for Postgres {
    fn title(&self) -> &'static str {
        "PostgreSQL"
    }

    fn port(&self) -> u16 {
        PORT
    }

    fn version(&self, suite: &str) -> Option<&'static str> {
        postgresql_version(suite)
    }

    fn packages(&self, version: &str) -> Vec<String> {
        vec![format!("postgresql-{version}")]
    }

    fn volume(&self) -> &'static str {
        VOLUME
    }

    fn version_file(&self) -> &'static str {
        "data/PG_VERSION"
    }

    fn data_file(&self) -> Option<&'static str> {
        None
    }

    fn settings(&self, row: &DatabaseRow, config: &DatabasesConfig) -> Vec<(&'static str, String)> {
        vec![
            ("postgresql.conf", settings(config)),
            ("pg_hba.conf", HOST_BASED_ACCESS.to_owned()),
            ("admin-password", row.admin_password.clone()),
        ]
    }

    fn initialize(&self, row: &DatabaseRow) -> Vec<Vec<String>> {
        let access = [
            format!("--pwfile={SETTINGS}/admin-password"),
            "--auth=scram-sha-256".into(),
        ];
        vec![new_cluster(row, &access)]
    }

    fn serve(&self, row: &DatabaseRow) -> Vec<String> {
        vec![
            program(row, "postgres"),
            "-D".into(),
            DATA.into(),
            "-c".into(),
            format!("config_file={SETTINGS}/postgresql.conf"),
        ]
    }

    fn stop_signal(&self) -> i32 {
        FAST_SHUTDOWN
    }

    fn admin(&self) -> (&'static str, &'static str) {
        (ADMIN, ADMIN_DATABASE)
    }

    async fn provide(&self, servers: &Logins<'_>, row: &DatabaseRow) -> Result<String, Trouble> {
        let session = Session::open(&servers.admin).await?;
        let identifier = system_identifier(&session).await?;
        let known = row.system_identifier.as_ref();
        if known.is_none_or(|known| *known == identifier) {
            make_role_and_database(&session, row).await?;
        }
        Ok(identifier)
    }

    async fn log_in(&self, login: &Login<'_>) -> Result<(), Trouble> {
        Session::open(login).await.map(drop)
    }

    async fn ask(&self, login: &Login<'_>, purpose: Purpose) -> Result<Option<SchemaRight>, Trouble> {
        questions::ask(login, purpose).await
    }

    fn meaning(&self, trouble: &Trouble) -> Meaning {
        match trouble.server_code.as_deref() {
            Some(NO_SUCH_DATABASE) => Meaning::NoSuchDatabase,
            Some(TOO_MANY_CONNECTIONS) => Meaning::TooManyConnections,
            Some(LOGIN_NOT_ALLOWED) => Meaning::LoginNotAllowed,
            _ => Meaning::Plain,
        }
    }

    async fn database_names(&self, login: &Login<'_>) -> Result<Vec<String>, Trouble> {
        let session = Session::open(login).await?;
        let sql =
            "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> $1 ORDER BY datname";
        let rows = session.client.query(sql, &[&ADMIN_DATABASE]).await;
        let rows = rows.map_err(|error| trouble(&error))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn usage(&self, login: &Login<'_>) -> Result<Usage, Trouble> {
        usage(&Session::open(login).await?).await
    }
}

/// Only over TLS: whoever comes without it fits no line.
const HOST_BASED_ACCESS: &str = "hostssl all all 0.0.0.0/0 scram-sha-256\n";

fn settings(config: &DatabasesConfig) -> String {
    let shared_buffers_mib = (config.memory_bytes / 4) >> 20;
    format!(
        "\
listen_addresses = '*'
port = {PORT}
unix_socket_directories = ''
max_connections = {CONNECTIONS_MAX}
superuser_reserved_connections = {CONNECTIONS_KEPT}
hba_file = '{SETTINGS}/pg_hba.conf'
password_encryption = 'scram-sha-256'
ssl = on
ssl_cert_file = '{SETTINGS}/server.crt'
ssl_key_file = '{SETTINGS}/server.key'
ssl_min_protocol_version = 'TLSv1.2'
shared_buffers = '{shared_buffers_mib}MB'
max_wal_size = '256MB'
# Compiling queries takes more memory than a small server has.
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%q%u@%d '
# Statements may hold what must not be seen.
log_min_error_statement = 'panic'
log_parameter_max_length_on_error = 0
"
    )
}

/// Makes an empty cluster. `access` says who may log in.
fn new_cluster(row: &DatabaseRow, access: &[String]) -> Vec<String> {
    let mut argv = vec![
        program(row, "initdb"),
        "--pgdata".into(),
        DATA.into(),
        "--username".into(),
        ADMIN.into(),
        "--encoding=UTF8".into(),
        "--locale=C.UTF-8".into(),
        "--data-checksums".into(),
        "--no-instructions".into(),
    ];
    argv.extend_from_slice(access);
    argv
}

fn program(row: &DatabaseRow, name: &str) -> String {
    format!("/usr/lib/postgresql/{}/bin/{name}", row.version)
}

/// What the server calls its data; another cluster has another one.
async fn system_identifier(session: &Session) -> Result<String, Trouble> {
    let sql = "SELECT system_identifier::text FROM pg_control_system()";
    let row = session
        .client
        .query_one(sql, &[])
        .await
        .map_err(|error| trouble(&error))?;
    Ok(row.get(0))
}

/// The app's role and its database, made if they are missing.
async fn make_role_and_database(session: &Session, row: &DatabaseRow) -> Result<(), Trouble> {
    let client = &session.client;
    let failed = |error: tokio_postgres::Error| trouble(&error);
    let role = client
        .query_opt("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&row.user])
        .await
        .map_err(failed)?;
    if role.is_none() {
        // The server gets a verifier: the password itself is in no statement of it.
        let verifier = scram_sha_256(row.password.as_bytes());
        let sql = format!("CREATE ROLE {} LOGIN PASSWORD '{verifier}'", quoted(&row.user));
        client.batch_execute(&sql).await.map_err(failed)?;
    }
    let database = client
        .query_opt(
            "SELECT 1 FROM pg_database WHERE datname = $1",
            &[&row.database_name],
        )
        .await
        .map_err(failed)?;
    if database.is_none() {
        let (name, owner) = (quoted(&row.database_name), quoted(&row.user));
        let sql = format!("CREATE DATABASE {name} OWNER {owner}");
        client.batch_execute(&sql).await.map_err(failed)?;
    }
    Ok(())
}

/// The server's own counters; the platform's sessions are not counted.
async fn usage(session: &Session) -> Result<Usage, Trouble> {
    let failed = |error: tokio_postgres::Error| trouble(&error);
    let limits = "SELECT current_setting('max_connections')::bigint \
                  - current_setting('superuser_reserved_connections')::bigint";
    let maximum: i64 = session
        .client
        .query_one(limits, &[])
        .await
        .map_err(failed)?
        .get(0);
    let counted = "SELECT host(client_addr), count(*) FROM pg_stat_activity \
                   WHERE client_addr IS NOT NULL AND usename <> $1 GROUP BY client_addr";
    let rows = session.client.query(counted, &[&ADMIN]).await.map_err(failed)?;
    let sessions = rows.iter().filter_map(|row| {
        let from = row.get::<_, &str>(0).parse().ok()?;
        Some((from, u64::try_from(row.get::<_, i64>(1)).ok()?))
    });
    Ok(Usage {
        maximum: u64::try_from(maximum).unwrap_or(0),
        sessions: sessions.collect::<BTreeMap<_, _>>(),
    })
}

/// As an identifier of SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_quoted() {
        assert_eq!(quoted("shop-db"), "\"shop-db\"");
        assert_eq!(quoted("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
    }
}
