//! Looks after one database: brings what is there in line with what should be, and says how it is.
//!
//! Level-triggered: each turn looks at the row, the volume and the engine, does what is missing, and remembers nothing that a restart of the
//! server would lose.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use futures_util::StreamExt;
use mainstay_diagnosis::{
    exit_codes,
    facts::{DatabaseProblem, ExitRecord, StopReason},
};
use mainstay_engine::{InstanceSpec, InstanceState, LogQuery, StartError};
use mainstay_images::{stack::USER_ID, store::free_bytes};
use mainstay_spec::ids::{DatabaseId, InstanceId};
use mainstay_store::DatabaseRow;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    Condition, Keeper, announce, engines, image,
    login::Trouble,
    logins,
    server::Place,
    stop,
    volume::{self, Places},
};
use crate::{
    platform::{Platform, PlatformError},
    rollout::end_of,
};

/// How often a database is looked at when nobody says that something changed.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Between two logins while the server starts.
const LOGIN_EVERY: Duration = Duration::from_millis(200);
/// Between two starts of a server that ends.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A server that ran so long had no trouble starting.
const SETTLED_AFTER: Duration = Duration::from_mins(1);
/// A new cluster takes seconds, on a busy disk more.
const INITIALIZES_WITHIN: Duration = Duration::from_mins(3);
/// A login, three questions, and for a new database two statements that copy some megabytes.
const PREPARES_WITHIN: Duration = Duration::from_secs(30);
/// What has to be free on the disk before a volume that the kernel closed is opened again: what the server had not written yet, and some.
const ROOM_TO_REOPEN: u64 = 32 << 20;
/// Lines of a server's log that are looked at when it ended.
const LOG_LINES: usize = 20;

/// What to wait for before the next turn.
enum Next {
    /// It runs: until it ends.
    Watch(InstanceId),
    Look(Duration),
    /// There is nothing to look after any more.
    Gone,
}

/// What a keeper knows besides the store.
struct Memory {
    pause: Duration,
    started_at: Instant,
    /// The instance that was found ready.
    ready: Option<InstanceId>,
    last: Option<Trouble>,
}

/// Looks after the database until it is deleted.
pub(super) async fn keep(
    platform: Arc<Platform>,
    id: DatabaseId,
    keeper: Keeper,
    condition: watch::Sender<Condition>,
) {
    let mut memory = Memory {
        pause: PAUSE_FIRST,
        started_at: Instant::now(),
        ready: None,
        last: None,
    };
    loop {
        let next = {
            let _turn = keeper.turn.lock().await;
            match tend(&platform, id, &condition, &mut memory).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(database = %id, error = &error as &dyn std::error::Error, "could not look after a database; will try again");
                    let trouble = Trouble::new(DatabaseProblem::Other, "the platform could not start it");
                    show(&condition, Condition::Starting(Some(trouble)));
                    Next::Look(memory.back_off())
                }
            }
        };
        match next {
            Next::Gone => break,
            Next::Look(pause) => tokio::select! {
                () = sleep(pause) => {}
                () = keeper.wake.notified() => {}
            },
            Next::Watch(instance) => tokio::select! {
                _ = end_of(Arc::clone(&platform.engine), instance) => {}
                () = sleep(LOOK_EVERY) => {}
                () = keeper.wake.notified() => {}
            },
        }
    }
    platform.databases.forget(id);
}

impl Memory {
    fn back_off(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        pause
    }
}

fn show(condition: &watch::Sender<Condition>, now: Condition) {
    condition.send_if_modified(|shown| {
        let changed = *shown != now;
        *shown = now;
        changed
    });
}

