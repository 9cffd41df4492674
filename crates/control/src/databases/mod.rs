//! The databases of apps: those that the platform runs (`production: false`, one server each, in its own instance with its own volume), and
//! those of registered clusters that a spec is [`attached`] to. What differs between their engines is in [`engines`].
//!
//! A database belongs to its app, not to a deployment. A [`keeper`] per database brings what is there in line with what should be, again and
//! again; a deployment only sees to it that the rows of its spec exist ([`ensure`]) and waits until they are ready ([`wait`]).
//!
//! ```text
//!  ensure ─▶ row ─▶ keeper: image ─▶ volume ─▶ cluster ─▶ instance ─▶ login ─▶ role, database ─▶ name ─▶ Ready
//!                     ▲                                      │ ended, whatever way
//!                     └──────────────────────────────────────┘
//! ```
//!
//! A database that no spec names any more is stopped and keeps its volume. Data is deleted with the app, or alone once no spec names it, and only
//! if whoever deletes says so.

mod attached;
pub(crate) mod backups;
mod check;
mod engines;
mod image;
mod inventory;
mod keeper;
mod login;
mod others;
mod own;
mod probe;
mod references;
mod server;
mod target;
mod tls;
mod volume;
mod waiting;

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use mainstay_diagnosis::facts::StopReason;
use mainstay_engine::{InstanceState, InternalService, NameGroup};
use mainstay_spec::{
    AppSpec, Database, DatabaseEngine,
    database_binding::DatabaseBinding,
    ids::{AppId, DatabaseId, InstanceId},
};
use mainstay_store::{DatabaseRow, Store};
use tokio::sync::{Notify, watch};

pub(crate) use self::{
    attached::{engine, unregistered},
    check::check,
    inventory::{DatabaseView, NotDeleted, delete_unused, of_app},
    login::Trouble,
    others::try_login,
    probe::{Asker, before_rollout, used_by},
    references::unresolved,
    volume::directory,
    waiting::wait,
};
use self::{
    backups::Backups,
    engines::{Engine, Logins},
    login::Login,
    tls::Encryption,
    volume::Places,
};
use crate::{
    authority::Authority,
    platform::{Platform, PlatformError},
    rollout::take_away,
};

/// Ending sessions and writing a checkpoint.
const STOPS_WITHIN: Duration = Duration::from_mins(1);
/// 160 random bits.
const PASSWORD_BYTES: usize = 20;

/// What the certificate of their authority says.
pub(crate) const AUTHORITY: &str = "Mainstay databases";

/// How a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Being made or started; the last thing that held it up, if something did.
    Starting(Option<Trouble>),
    /// The app's role can use the app's database.
    Ready { address: Ipv4Addr },
    /// It does not get better by itself.
    Broken(Trouble),
    /// No spec names it.
    Stopped,
}

/// The databases of this platform.
#[derive(Debug)]
pub(crate) struct Databases {
    authority: Authority,
    keepers: Mutex<HashMap<DatabaseId, Keeper>>,
    backups: Arc<Backups>,
}

/// The way to a database's keeper.
#[derive(Debug, Clone)]
struct Keeper {
    wake: Arc<Notify>,
    /// Held by whoever changes what there is of the database.
    turn: Arc<tokio::sync::Mutex<()>>,
    condition: watch::Receiver<Condition>,
}

impl Databases {
    pub(crate) fn new(authority: Authority) -> Self {
        Self {
            authority,
            keepers: Mutex::default(),
            backups: Arc::default(),
        }
    }

    /// The database's keeper, begun if there is none.
    fn keeper(&self, platform: &Arc<Platform>, id: DatabaseId) -> Keeper {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = keepers.get(&id) {
            return keeper.clone();
        }
        let (condition, seen) = watch::channel(Condition::Starting(None));
        let keeper = Keeper {
            wake: Arc::default(),
            turn: Arc::default(),
            condition: seen,
        };
        keepers.insert(id, keeper.clone());
        let (platform, own) = (Arc::clone(platform), keeper.clone());
        platform
            .tasks
            .spawn(keeper::keep(Arc::clone(&platform), id, own, condition));
        keeper
    }

