//! Reading the logs of a deployment: what was kept, and what is being written.
//!
//! Builds, platform lines and instances each have a log of their own. They are read by cursors that remember their place, and delivered as
//! one stream, ordered by time within each look. The platform's lines (starts, ends, failed probes, restarts) stand among the app's own.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use jiff::Timestamp;
use mainstay_engine::LogQuery;
use mainstay_shim::log::{LogLine, LogReader, LogSource};
use mainstay_spec::{
    ComponentRef,
    ids::{AppId, DeploymentId, InstanceId},
    kind::ComponentKind,
};
use mainstay_store::{DeploymentRow, InstanceRow, Trigger};

use super::{
    Application, Refusal,
    links::{LogKind, LogWish},
};
use crate::{
    rollout::{builds_of, log_name},
    tasks::Stage,
};

/// How often live logs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Of one log in one look; what is left comes with the next.
const LINES_PER_LOOK_MAX: usize = 10_000;

/// A line with the component that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub component: String,
    pub line: LogLine,
}

impl Entry {
    /// As clients of the API expect it.
    pub(crate) fn text(&self) -> String {
        format!("{} {} {}\n", self.component, self.line.at, self.line.text)
    }
}

/// How a line of the platform's is told from one of the app's.
const PLATFORM_MARK: &str = "[mainstay] ";

/// A place in one log.
struct Cursor {
    component: String,
    place: Place,
    /// Only lines from and before these times.
    window: Option<(Timestamp, Timestamp)>,
}

enum Place {
    File(Box<LogReader>),
    Instance { id: InstanceId, after: Option<u64> },
}

impl Application {
    /// Checks that there is such a deployment and component.
    pub(crate) async fn log_wish(
        &self,
        app: AppId,
        deployment: Option<DeploymentId>,
        component: Option<String>,
        kind: LogKind,
        follow: bool,
        tail: Option<usize>,
    ) -> Result<LogWish, Refusal> {
        let view = self.app(app).await?;
        let latest = [&view.active, &view.in_progress, &view.pending];
        let deployment = match deployment {
            Some(id) => self.deployment(app, id).await?.row,
            None => match latest.into_iter().flatten().next() {
                Some(row) => row.clone(),
                None => self.newest_deployment(app).await?,
            },
        };
        if let Some(name) = &component
            && deployment.spec.component(name).is_none()
            && !self.has_database(app, name).await?
        {
            return Err(Refusal::BadRequest(format!(
                "deployment {} has no component {name:?}",
                deployment.id
            )));
        }
        Ok(LogWish {
            app,
            deployment: deployment.id,
            component,
            kind,
            follow,
            tail,
        })
    }

    /// Its server's log is read also when no spec names it any more.
    async fn has_database(&self, app: AppId, name: &str) -> Result<bool, Refusal> {
        let rows = self.platform.store.databases_of_app(app).await?;
        Ok(rows.iter().any(|row| row.name == name))
    }

    async fn newest_deployment(&self, app: AppId) -> Result<DeploymentRow, Refusal> {
        let (rows, _) = self.platform.store.deployments(app, 0, 1).await?;
        rows.into_iter().next().ok_or(Refusal::NotFound)
    }

    /// Everything that is kept, oldest first.
    pub(crate) async fn read_logs(&self, wish: &LogWish) -> Result<Vec<Entry>, Refusal> {
        let mut reading = Reading::new(self.clone(), wish.clone());
        let mut entries = Vec::new();
        loop {
            entries.extend(reading.look().await?);
            if reading.saw_nothing {
                break;
            }
        }
        if entries
            .iter()
            .all(|entry| entry.line.source == LogSource::Platform)
        {
            entries.extend(reading.what_was_there().await?);
        }
        entries.sort_by_key(|entry| entry.line.at);
        if let Some(tail) = wish.tail {
            entries.drain(..entries.len().saturating_sub(tail));
        }
        Ok(entries)
    }