async fn tend(
    platform: &Platform,
    id: DatabaseId,
    condition: &watch::Sender<Condition>,
    memory: &mut Memory,
) -> Result<Next, PlatformError> {
    let Some(row) = platform.store.database(id).await? else {
        return Ok(Next::Gone);
    };
    let Some(wanted) = is_wanted(platform, &row).await? else {
        // Whoever deletes the app deletes its databases, after what may still write to them.
        return Ok(Next::Look(LOOK_EVERY));
    };
    if !wanted {
        if let Condition::Ready { .. } = *condition.borrow() {
            tracing::info!(database = row.name, app = %row.app, "no spec names it any more: stopping it, its data stays");
        }
        stop(platform, &row, StopReason::Requested).await?;
        forget_replaced(platform, &row).await?;
        show(condition, Condition::Stopped);
        return Ok(Next::Look(LOOK_EVERY));
    }
    if let Some(instance) = row.instance
        && let Some(status) = platform.engine.status(instance).await?
    {
        if status.state == InstanceState::Running {
            if is_closed(&row, status.pid)? {
                return reopen(platform, &row, condition, memory).await;
            }
            return attend(platform, &row, instance, status.address, condition, memory).await;
        }
        memory.ready = None;
        let trouble = ended(platform, instance, status.exit.as_ref()).await;
        tracing::warn!(database = row.name, app = %row.app, how = trouble.message, "a database's server ended");
        memory.last = Some(trouble.clone());
        show(condition, Condition::Starting(Some(trouble)));
        platform.engine.remove(instance).await?;
        platform.engine.forget(instance).await?;
        if memory.started_at.elapsed() >= SETTLED_AFTER {
            memory.pause = PAUSE_FIRST;
        } else {
            return Ok(Next::Look(memory.back_off()));
        }
    }
    start(platform, &row, condition, memory).await
}

/// Whether its server runs, and can write to its volume no more.
fn is_closed(row: &DatabaseRow, pid: Option<i32>) -> Result<bool, PlatformError> {
    let Some(pid) = pid else { return Ok(false) };
    let volume = engines::of_row(row)?.volume();
    Ok(volume::is_closed(pid, volume).unwrap_or_else(|error| {
        // It is ending, which is seen in its own way.
        tracing::debug!(database = row.name, %error, "could not look at a volume");
        false
    }))
}

/// Only a new server on a new mount of the volume can write again; with a full disk it could not either.
async fn reopen(
    platform: &Platform,
    row: &DatabaseRow,
    condition: &watch::Sender<Condition>,
    memory: &mut Memory,
) -> Result<Next, PlatformError> {
    memory.ready = None;
    let has_room = free_bytes(&platform.config.data_dir)? >= ROOM_TO_REOPEN;
    let why = if has_room {
        "a write to its volume failed: its server is started anew"
    } else {
        "the machine's disk is full: its volume can be written to no more until there is room"
    };
    let trouble = Trouble::new(DatabaseProblem::StorageFull, why);
    if memory.last.as_ref() != Some(&trouble) {
        tracing::warn!(database = row.name, app = %row.app, why, "a database cannot write");
    }
    memory.last = Some(trouble.clone());
    show(condition, Condition::Starting(Some(trouble)));
    if !has_room {
        return Ok(Next::Look(LOOK_EVERY));
    }
    stop(platform, row, StopReason::Requested).await?;
    Ok(Next::Look(Duration::ZERO))
}

/// A deployment that serves, goes on or waits has it in its spec, or the app's own spec has. `None` when the app is being deleted.
pub(super) async fn is_wanted(platform: &Platform, row: &DatabaseRow) -> Result<Option<bool>, PlatformError> {
    let store = &platform.store;
    let Some(app) = store.app(row.app).await?.filter(|app| !app.deleting) else {
        return Ok(None);
    };
    let names =
        |spec: &mainstay_spec::AppSpec| super::of_platform(spec).any(|database| database.name == row.name);
    if names(&app.spec) {
        return Ok(Some(true));
    }
    let active = match app.active_deployment {
        Some(id) => store.deployment(id).await?,
        None => None,
    };
    let unsettled = store.unsettled_deployments(row.app).await?;
    let mut deployments = active.iter().chain(&unsettled);
    Ok(Some(deployments.any(|deployment| names(&deployment.spec))))
}

