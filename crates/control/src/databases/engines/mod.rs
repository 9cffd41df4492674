//! What differs between the engines of databases, one file each, side by side:
//!
//! | | [`postgres`] | [`mariadb`] | [`redis`] |
//! |---|---|---|---|
//! | from Debian | `postgresql-<version>` | `mariadb-server-core` | `redis-server`, `valkey-server` |
//! | a fresh volume | `initdb` | `mariadb-install-db` | a file with the version |
//! | how the app may log in | the platform's role makes role and database | by statements of each start | in the settings of each start |
//! | that it is its own data | the cluster's identifier | the volume's id | the volume's id |
//! | ends in order by | SIGINT | SIGTERM | SIGTERM |
//! | backup | `pg_dump`, counted in its snapshot | `mariadb-dump`, counted as it is written | an RDB, counted as it was written |
//! | asked | whether it may write, has room, may create | for a transaction that may write | for a write that changes nothing |
//!
//! Everything else (volume, image, instance, name, keeper, probe) is the same for all and knows of none in particular.

mod backup;
mod mariadb;
mod postgres;
mod redis;

use std::{collections::BTreeMap, fmt, net::IpAddr};

use async_trait::async_trait;
use mainstay_diagnosis::facts::SchemaRight;
use mainstay_spec::DatabaseEngine;
use mainstay_store::DatabaseRow;

pub(super) use self::backup::Backup;
use self::{
    mariadb::MariaDb,
    postgres::Postgres,
    redis::{REDIS, VALKEY},
};
use super::{
    attached::engine as engine_of_word,
    backups::{Failed, Scratch},
    login::{Login, Trouble},
    server::SETTINGS,
};
use crate::{config::DatabasesConfig, platform::PlatformError};

/// A server that the platform can run for an app, and can ask wherever it runs.
#[async_trait]
pub(super) trait Engine: Backup + fmt::Debug + Send + Sync {
    /// As people call the server that the platform runs.
    fn title(&self) -> &'static str;

    /// That its servers listen at.
    fn port(&self) -> u16;

    // === What it is made from ===

    /// The version that a Debian suite has ("bookworm" → "15"). `None` for a suite that has none, or of which it is not known.
    fn version(&self, suite: &str) -> Option<&'static str>;

    /// Whether a spec that says `asked` can have this version.
    fn is_served_by(&self, asked: &str, version: &str) -> bool {
        asked == version
    }

    /// Debian's packages of the server and of the tools that its backups take.
    fn packages(&self, version: &str) -> Vec<String>;

    // === What an app finds ===