    /// What is kept, then what comes, until there is nothing more to come.
    pub(crate) fn follow_logs(self, wish: LogWish) -> impl Stream<Item = Entry> + Send {
        let reading = Reading::new(self, wish);
        stream::unfold((reading, true), |(mut reading, first)| async move {
            loop {
                // Asked before the look: what is written until the end is part of it.
                let over = reading.is_over().await;
                let mut entries = reading.look().await.unwrap_or_default();
                if let (true, Some(tail)) = (first, reading.wish.tail) {
                    entries.drain(..entries.len().saturating_sub(tail));
                }
                if !entries.is_empty() {
                    return Some((entries, (reading, false)));
                }
                if over || reading.application.platform.tasks.is_at(Stage::Closing) {
                    return None;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
        .flat_map(stream::iter)
    }
}

struct Reading {
    application: Application,
    wish: LogWish,
    cursors: Vec<Cursor>,
    known: HashSet<String>,
    /// At the last look.
    saw_nothing: bool,
}

impl Reading {
    fn new(application: Application, wish: LogWish) -> Self {
        Self {
            application,
            wish,
            cursors: Vec::new(),
            known: HashSet::new(),
            saw_nothing: false,
        }
    }

    /// The next lines of every log, by time.
    async fn look(&mut self) -> Result<Vec<Entry>, Refusal> {
        self.find_logs().await?;
        let mut entries = Vec::new();
        self.saw_nothing = true;
        for cursor in &mut self.cursors {
            let lines = cursor.read(&self.application).await;
            self.saw_nothing &= lines.is_empty();
            let lines = lines.into_iter().filter(|line| {
                cursor
                    .window
                    .is_none_or(|(from, to)| from <= line.at && line.at < to)
            });
            entries.extend(lines.map(|line| Entry {
                component: cursor.component.clone(),
                line,
            }));
        }
        if self.wish.kind != LogKind::Build {
            entries.iter_mut().for_each(mark);
        }
        entries.sort_by_key(|entry| entry.line.at);
        Ok(entries)
    }

    /// A line for each component that had such a log once: empty and gone are different answers.
    async fn what_was_there(&self) -> Result<Vec<Entry>, Refusal> {
        let platform = &self.application.platform;
        let Some(row) = platform.store.deployment(self.wish.deployment).await? else {
            return Ok(Vec::new());
        };
        let mut gone: BTreeMap<String, Timestamp> = BTreeMap::new();
        if self.wish.kind == LogKind::Build {
            let ended = builds_of(platform, &row).await?.into_iter();
            let ended = ended.filter_map(|build| Some((build.id, build.component, build.facts?.ended_at)));
            let unlogged = ended.filter(|(id, ..)| !platform.logs.has_build(*id));
            gone.extend(unlogged.map(|(_, component, at)| (component, at)));
        } else {
            for instance in wanted(&self.instances(&row).await?, self.wish.kind) {
                // One that could never be started had none.
                if instance.removed
                    && instance.exit.is_some()
                    && platform
                        .engine
                        .logs(instance.id, LogQuery::default())
                        .await
                        .is_err()
                {
                    gone.insert(instance.component, instance.created_at);
                }
            }
        }
        let wanted = gone.into_iter().filter(|(component, _)| self.wants(component));
        Ok(wanted
            .map(|(component, at)| no_longer_kept(component, at))
            .collect())
    }

    fn wants(&self, component: &str) -> bool {
        self.wish.component.as_ref().is_none_or(|name| name == component)
    }

    /// Logs appear as builds and instances start.
    async fn find_logs(&mut self) -> Result<(), Refusal> {
        let platform = self.application.platform.clone();
        let Some(row) = platform.store.deployment(self.wish.deployment).await? else {
            return Ok(());
        };
        if self.wish.kind == LogKind::Build {
            for build in builds_of(&platform, &row).await? {
                let reader = platform.logs.build_reader(build.id, None);
                let place = reader.map(|reader| Place::File(Box::new(reader)));
                self.add(&build.component, &build.id.to_string(), place, None);
            }
            return Ok(());
        }
        if let LogKind::Job { invocation } = self.wish.kind
            && let Some(run) = platform.store.invocation(invocation).await?
        {
            let log = log_name(&run);
            let place = platform.logs.deploy_reader(row.id, &log);
            let place = place.map(|reader| Place::File(Box::new(reader)));
            self.add(&run.job, &format!("platform {log}"), place, None);
        }
        self.find_database(row.app).await?;
        let all = self.instances(&row).await?;
        let shown = wanted(&all, self.wish.kind);
        let components = row.spec.components();
        let kind = self.wish.kind;
        // Jobs have ended when the rest runs, and their runs have logs of their own.
        let told = |component: &ComponentRef<'_>| match kind {
            LogKind::Job { .. } => false,
            LogKind::Run => component.kind() != ComponentKind::Job,
            _ => true,
        };
        for component in components.filter(told) {
            let window = match self.wish.kind {
                LogKind::RunRestarted => life(&all, &shown, component.name()),
                _ => None,
            };
            if self.wish.kind == LogKind::RunRestarted && window.is_none() {
                continue;
            }
            let reader = platform.logs.deploy_reader(row.id, component.name());
            let place = reader.map(|reader| Place::File(Box::new(reader)));
            self.add(
                component.name(),
                &format!("platform {}", component.name()),
                place,
                window,
            );
        }
        for instance in shown {
            let place = Place::Instance {
                id: instance.id,
                after: None,
            };
            self.add(&instance.component, &instance.id.to_string(), Some(place), None);
        }
        Ok(())
    }

    /// The log of a database's server is read when it is asked for by name: it goes on beside the deployments.
    async fn find_database(&mut self, app: AppId) -> Result<(), Refusal> {
        let (LogKind::Run, Some(name)) = (self.wish.kind, self.wish.component.clone()) else {
            return Ok(());
        };
        let rows = self.application.platform.store.databases_of_app(app).await?;
        let named = rows.iter().find(|row| row.name == name);
        if let Some(id) = named.and_then(|row| row.instance) {
            let place = Place::Instance { id, after: None };
            self.add(&name, &id.to_string(), Some(place), None);
        }
        Ok(())
    }

    /// The instances whose logs may be asked for.
    async fn instances(&self, row: &DeploymentRow) -> Result<Vec<InstanceRow>, Refusal> {
        let store = &self.application.platform.store;
        if let LogKind::Job { invocation } = self.wish.kind {
            return Ok(store.instances_of_invocation(invocation).await?);
        }
        let mut rows = store.instances_of_deployment(row.id).await?;
        // Runs that a deployment does not wait for are none of its logs.
        if self.wish.kind == LogKind::Deploy {
            let (runs, _) = store.invocations(row.app, &[], Some(row.id), 0, u64::MAX).await?;
            let own: HashSet<_> = runs
                .iter()
                .filter(|run| run.trigger == Trigger::Deployment)
                .map(|run| run.id)
                .collect();
            rows.retain(|instance| instance.invocation.is_none_or(|id| own.contains(&id)));
        }
        // What runs is not what ran for a deployment, unless it is asked for by name.
        if self.wish.kind == LogKind::Run && self.wish.component.is_none() {
            rows.retain(|instance| instance.invocation.is_none());
        }
        Ok(rows)
    }

    fn add(
        &mut self,
        component: &str,
        key: &str,
        place: Option<Place>,
        window: Option<(Timestamp, Timestamp)>,
    ) {
        let Some(place) = place.filter(|_| self.wants(component)) else {
            return;
        };
        if self.known.insert(key.to_owned()) {
            self.cursors.push(Cursor {
                component: component.to_owned(),
                place,
                window,
            });
        }
    }

    /// Nothing more will be written.
    async fn is_over(&self) -> bool {
        let Ok(Some(row)) = self
            .application
            .platform
            .store
            .deployment(self.wish.deployment)
            .await
        else {
            return true;
        };
        match self.wish.kind {
            LogKind::Build => self.builds_ended(&row).await,
            LogKind::Deploy => settled(&row),
            LogKind::RunRestarted => true,
            LogKind::Job { invocation } => {
                let run = self.application.platform.store.invocation(invocation).await;
                !run.is_ok_and(|run| run.is_some_and(|run| !run.phase.is_over()))
            }
            LogKind::Run => {
                let instances = self
                    .application
                    .platform
                    .store
                    .instances_of_deployment(row.id)
                    .await;
                settled(&row) && instances.is_ok_and(|rows| rows.iter().all(|instance| instance.removed))
            }
        }
    }

    async fn builds_ended(&self, row: &DeploymentRow) -> bool {
        let builds = builds_of(&self.application.platform, row)
            .await
            .unwrap_or_default();
        let wanted = |component: &str| self.wish.component.as_ref().is_none_or(|name| name == component);
        let ended = builds
            .iter()
            .filter(|build| wanted(&build.component))
            .all(|build| build.facts.is_some());
        settled(row) || (ended && !builds.is_empty())
    }
}

fn no_longer_kept(component: String, at: Timestamp) -> Entry {
    Entry {
        component,
        line: LogLine {
            sequence: 0,
            at,
            source: LogSource::Platform,
            text: "this log is no longer kept: it was too old, or there was no room for it".into(),
        },
    }
}

fn settled(row: &DeploymentRow) -> bool {
    use mainstay_deploy::PhaseKind::{Active, Canceled, Failed, Superseded};
    matches!(row.phase, Active | Canceled | Failed | Superseded)
}

/// Of each slot (`web-0`): all instances, the newest, or the one before it.
fn wanted(rows: &[InstanceRow], kind: LogKind) -> Vec<InstanceRow> {
    let back = match kind {
        LogKind::Build | LogKind::Deploy | LogKind::Job { .. } => return rows.to_vec(),
        LogKind::Run => 0,
        LogKind::RunRestarted => 1,
    };
    let of_slot = |row: &InstanceRow| {
        rows.iter()
            .filter(|other| other.name() == row.name())
            .rev()
            .nth(back)
            .map(|row| row.id)
    };
    rows.iter()
        .filter(|row| of_slot(row) == Some(row.id))
        .cloned()
        .collect()
}

/// From the first start of the component's shown instances until the first start of those that followed them.
fn life(all: &[InstanceRow], shown: &[InstanceRow], component: &str) -> Option<(Timestamp, Timestamp)> {
    let of_component = |row: &&InstanceRow| row.component == component;
    let shown: Vec<&InstanceRow> = shown.iter().filter(of_component).collect();
    let from = shown.iter().map(|row| row.created_at).min()?;
    let follows = |row: &&InstanceRow| {
        shown
            .iter()
            .any(|before| before.ordinal == row.ordinal && before.created_at < row.created_at)
    };
    let to = all.iter().filter(of_component).filter(follows);
    let to = to.map(|row| row.created_at).max().unwrap_or(Timestamp::MAX);
    Some((from, to))
}

fn mark(entry: &mut Entry) {
    if entry.line.source == LogSource::Platform {
        entry.line.text.insert_str(0, PLATFORM_MARK);
    }
}

impl Cursor {
    /// A log that cannot be read has nothing to say.
    async fn read(&mut self, application: &Application) -> Vec<LogLine> {
        match &mut self.place {
            Place::File(reader) => reader.read().unwrap_or_default(),
            Place::Instance { id, after } => {
                let query = LogQuery {
                    after: *after,
                    ..LogQuery::default()
                };
                let Ok(lines) = application.platform.engine.logs(*id, query).await else {
                    return Vec::new();
                };
                let lines = lines
                    .take(LINES_PER_LOOK_MAX)
                    .filter_map(|line| async move { line.ok() });
                let lines: Vec<LogLine> = lines.collect().await;
                *after = lines.last().map(|line| line.sequence).or(*after);
                lines
            }
        }
    }
}