/// Prepares whatever is missing and starts the server.
async fn start(
    platform: &Platform,
    row: &DatabaseRow,
    condition: &watch::Sender<Condition>,
    memory: &mut Memory,
) -> Result<Next, PlatformError> {
    if !matches!(*condition.borrow(), Condition::Starting(_) | Condition::Broken(_)) {
        show(condition, Condition::Starting(memory.last.clone()));
    }
    let places = Places::new(&platform.config.data_dir, row.id);
    let place = Place {
        row,
        engine: engines::of_row(row)?,
        places: &places,
        config: &platform.config.databases,
    };
    let record = image::ensure(platform, row).await?;
    let layers = platform.images.layer_paths(&record)?;
    let identity = platform
        .databases
        .authority
        .issue(std::slice::from_ref(&row.name))?;
    place.write_settings(&identity)?;
    if row.volume_made {
        let marks = volume::Marks::of(place.engine, row);
        if let Err(problem) = volume::look(&places.volume(row), row.id, marks).await? {
            tracing::warn!(database = row.name, app = %row.app, %problem, "a database is not started");
            let trouble = Trouble::new(DatabaseProblem::VolumeLost, problem.to_string());
            show(condition, Condition::Broken(trouble));
            return Ok(Next::Look(LOOK_EVERY));
        }
    } else {
        // Nobody was let in yet: whatever an earlier try left may go.
        volume::make(&places.volume(row), row.id, row.volume_bytes, USER_ID).await?;
        for command in place.engine.initialize(row) {
            let spec = place.initialize(new_instance(), layers.clone(), command);
            if let Err(trouble) = run_to_end(platform, spec).await? {
                tracing::warn!(database = row.name, app = %row.app, how = trouble.message, "a new database could not be filled");
                show(condition, Condition::Starting(Some(trouble)));
                return Ok(Next::Look(memory.back_off()));
            }
        }
    }
    let instance = new_instance();
    platform.store.set_database_instance(row.id, instance).await?;
    platform.engine.ensure_network(row.app).await?;
    let spec = place.serve(instance, layers);
    memory.started_at = Instant::now();
    if let Err(error) = platform.engine.start(spec).await {
        let trouble = not_started(&error);
        tracing::warn!(database = row.name, app = %row.app, error = &error as &dyn std::error::Error, "a database's server could not be started");
        show(condition, Condition::Starting(Some(trouble)));
        return Ok(Next::Look(memory.back_off()));
    }
    announce(platform, row.app).await?;
    Ok(Next::Look(Duration::ZERO))
}

fn new_instance() -> InstanceId {
    InstanceId::from_uuid(uuid::Uuid::new_v4())
}

/// Its server runs: logs in until it lets us, then sees to it that the app can.
async fn attend(
    platform: &Platform,
    row: &DatabaseRow,
    instance: InstanceId,
    address: Option<Ipv4Addr>,
    condition: &watch::Sender<Condition>,
    memory: &mut Memory,
) -> Result<Next, PlatformError> {
    if memory.ready == Some(instance) {
        return Ok(Next::Watch(instance));
    }
    let address =
        address.ok_or_else(|| PlatformError::missing(format!("the address of database {}", row.name)))?;
    let prepared = timeout(PREPARES_WITHIN, prepare(platform, row, address)).await;
    let prepared = prepared.unwrap_or_else(|_| {
        Err(Trouble::new(
            DatabaseProblem::TimedOut,
            "its server does not answer",
        ))
    });
    match prepared {
        Ok(identifier) => {
            if row
                .system_identifier
                .as_ref()
                .is_some_and(|known| *known != identifier)
            {
                let message = format!("its volume holds the data of another server ({identifier})");
                show(
                    condition,
                    Condition::Broken(Trouble::new(DatabaseProblem::VolumeLost, message)),
                );
                stop(platform, row, StopReason::Requested).await?;
                return Ok(Next::Look(LOOK_EVERY));
            }
            if !row.volume_made {
                platform.store.set_database_made(row.id, &identifier).await?;
            }
            announce(platform, row.app).await?;
            forget_replaced(platform, row).await?;
            memory.ready = Some(instance);
            memory.last = None;
            show(condition, Condition::Ready { address });
            tracing::info!(database = row.name, app = %row.app, "a database is ready");
            Ok(Next::Watch(instance))
        }
        Err(trouble) => {
            show(condition, Condition::Starting(Some(trouble)));
            Ok(Next::Look(LOGIN_EVERY))
        }
    }
}

