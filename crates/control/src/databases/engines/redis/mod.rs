//! Redis, and Valkey where Debian has it: the same server by two names, with the same settings and the same protocol.
//!
//! Who may log in is in its settings, written anew at each start: nothing of it is in the data.

mod backup;
mod session;
mod snapshot;

use std::{collections::BTreeMap, net::SocketAddr};

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use mainstay_diagnosis::facts::{DatabaseProblem, SchemaRight};
use mainstay_store::DatabaseRow;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use self::session::Session;
use super::{Engine, Logins, Meaning, Purpose, Usage, write_version};
use crate::{
    config::DatabasesConfig,
    databases::{
        login::{CONNECT_WITHIN, Login, Trouble},
        server::{CERTIFICATE, KEY, SETTINGS},
    },
};

const PORT: u16 = 6379;
const ADMIN: &str = "mainstay";
/// The user that clients are who say a password alone.
const DEFAULT_USER: &str = "default";
/// Databases have numbers.
const FIRST_DATABASE: &str = "0";
const DATABASES: u32 = 16;
const CLIENTS_MAX: u64 = 1000;
const SIGTERM: i32 = 15;

const VOLUME: &str = "/var/lib/redis";
const DATA: &str = "/var/lib/redis/data";
/// Where there is none, the server begins with an empty one.
const APPEND_ONLY_FILE: &str = "data/appendonlydir/appendonly.aof.manifest";
const VERSION_FILE: &str = "data/mainstay-version";

/// One of the two names of the server.
#[derive(Debug)]
pub(super) struct Redis {
    title: &'static str,
    package: &'static str,
    /// The tool that speaks to the server.
    client: &'static str,
    /// Suites of Debian, and the major version that each has.
    versions: &'static [(&'static str, &'static str)],
}

pub(super) const REDIS: Redis = Redis {
    title: "Redis",
    package: "redis-server",
    client: "/usr/bin/redis-cli",
    versions: &[("bookworm", "7"), ("trixie", "8")],
};

/// In no Debian before 13.
pub(super) const VALKEY: Redis = Redis {
    title: "Valkey",
    package: "valkey-server",
    client: "/usr/bin/valkey-cli",
    versions: &[("trixie", "8")],
};

#[async_trait]
impl Engine for Redis {
    fn title(&self) -> &'static str {
        self.title
    }

    fn port(&self) -> u16 {
        PORT
    }

    fn version(&self, suite: &str) -> Option<&'static str> {
        let known = self.versions.iter().find(|(known, _)| *known == suite);
        known.map(|(_, version)| *version)
    }

    fn packages(&self, _version: &str) -> Vec<String> {
        vec![self.package.to_owned()]
    }

    fn default_user<'a>(&self, _component: &'a str) -> &'a str {
        DEFAULT_USER
    }

    fn default_database<'a>(&self, _component: &'a str) -> &'a str {
        FIRST_DATABASE
    }

    fn volume(&self) -> &'static str {
        VOLUME
    }

    fn version_file(&self) -> &'static str {
        VERSION_FILE
    }

    fn data_file(&self) -> Option<&'static str> {
        Some(APPEND_ONLY_FILE)
    }

    fn settings(&self, row: &DatabaseRow, config: &DatabasesConfig) -> Vec<(&'static str, String)> {
        vec![
            ("redis.conf", settings(row, config)),
            ("version", row.version.clone()),
        ]
    }

    /// The server makes its files itself; it only wants a directory.
    fn initialize(&self, _row: &DatabaseRow) -> Vec<Vec<String>> {
        vec![write_version(VOLUME, VERSION_FILE)]
    }

    fn serve(&self, _row: &DatabaseRow) -> Vec<String> {
        let program = format!("/usr/bin/{}", self.package);
        vec![program, format!("{SETTINGS}/redis.conf")]
    }

    /// Writes out what is not yet on disk.
    fn stop_signal(&self) -> i32 {
        SIGTERM
    }

    fn admin(&self) -> (&'static str, &'static str) {
        (ADMIN, FIRST_DATABASE)
    }

    /// The server has no name for its data. The volume's id, looked at before each start, is all that says whose they are.
    async fn provide(&self, servers: &Logins<'_>, row: &DatabaseRow) -> Result<String, Trouble> {
        Session::open(&servers.app).await?.answered(&["PING"]).await?;
        Ok(row.id.to_string())
    }

    async fn log_in(&self, login: &Login<'_>) -> Result<(), Trouble> {
        Session::open(login).await?.answered(&["PING"]).await.map(drop)
    }

    async fn ask(&self, login: &Login<'_>, purpose: Purpose) -> Result<Option<SchemaRight>, Trouble> {
        let mut session = Session::open(login).await?;
        session.answered(&["PING"]).await?;
        match write_nothing(&mut session).await {
            // A user that is set up to read only is right to.
            Err(refused) if refused.problem == DatabaseProblem::NotPermitted => match purpose {
                Purpose::BeforeRollout => Ok(None),
                Purpose::AfterEnd => Err(Trouble {
                    problem: DatabaseProblem::ReadOnlyRole,
                    ..refused
                }),
            },
            written => written.map(|()| None),
        }
    }

    /// Its code is "ERR" for most: then the words decide, which are the same in all versions.
    fn meaning(&self, trouble: &Trouble) -> Meaning {
        let says = |words: &str| trouble.server_code.is_some() && trouble.message.contains(words);
        if says("DB index is out of range") || says("invalid DB index") {
            Meaning::NoSuchDatabase
        } else if says("max number of clients") {
            Meaning::TooManyConnections
        } else {
            Meaning::Plain
        }
    }

    async fn database_names(&self, login: &Login<'_>) -> Result<Vec<String>, Trouble> {
        let mut session = Session::open(login).await?;
        let answer = session.answered(&["CONFIG", "GET", "databases"]).await?;
        let count: u32 = answer.get(1).and_then(|count| count.parse().ok()).unwrap_or(0);
        Ok((0..count).map(|number| number.to_string()).collect())
    }

    async fn usage(&self, login: &Login<'_>) -> Result<Usage, Trouble> {
        let mut session = Session::open(login).await?;
        let clients = session.answered(&["CLIENT", "LIST"]).await?;
        Ok(Usage {
            maximum: CLIENTS_MAX,
            sessions: clients_by_address(&clients.concat()),
        })
    }
}

