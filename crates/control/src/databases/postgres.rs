//! PostgreSQL as an instance: its settings, its commands, and the role and database that an app finds in it.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown},
    path::{Path, PathBuf},
};

use mainstay_engine::{InstanceOwner, InstanceSpec, Limits, Mount, MountKind, Network};
use mainstay_images::stack::USER_ID;
use mainstay_spec::ids::InstanceId;
use mainstay_store::DatabaseRow;
use postgres_protocol::password::scram_sha_256;

use super::{
    session::{Session, Trouble, trouble},
    volume::Places,
};
use crate::{authority::ServerIdentity, config::DatabasesConfig, platform::PlatformError};

pub(super) const PORT: u16 = 5432;
/// The role that the platform logs in as.
pub(super) const ADMIN: &str = "postgres";
/// The database that every server has.
pub(super) const ADMIN_DATABASE: &str = "postgres";
/// As on the smallest database of the original: 22 for apps, 3 kept for the platform.
const CONNECTIONS_MAX: u32 = 25;
const CONNECTIONS_KEPT: u32 = 3;

pub(super) const VOLUME: &str = "/var/lib/postgresql";
const DATA: &str = "/var/lib/postgresql/data";
const SETTINGS: &str = "/etc/mainstay-database";
/// SIGINT: "fast shutdown", which ends sessions and writes a checkpoint (PostgreSQL manual, section 19.5).
const FAST_SHUTDOWN: i32 = 2;
const CPU_SHARES: u32 = 1024;
/// Of the root file system; the data is on the volume.
const DISK_BYTES: u64 = 256 << 20;

/// Writes what the server reads at its start. Only root passes the directory above.
pub(super) fn write_settings(
    places: &Places,
    row: &DatabaseRow,
    identity: &ServerIdentity,
    config: &DatabasesConfig,
) -> Result<(), PlatformError> {
    let directory = places.settings();
    let failed = |source| PlatformError::Io {
        operation: format!(
            "write the settings of database {} to {}",
            row.name,
            directory.display()
        ),
        source,
    };
    let write = || -> io::Result<()> {
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(places.root())?;
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        chown(&directory, Some(USER_ID), Some(USER_ID))?;
        let file = |name: &str, text: &str| write_file(&directory.join(name), text);
        file("postgresql.conf", &settings(config))?;
        file("pg_hba.conf", HOST_BASED_ACCESS)?;
        file("server.crt", &identity.certificate)?;
        file("server.key", &identity.key)?;
        file("admin-password", &row.admin_password)
    };
    write().map_err(failed)
}

fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    chown(path, Some(USER_ID), Some(USER_ID))?;
    file.write_all(text.as_bytes())
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

/// Fills an empty volume with a new cluster; ends by itself.
pub(super) fn initialize(
    row: &DatabaseRow,
    places: &Places,
    id: InstanceId,
    layers: Vec<PathBuf>,
    config: &DatabasesConfig,
) -> InstanceSpec {
    let argv = [
        program(row, "initdb"),
        "--pgdata".into(),
        DATA.into(),
        "--username".into(),
        ADMIN.into(),
        format!("--pwfile={SETTINGS}/admin-password"),
        "--auth=scram-sha-256".into(),
        "--encoding=UTF8".into(),
        "--locale=C.UTF-8".into(),
        "--data-checksums".into(),
        "--no-instructions".into(),
    ];
    InstanceSpec {
        network: Network::None,
        argv: argv.into(),
        ..serve(row, places, id, layers, config)
    }
}

/// Serves what is on the volume.
pub(super) fn serve(
    row: &DatabaseRow,
    places: &Places,
    id: InstanceId,
    layers: Vec<PathBuf>,
    config: &DatabasesConfig,
) -> InstanceSpec {
    let argv = [
        program(row, "postgres"),
        "-D".into(),
        DATA.into(),
        "-c".into(),
        format!("config_file={SETTINGS}/postgresql.conf"),
    ];
    let mounts = [
        (
            VOLUME,
            MountKind::Volume {
                image: places.volume(row),
                id: row.id.to_string(),
            },
        ),
        (
            SETTINGS,
            MountKind::ReadOnly {
                source: places.settings(),
            },
        ),
    ];
    InstanceSpec {
        id,
        owner: InstanceOwner::Database {
            app: row.app,
            database: row.id,
        },
        layers,
        mounts: mounts
            .map(|(target, kind)| Mount {
                target: target.to_owned(),
                kind,
            })
            .into(),
        argv: argv.into(),
        env: BTreeMap::from([("LANG".to_owned(), "C.UTF-8".to_owned())]),
        working_dir: "/".into(),
        user: Some(format!("{USER_ID}:{USER_ID}")),
        hostname: row.name.clone(),
        limits: Limits {
            memory_bytes: config.memory_bytes,
            cpu_millis: config.cpu_millis,
            cpu_shares: CPU_SHARES,
            pids: config.pids,
            disk_bytes: Some(DISK_BYTES),
        },
        network: Network::App,
        stop_signal: FAST_SHUTDOWN,
    }
}

pub(super) fn program(row: &DatabaseRow, name: &str) -> String {
    format!("/usr/lib/postgresql/{}/bin/{name}", row.version)
}

/// What the server calls its data; another cluster has another one.
pub(super) async fn system_identifier(session: &Session) -> Result<String, Trouble> {
    let sql = "SELECT system_identifier::text FROM pg_control_system()";
    let row = session
        .client
        .query_one(sql, &[])
        .await
        .map_err(|error| trouble(&error))?;
    Ok(row.get(0))
}

/// The app's role and its database, made if they are missing.
pub(super) async fn provide(session: &Session, row: &DatabaseRow) -> Result<(), Trouble> {
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

/// How many sessions apps may have, and how many they have, by where they come from.
pub(super) struct Usage {
    pub(super) maximum: u64,
    pub(super) sessions: Vec<(IpAddr, u64)>,
}

/// The server's own counters; the platform's sessions are not counted.
pub(super) async fn usage(session: &Session) -> Result<Usage, Trouble> {
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
        sessions: sessions.collect(),
    })
}

/// The databases that apps may use.
pub(super) async fn database_names(session: &Session) -> Result<Vec<String>, Trouble> {
    let sql = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> $1 ORDER BY datname";
    let rows = session
        .client
        .query(sql, &[&ADMIN_DATABASE])
        .await
        .map_err(|error| trouble(&error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// As an identifier of SQL.
pub(super) fn quoted(name: &str) -> String {
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
