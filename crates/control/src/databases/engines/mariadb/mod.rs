//! MySQL, as MariaDB of the machine's Debian: its settings, its commands, and the user and database that an app finds in it.
//!
//! Both are made, and given the passwords that they should have, by statements that the server reads at each start before it listens.

mod backup;
mod packets;
mod rows;
mod session;

use std::{collections::BTreeMap, net::IpAddr};

use async_trait::async_trait;
use mainstay_diagnosis::facts::SchemaRight;
use mainstay_store::DatabaseRow;

use self::{packets::verifier, session::Session};
use super::{Engine, Logins, Meaning, Purpose, Usage, write_version};
use crate::{
    config::DatabasesConfig,
    databases::{
        login::{Login, Trouble},
        server::{CERTIFICATE, KEY, SETTINGS},
    },
};

const PORT: u16 = 3306;
const ADMIN: &str = "mainstay";
/// As on the smallest MySQL of the original. One more is the platform's own.
const CONNECTIONS_MAX: u32 = 75;
const SIGTERM: i32 = 15;
/// The version of MySQL that the original has, which MariaDB stands in for.
const STANDS_IN_FOR: &str = "8";

const VOLUME: &str = "/var/lib/mysql";
const DATA: &str = "/var/lib/mysql/data";
/// Of what statements need beside memory.
const TEMPORARY: &str = "/var/lib/mysql/tmp";
const VERSION_FILE: &str = "data/mainstay-version";
/// Where there is none, the server makes an empty one.
const TABLE_SPACE: &str = "data/ibdata1";
const LOG_FILE: &str = "32M";

#[derive(Debug)]
pub(super) struct MariaDb;

#[async_trait]
impl Engine for MariaDb {
    fn title(&self) -> &'static str {
        "MariaDB"
    }

    fn port(&self) -> u16 {
        PORT
    }

    fn version(&self, suite: &str) -> Option<&'static str> {
        match suite {
            "bookworm" => Some("10.11"),
            "trixie" => Some("11.8"),
            _ => None,
        }
    }

    fn is_served_by(&self, asked: &str, version: &str) -> bool {
        asked == version || asked == STANDS_IN_FOR
    }

    /// The server, what its making of system tables takes, and `mariadb-dump`.
    fn packages(&self, _version: &str) -> Vec<String> {
        ["mariadb-server-core", "mariadb-client-core", "mariadb-client"]
            .map(Into::into)
            .into()
    }

    fn volume(&self) -> &'static str {
        VOLUME
    }

    fn version_file(&self) -> &'static str {
        VERSION_FILE
    }

    fn data_file(&self) -> Option<&'static str> {
        Some(TABLE_SPACE)
    }

    fn settings(&self, row: &DatabaseRow, config: &DatabasesConfig) -> Vec<(&'static str, String)> {
        vec![
            ("mariadb.cnf", settings(config)),
            ("start.sql", statements(row)),
            ("version", row.version.clone()),
        ]
    }

    fn initialize(&self, _row: &DatabaseRow) -> Vec<Vec<String>> {
        // Last: with it, the volume has data.
        let version = write_version(VOLUME, VERSION_FILE);
        empty_database().into_iter().chain([version]).collect()
    }

    fn serve(&self, _row: &DatabaseRow) -> Vec<String> {
        vec![
            "/usr/sbin/mariadbd".into(),
            format!("--defaults-file={SETTINGS}/mariadb.cnf"),
        ]
    }

    fn stop_signal(&self) -> i32 {
        SIGTERM
    }

    fn admin(&self) -> (&'static str, &'static str) {
        (ADMIN, "mysql")
    }

    /// The server has no name for its data. The volume's id, looked at before each start, is all that says whose they are.
    async fn provide(&self, servers: &Logins<'_>, row: &DatabaseRow) -> Result<String, Trouble> {
        if let Some(mut session) = Session::open(&servers.app).await? {
            session.query("SELECT 1").await?;
        }
        Ok(row.id.to_string())
    }

    async fn log_in(&self, login: &Login<'_>) -> Result<(), Trouble> {
        Session::open(login).await.map(drop)
    }

    /// A transaction that may write is refused as a write would be, and changes nothing.
    async fn ask(&self, login: &Login<'_>, _purpose: Purpose) -> Result<Option<SchemaRight>, Trouble> {
        if let Some(mut session) = Session::open(login).await? {
            session.query("START TRANSACTION READ WRITE").await?;
            session.query("ROLLBACK").await?;
        }
        Ok(None)
    }

    fn meaning(&self, trouble: &Trouble) -> Meaning {
        match trouble.server_code.as_deref() {
            Some("1049") => Meaning::NoSuchDatabase,
            Some("1044") => Meaning::NotThisDatabase,
            // All connections; those of this user.
            Some("1040" | "1203" | "1226") => Meaning::TooManyConnections,
            _ => Meaning::Plain,
        }
    }

    async fn database_names(&self, login: &Login<'_>) -> Result<Vec<String>, Trouble> {
        let names = asked(login, "SHOW DATABASES").await?.into_iter().flatten();
        let of_server = ["information_schema", "mysql", "performance_schema", "sys"];
        Ok(names.filter(|name| !of_server.contains(&name.as_str())).collect())
    }

    async fn usage(&self, login: &Login<'_>) -> Result<Usage, Trouble> {
        let sql = format!(
            "SELECT SUBSTRING_INDEX(HOST, ':', 1), COUNT(*) FROM information_schema.PROCESSLIST \
             WHERE USER NOT IN ('{ADMIN}', 'system user') GROUP BY 1"
        );
        let rows = asked(login, &sql).await?;
        let counted = rows.iter().filter_map(|row| match row.as_slice() {
            [host, count] => Some((host.parse::<IpAddr>().ok()?, count.parse().ok()?)),
            _ => None,
        });
        Ok(Usage {
            maximum: u64::from(CONNECTIONS_MAX),
            sessions: counted.collect::<BTreeMap<_, _>>(),
        })
    }
}