    fn forget(&self, id: DatabaseId) {
        self.keepers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }
}

/// Takes up the databases of an earlier server.
pub(crate) async fn wake_up(platform: &Arc<Platform>) -> Result<(), PlatformError> {
    backups::take_up(platform).await?;
    for row in platform.store.databases().await? {
        platform.databases.keeper(platform, row.id);
    }
    platform.tasks.spawn(backups::keep(Arc::clone(platform)));
    Ok(())
}

/// Sees to it that the databases of the spec exist, and that their names do, and has them looked after. Returns before they are ready.
pub(crate) async fn ensure(
    platform: &Arc<Platform>,
    app: AppId,
    spec: &AppSpec,
) -> Result<(), PlatformError> {
    let mut wanted = of_platform(spec).peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    for database in wanted {
        let row = new_row(platform, app, database)?;
        let row = platform.store.ensure_database(&row).await?;
        platform.databases.keeper(platform, row.id).wake.notify_one();
    }
    announce(platform, app).await
}

/// Whether it can vouch for servers: certificates in PEM.
pub(crate) fn is_authority(text: &str) -> bool {
    tls::roots(text).is_ok()
}

/// The databases of a spec that the platform runs itself.
fn of_platform(spec: &AppSpec) -> impl Iterator<Item = &Database> {
    spec.databases.iter().filter(|database| !database.production)
}

fn new_row(platform: &Platform, app: AppId, database: &Database) -> Result<DatabaseRow, PlatformError> {
    let kind = match database.engine {
        None | Some(DatabaseEngine::Unset) => DatabaseEngine::Pg,
        Some(engine) => engine,
    };
    let engine = engines::of(kind)
        .ok_or_else(|| PlatformError::missing(format!("a server of engine {kind} in this version")))?;
    let here = image::version(engine, &platform.config.operator_settings());
    let version = here.or(database.version.as_deref()).ok_or_else(|| {
        let title = engine.title();
        PlatformError::missing(format!(
            "a version of {title} that is known for this machine's Debian"
        ))
    })?;
    let named = |given: &Option<String>, otherwise: &str| given.as_deref().unwrap_or(otherwise).to_owned();
    Ok(DatabaseRow {
        id: DatabaseId::from_uuid(uuid::Uuid::new_v4()),
        app,
        name: database.name.clone(),
        engine: kind.as_str().to_owned(),
        version: version.to_owned(),
        database_name: named(&database.db_name, engine.default_database(&database.name)),
        user: named(&database.db_user, engine.default_user(&database.name)),
        password: new_password(),
        admin_password: new_password(),
        image: None,
        volume_file: volume::FIRST.to_owned(),
        replaced_volume: None,
        volume_bytes: platform.config.databases.disk_bytes,
        volume_made: false,
        system_identifier: None,
        instance: None,
        created_at: Timestamp::now(),
    })
}

fn new_password() -> String {
    HEXLOWER.encode(&rand::random::<[u8; PASSWORD_BYTES]>())
}

/// How it is now.
pub(crate) fn condition(platform: &Arc<Platform>, row: &DatabaseRow) -> Condition {
    let condition = platform.databases.keeper(platform, row.id).condition;
    let now = condition.borrow();
    now.clone()
}

/// How the app reaches each of its databases, and those of its spec that it is attached to.
pub(crate) async fn bindings(
    platform: &Platform,
    app: AppId,
    spec: &AppSpec,
) -> Result<BTreeMap<String, DatabaseBinding>, PlatformError> {
    let rows = platform.store.databases_of_app(app).await?;
    let bound = |row: DatabaseRow| -> Result<_, PlatformError> {
        let binding = DatabaseBinding {
            engine: engines::kind(&row),
            tls: true,
            hostname: row.name.clone(),
            port: engines::of_row(&row)?.port(),
            username: row.user,
            password: row.password,
            database: row.database_name,
            ca_certificate: platform.databases.authority.certificate().to_owned(),
        };
        Ok((row.name, binding))
    };
    let attached = attached::of_spec(platform, app, spec).await?;
    let attached = attached
        .into_iter()
        .map(|attached| Ok((attached.name, attached.binding)));
    rows.into_iter().map(bound).chain(attached).collect()
}