    /// The user of an app, where its spec names none for this component.
    fn default_user<'a>(&self, component: &'a str) -> &'a str {
        component
    }

    fn default_database<'a>(&self, component: &'a str) -> &'a str {
        component
    }

    // === Its instance ===

    /// Where its volume is.
    fn volume(&self) -> &'static str;

    /// The file on the volume that has the version of the data.
    fn version_file(&self) -> &'static str;

    /// A file without which there is no data, where the file with the version does not go with it.
    fn data_file(&self) -> Option<&'static str>;

    /// Files that it reads at its start, by name, beside its certificate and key.
    fn settings(&self, row: &DatabaseRow, config: &DatabasesConfig) -> Vec<(&'static str, String)>;

    /// Commands that fill an empty volume, one after the other; each ends by itself.
    fn initialize(&self, row: &DatabaseRow) -> Vec<Vec<String>>;

    /// The command that serves what is on the volume.
    fn serve(&self, row: &DatabaseRow) -> Vec<String>;

    /// The signal at which it ends in order: nothing that was confirmed is lost, and the next start has nothing to recover.
    fn stop_signal(&self) -> i32;

    // === Sessions ===

    /// The platform's own user, and a database that every server has.
    fn admin(&self) -> (&'static str, &'static str);

    /// Once the server lets us in: sees to it that the app's user can use the app's database, unless the data is another server's than
    /// `row` says. What the server calls its data.
    async fn provide(&self, servers: &Logins<'_>, row: &DatabaseRow) -> Result<String, Trouble>;

    /// Whether the login is accepted, and may use the database.
    async fn log_in(&self, login: &Login<'_>) -> Result<(), Trouble>;

    /// Logs in and asks what keeps an app from its work. What its user may create is known after an end alone, and not of every engine.
    async fn ask(&self, login: &Login<'_>, purpose: Purpose) -> Result<Option<SchemaRight>, Trouble>;

    /// What the server's own code says beyond the layer that failed.
    fn meaning(&self, trouble: &Trouble) -> Meaning;

    /// The databases that apps may use.
    async fn database_names(&self, login: &Login<'_>) -> Result<Vec<String>, Trouble>;

    /// How many sessions there are, for a login that sees those of others.
    async fn usage(&self, login: &Login<'_>) -> Result<Usage, Trouble>;
}

/// Both logins of a server that the platform runs.
#[derive(Clone, Copy)]
pub(super) struct Logins<'a> {
    pub(super) admin: Login<'a>,
    pub(super) app: Login<'a>,
}

/// What becomes of the probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Nothing failed yet: a role that is set up to read only is right to.
    BeforeRollout,
    /// An instance ended, and everything that may have kept it from its work counts.
    AfterEnd,
}

/// What an error of a server stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    NoSuchDatabase,
    TooManyConnections,
    /// There is no such database, or this user has no right to it: the server does not say which.
    NotThisDatabase,
    /// Whoever comes without TLS is told so, among others.
    LoginNotAllowed,
    /// Nothing but what the trouble says.
    Plain,
}

/// How many sessions apps may have, and how many they have, by where they come from. The platform's own are not counted.
#[derive(Debug)]
pub(super) struct Usage {
    pub(super) maximum: u64,
    pub(super) sessions: BTreeMap<IpAddr, u64>,
}

/// The engine that a spec means; `None` for those whose servers the platform neither runs nor speaks to.
pub(super) fn of(engine: DatabaseEngine) -> Option<&'static dyn Engine> {
    let known: &'static dyn Engine = match engine {
        DatabaseEngine::Unset | DatabaseEngine::Pg => &Postgres,
        DatabaseEngine::Mysql => &MariaDb,
        DatabaseEngine::Redis => &REDIS,
        DatabaseEngine::Valkey => &VALKEY,
        DatabaseEngine::Mongodb | DatabaseEngine::Kafka | DatabaseEngine::Opensearch => return None,
    };
    Some(known)
}

/// Of a database that the platform runs.
pub(super) fn of_row(row: &DatabaseRow) -> Result<&'static dyn Engine, PlatformError> {
    of(kind(row))
        .ok_or_else(|| PlatformError::missing(format!("the engine {} of database {}", row.engine, row.name)))
}

/// As a spec means it.
pub(super) fn kind(row: &DatabaseRow) -> DatabaseEngine {
    engine_of_word(&row.engine)
}

/// Whether clients of the one are clients of the other.
pub(super) fn are_alike(one: DatabaseEngine, other: DatabaseEngine) -> bool {
    use DatabaseEngine::{Pg, Redis, Unset, Valkey};
    one == other
        || matches!(
            (one, other),
            (Redis, Valkey) | (Valkey, Redis) | (Pg, Unset) | (Unset, Pg)
        )
}

/// The command that writes the version down on a volume, from the server's settings: of servers that do not do so themselves.
fn write_version(volume: &str, file: &str) -> Vec<String> {
    let (from, to) = (format!("{SETTINGS}/version"), format!("{volume}/{file}"));
    vec![
        "/usr/bin/install".into(),
        "-D".into(),
        "--mode=0600".into(),
        from,
        to,
    ]
}

/// The same beside a server that runs on a restored volume. What such a server calls its data is the volume's own id.
async fn note_version(scratch: &Scratch<'_>, volume: &str, file: &str) -> Result<String, Failed> {
    let row = scratch.row();
    let path = format!("{volume}/{file}");
    scratch.write_beside(&path, row.version.clone()).await?;
    Ok(row.id.to_string())
}

/// As people call the engine, whoever runs its server.
pub(super) fn title(engine: DatabaseEngine) -> &'static str {
    match engine {
        DatabaseEngine::Pg | DatabaseEngine::Unset => "PostgreSQL",
        DatabaseEngine::Mysql => "MySQL",
        DatabaseEngine::Redis => "Redis",
        DatabaseEngine::Valkey => "Valkey",
        DatabaseEngine::Mongodb => "MongoDB",
        DatabaseEngine::Kafka => "Kafka",
        DatabaseEngine::Opensearch => "OpenSearch",
    }
}