/// A write of no byte to a key that is not there: it is refused as every write would be, by a replica, by a full memory, by a failing disk; and
/// changes nothing.
async fn write_nothing(session: &mut Session) -> Result<(), Trouble> {
    let key = format!("mainstay:probe:{:032x}", rand::random::<u128>());
    let asked = timeout(CONNECT_WITHIN, session.command(&["SETRANGE", &key, "0", ""])).await;
    asked.unwrap_or_else(|_| Err(Trouble::no_answer())).map(drop)
}

/// `id=3 addr=10.0.0.2:41234 … user=default …`, one client a line.
fn clients_by_address(list: &str) -> BTreeMap<std::net::IpAddr, u64> {
    let mut counted = BTreeMap::new();
    for line in list.lines() {
        let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name));
        let address = field("addr=").and_then(|address| address.parse::<SocketAddr>().ok());
        if let Some(address) = address.filter(|_| field("user=") != Some(ADMIN)) {
            *counted.entry(address.ip()).or_default() += 1;
        }
    }
    counted
}

/// Over TLS alone; every change is in the append-only file when its client has the answer, and on disk within a second.
fn settings(row: &DatabaseRow, config: &DatabasesConfig) -> String {
    // A child that rewrites the file shares the memory, until it is written to.
    let memory_bytes_max = config.memory_bytes / 2;
    let admin = verifier(&row.admin_password);
    format!(
        "\
bind 0.0.0.0
protected-mode no
port 0
tls-port {PORT}
tls-cert-file {CERTIFICATE}
tls-key-file {KEY}
tls-auth-clients no
tls-protocols \"TLSv1.2 TLSv1.3\"
dir {DATA}
appendonly yes
appendfsync everysec
save \"\"
# Backups are taken as a replica would: at once, and nothing of them is written to the volume.
repl-diskless-sync yes
repl-diskless-sync-delay 0
databases {DATABASES}
maxclients {CLIENTS_MAX}
maxmemory {memory_bytes_max}
maxmemory-policy noeviction
tcp-keepalive 60
set-proc-title no
always-show-logo no
user {ADMIN} on #{admin} ~* &* +@all
{}",
        users(row)
    )
}

/// The app's user may do what does not change the server or read what others send. Clients that say a password alone are the default user.
fn users(row: &DatabaseRow) -> String {
    let rules = "~* &* +@all -@admin +client|list +client|kill +config|get";
    let own = format!("user {} on #{} {rules}\n", row.user, verifier(&row.password));
    if row.user == DEFAULT_USER {
        own
    } else {
        format!("user {DEFAULT_USER} off\n{own}")
    }
}

/// The server gets a digest: the password itself, of 160 random bits, is in none of its files.
fn verifier(password: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(password.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_by_where_they_come_from() {
        let list = "id=3 addr=10.0.0.2:41234 laddr=10.0.0.9:6379 fd=8 name= user=default\n\
                    id=4 addr=10.0.0.2:41235 laddr=10.0.0.9:6379 fd=9 name= user=default\n\
                    id=5 addr=10.0.0.1:41236 laddr=10.0.0.9:6379 fd=10 name= user=mainstay\n";
        let counted = clients_by_address(list);
        assert_eq!(counted, BTreeMap::from([("10.0.0.2".parse().unwrap(), 2)]));
    }

    #[test]
    fn debian_12_has_no_valkey() {
        assert_eq!(REDIS.version("bookworm"), Some("7"));
        assert_eq!(VALKEY.version("bookworm"), None);
        assert_eq!(VALKEY.version("trixie"), Some("8"));
    }

    #[test]
    fn errors_without_a_code_of_their_own_are_told_apart() {
        let meaning = |message: &str| {
            REDIS.meaning(&Trouble {
                problem: DatabaseProblem::Other,
                server_code: Some("ERR".into()),
                message: message.into(),
            })
        };
        assert_eq!(meaning("DB index is out of range"), Meaning::NoSuchDatabase);
        assert_eq!(
            meaning("max number of clients reached"),
            Meaning::TooManyConnections
        );
        assert_eq!(meaning("unknown command 'FOO'"), Meaning::Plain);
    }
}