/// Its data was restored, and counted; what was there before is not needed any more.
async fn forget_replaced(platform: &Platform, row: &DatabaseRow) -> Result<(), PlatformError> {
    let Some(file) = &row.replaced_volume else {
        return Ok(());
    };
    let path = Places::new(&platform.config.data_dir, row.id).root().join(file);
    match tokio::fs::remove_file(&path).await {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(PlatformError::Io {
            operation: format!("delete the volume {} that was replaced", path.display()),
            source,
        }),
        _ => Ok(platform.store.forget_replaced_volume(row.id).await?),
    }
}

/// What the server calls its data, once the app's role and database are there.
async fn prepare(platform: &Platform, row: &DatabaseRow, address: Ipv4Addr) -> Result<String, Trouble> {
    let engine =
        engines::of_row(row).map_err(|error| Trouble::new(DatabaseProblem::Other, error.to_string()))?;
    engine.provide(&logins(platform, row, engine, address), row).await
}

/// Runs a tool of the database, and removes it.
pub(super) async fn run_to_end(
    platform: &Platform,
    spec: InstanceSpec,
) -> Result<Result<(), Trouble>, PlatformError> {
    let (engine, instance) = (&platform.engine, spec.id);
    if let Err(error) = engine.start(spec).await {
        return Ok(Err(not_started(&error)));
    }
    let ended_by_itself = timeout(INITIALIZES_WITHIN, end_of(Arc::clone(engine), instance)).await;
    let exit = match ended_by_itself {
        // An error says that nothing of it runs.
        Ok(exit) => exit?,
        Err(_) => {
            engine
                .stop(instance, StopReason::TimeLimit, Duration::ZERO)
                .await?
        }
    };
    let went_well = exit.stop.is_none()
        && exit.termination == Some(mainstay_diagnosis::facts::Termination::Exited { code: 0 });
    let outcome = if went_well {
        Ok(())
    } else {
        Err(ended(platform, instance, Some(&exit)).await)
    };
    engine.remove(instance).await?;
    engine.forget(instance).await?;
    Ok(outcome)
}

fn not_started(error: &StartError) -> Trouble {
    let chain: Vec<String> =
        std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect();
    Trouble::new(DatabaseProblem::Ended, chain.join(": "))
}

/// How it ended, and the last words of its log.
pub(super) async fn ended(platform: &Platform, instance: InstanceId, exit: Option<&ExitRecord>) -> Trouble {
    let killed_for_memory = exit.is_some_and(|exit| !exit.memory.kills.is_empty());
    let story = match exit {
        _ if killed_for_memory => "was killed because its memory was full".to_owned(),
        Some(exit) => exit_codes::termination_story(exit.termination),
        None => "ended".to_owned(),
    };
    let words = last_words(platform, instance).await;
    let message = match words {
        Some(words) => format!("its server {story}: {words}"),
        None => format!("its server {story}"),
    };
    Trouble::new(DatabaseProblem::Ended, message)
}

/// What the server says last before it ends for a reason of its own; else its last line.
async fn last_words(platform: &Platform, instance: InstanceId) -> Option<String> {
    let query = LogQuery {
        tail: Some(LOG_LINES),
        ..LogQuery::default()
    };
    let lines = platform.engine.logs(instance, query).await.ok()?;
    let lines: Vec<String> = lines
        .filter_map(async |line| line.ok().map(|line| line.text))
        .collect()
        .await;
    let telling = |line: &&String| {
        ["PANIC:", "FATAL:", "ERROR:", "error:", "[ERROR]"]
            .iter()
            .any(|word| line.contains(word))
    };
    lines.iter().rfind(telling).or(lines.last()).cloned()
}