/// The commands that make the directories and the system tables of a server.
fn empty_database() -> [Vec<String>; 2] {
    let temporary = ["/usr/bin/install", "-d", "--mode=0700", TEMPORARY];
    let tables = [
        "/usr/bin/mariadb-install-db",
        "--no-defaults",
        "--basedir=/usr",
        &format!("--datadir={DATA}"),
        "--auth-root-authentication-method=normal",
        "--cross-bootstrap",
        "--skip-test-db",
        &format!("--innodb-log-file-size={LOG_FILE}"),
        "--innodb-use-native-aio=OFF",
    ];
    [temporary.map(Into::into).into(), tables.map(Into::into).into()]
}

/// One question in a session of its own.
async fn asked(login: &Login<'_>, sql: &str) -> Result<Vec<Vec<String>>, Trouble> {
    match Session::open(login).await? {
        Some(mut session) => session.query(sql).await,
        None => Ok(Vec::new()),
    }
}

fn settings(config: &DatabasesConfig) -> String {
    let buffer_pool_mib = (config.memory_bytes / 4) >> 20;
    format!(
        "\
[mariadbd]
datadir={DATA}
tmpdir={TEMPORARY}
socket=/tmp/mariadb.sock
pid_file=/tmp/mariadb.pid
port={PORT}
bind_address=0.0.0.0
skip_name_resolve=ON
init_file={SETTINGS}/start.sql
ssl_cert={CERTIFICATE}
ssl_key={KEY}
tls_version=TLSv1.2,TLSv1.3
max_connections={CONNECTIONS_MAX}
character_set_server=utf8mb4
innodb_buffer_pool_size={buffer_pool_mib}M
innodb_log_file_size={LOG_FILE}
# The kernel's own queues are not for instances.
innodb_use_native_aio=OFF
local_infile=OFF
symbolic_links=OFF
log_warnings=1
default_time_zone=+00:00
"
    )
}

/// One a line: that is how the server reads them. Whoever comes without TLS is nobody; root is nobody's.
fn statements(row: &DatabaseRow) -> String {
    let (admin, app) = (verifier(&row.admin_password), verifier(&row.password));
    let (user, database) = (text(&row.user), identifier(&row.database_name));
    let pattern = identifier(&pattern(&row.database_name));
    format!(
        "\
DROP USER IF EXISTS 'root'@'localhost', 'root'@'127.0.0.1', 'root'@'::1';
CREATE OR REPLACE USER '{ADMIN}'@'%' IDENTIFIED BY PASSWORD '{admin}' REQUIRE SSL;
GRANT ALL PRIVILEGES ON *.* TO '{ADMIN}'@'%' WITH GRANT OPTION;
CREATE DATABASE IF NOT EXISTS {database};
CREATE USER IF NOT EXISTS {user}@'%';
ALTER USER {user}@'%' IDENTIFIED BY PASSWORD '{app}' REQUIRE SSL;
GRANT ALL PRIVILEGES ON {pattern}.* TO {user}@'%';
"
    )
}

/// As a string of SQL.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// As an identifier of SQL.
fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// What rights are given on may have wildcards, which a name has not.
fn pattern(name: &str) -> String {
    name.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%")
}

#[cfg(test)]
mod tests {
    use mainstay_diagnosis::facts::DatabaseProblem;

    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(text("o'neil\\"), "'o''neil\\\\'");
        assert_eq!(identifier("a`; DROP"), "`a``; DROP`");
        assert_eq!(identifier(&pattern("my_shop")), "`my\\_shop`");
    }

    #[test]
    fn the_version_of_mysql_is_taken_for_what_debian_has() {
        let version = MariaDb.version("bookworm").unwrap();
        assert!(MariaDb.is_served_by("8", version) && MariaDb.is_served_by("10.11", version));
        assert!(!MariaDb.is_served_by("5.7", version));
    }

    #[test]
    fn what_numbers_stand_for_is_told_apart() {
        let meaning = |number: &str| {
            MariaDb.meaning(&Trouble {
                problem: DatabaseProblem::Other,
                server_code: Some(number.into()),
                message: String::new(),
            })
        };
        assert_eq!(meaning("1049"), Meaning::NoSuchDatabase);
        assert_eq!(meaning("1044"), Meaning::NotThisDatabase);
        assert_eq!(meaning("1040"), Meaning::TooManyConnections);
        assert_eq!(meaning("1045"), Meaning::Plain);
    }
}