/// Tells the app's network where its databases are now.
async fn announce(platform: &Platform, app: AppId) -> Result<(), PlatformError> {
    let mut services = Vec::new();
    for row in platform.store.databases_of_app(app).await? {
        let address = running(platform, &row).await?;
        let port = engines::of_row(&row)?.port();
        services.push(InternalService {
            component: row.name,
            ports: vec![(port, port)],
            addresses: address.into_iter().collect(),
        });
    }
    platform
        .engine
        .set_internal_services(app, NameGroup::Databases, &services)
        .await?;
    Ok(())
}

/// The address of its server, if that runs.
async fn running(platform: &Platform, row: &DatabaseRow) -> Result<Option<Ipv4Addr>, PlatformError> {
    let Some(instance) = row.instance else {
        return Ok(None);
    };
    let status = platform.engine.status(instance).await?;
    Ok(status
        .filter(|status| status.state == InstanceState::Running)
        .and_then(|status| status.address))
}

/// The platform's own login and the app's.
fn logins<'a>(
    platform: &'a Platform,
    row: &'a DatabaseRow,
    engine: &dyn Engine,
    address: Ipv4Addr,
) -> Logins<'a> {
    let (user, database) = engine.admin();
    let app = Login {
        address: SocketAddr::from((address, engine.port())),
        host: &row.name,
        encryption: Encryption::Verified(platform.databases.authority.certificate()),
        user: &row.user,
        password: &row.password,
        database: &row.database_name,
    };
    let admin = Login {
        user,
        password: &row.admin_password,
        database,
        ..app
    };
    Logins { admin, app }
}

/// Their instances are somebody's.
pub(crate) async fn present_instances(store: &Store) -> Result<Vec<InstanceId>, PlatformError> {
    Ok(store
        .databases()
        .await?
        .into_iter()
        .filter_map(|row| row.instance)
        .collect())
}

/// Stops the servers of all databases; the data stays. Without keepers only: they would start them again.
pub(crate) async fn stop_all(platform: &Platform) -> Result<(), PlatformError> {
    for row in platform.store.databases().await? {
        stop(platform, &row, StopReason::Shutdown).await?;
    }
    Ok(())
}

/// Stops the server and removes its instance.
async fn stop(platform: &Platform, row: &DatabaseRow, reason: StopReason) -> Result<(), PlatformError> {
    let Some(instance) = row.instance else {
        return Ok(());
    };
    take_away(platform, instance, reason, STOPS_WITHIN)
        .await
        .map(drop)
}

/// Deletes the app's databases with all their data.
pub(crate) async fn delete_all(platform: &Arc<Platform>, app: AppId) -> Result<(), PlatformError> {
    for row in platform.store.databases_of_app(app).await? {
        let keeper = platform.databases.keeper(platform, row.id);
        let _turn = keeper.turn.lock().await;
        // What the keeper changed before this turn counts.
        let Some(row) = platform.store.database(row.id).await? else {
            continue;
        };
        delete(platform, &row).await?;
        keeper.wake.notify_one();
    }
    Ok(())
}

async fn delete(platform: &Platform, row: &DatabaseRow) -> Result<(), PlatformError> {
    backups::delete_all(platform, row).await?;
    stop(platform, row, StopReason::Requested).await?;
    if let Some(instance) = row.instance {
        platform.engine.forget(instance).await?;
    }
    let places = Places::new(&platform.config.data_dir, row.id);
    match tokio::fs::remove_dir_all(places.root()).await {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(PlatformError::Io {
                operation: format!("delete the data of database {}", row.name),
                source,
            });
        }
        _ => {}
    }
    image::release(&platform.images, row)?;
    platform.store.delete_database(row.id).await?;
    tracing::info!(app = %row.app, database = row.name, "a database, its data and its backups were deleted");
    Ok(())
}
