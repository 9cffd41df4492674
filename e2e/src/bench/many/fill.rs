//! Fills a server's database with copies of what one real deployment left there. The server must not run meanwhile.

use std::{fs, path::Path};

use jiff::{SignedDuration, Timestamp};
use mainstay_deploy::{ComponentPlan, Event, Recorded, State, step};
use mainstay_spec::ids::{AccountId, AppId, BuildId, DeploymentId};
use mainstay_store::{AppChange, BuildRow, DeploymentRow, NewDeployment, Store};
use serde_json::Value;
use uuid::Uuid;

/// Every commit waits for the disk: a memory file system has none to wait for.
const MEMORY: &str = "/dev/shm";

#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) apps: usize,
    pub(super) deployments_each: usize,
    /// Of the apps, the oldest. The deployments of the others were canceled.
    pub(super) serving: usize,
}

/// An app that serves, and its active deployment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copied {
    pub(super) app: AppId,
    pub(super) deployment: DeploymentId,
}

/// What a deployment left.
struct Model {
    row: DeploymentRow,
    events: Vec<Recorded>,
    builds: Vec<BuildRow<Value, Value>>,
}

impl Size {
    pub(super) fn deployments(self) -> usize {
        self.apps * self.deployments_each
    }
}

/// The apps that serve.
pub(super) fn fill(database: &Path, size: Size) -> Vec<Copied> {
    let directory = tempfile::tempdir_in(MEMORY).expect("a memory file system");
    let draft = directory.path().join("mainstay.db");
    fs::copy(database, &draft).expect("the server left its database");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let copied = runtime.block_on(async {
        let store = Store::open(&draft).await.expect("the server's own database");
        let model = Model::read(&store).await;
        let mut copied = Vec::new();
        for number in 0..size.apps {
            let serves = number < size.serving;
            let newest = model
                .copy_app(&store, number, size.deployments_each, serves)
                .await;
            copied.extend(serves.then_some(newest));
        }
        store.close().await;
        copied
    });
    fs::copy(&draft, database).expect("the server's own directory");
    copied
}

impl Model {
    /// Of the only app.
    async fn read(store: &Store) -> Self {
        let (apps, _) = store.apps(AccountId::FIRST, 0, 1).await.expect("a database");
        let active = apps[0].active_deployment.expect("the model serves");
        let row = store.deployment(active).await.expect("a database");
        Self {
            row: row.expect("what serves is there"),
            events: store.events(active).await.expect("a database"),
            builds: store.builds(active).await.expect("a database"),
        }
    }

    async fn copy_app(&self, store: &Store, number: usize, deployments: usize, serves: bool) -> Copied {
        let app = AppId::from_uuid(Uuid::new_v4());
        let mut newest: Option<DeploymentId> = None;
        for _ in 0..deployments {
            let new = self.new_deployment(app, number, newest);
            match newest {
                None => store
                    .create_app(AccountId::FIRST, &new)
                    .await
                    .expect("a name of its own"),
                Some(_) => store.accept(&new, AppChange::Nothing).await.expect("an app"),
            }
            let sequence = self.copy_events(store, new.id, serves).await;
            self.copy_builds(store, new.id).await;
            if let Some(before) = newest.filter(|_| serves) {
                let event = Event::NewerActive { deployment: new.id };
                self.append(store, before, sequence, event).await;
            }
            newest = Some(new.id);
        }
        Copied {
            app,
            deployment: newest.expect("at least one"),
        }
    }

    fn new_deployment(&self, app: AppId, number: usize, previous: Option<DeploymentId>) -> NewDeployment {
        let mut spec = self.row.spec.clone();
        spec.name = format!("many-{number}");
        NewDeployment {
            id: DeploymentId::from_uuid(Uuid::new_v4()),
            app,
            spec,
            cause: self.row.cause.clone(),
            cause_kind: self.row.cause_kind.clone(),
            previous,
            force_build: false,
            pinned_sources: self.row.pinned_sources.clone(),
            cloned_from: None,
            restarts: None,
            created_at: self.at(number),
        }
    }

    /// Each app is a second older than the next.
    fn at(&self, number: usize) -> Timestamp {
        let seconds = i64::try_from(number).expect("a small number") + 1;
        self.row.created_at + SignedDuration::from_secs(seconds)
    }

    /// All of them, or else as if somebody had called it off before the switch. The number of the next event.
    async fn copy_events(&self, store: &Store, deployment: DeploymentId, serves: bool) -> u64 {
        let is_before = |recorded: &&Recorded| serves || recorded.event != Event::RoutesSwitched;
        let mut events: Vec<Recorded> = self.events.iter().take_while(is_before).cloned().collect();
        if !serves {
            events.push(Recorded {
                at: self.row.updated_at,
                event: Event::CancelRequested { by: "user".into() },
            });
        }
        let mut state = State::new(self.components());
        for (sequence, recorded) in (0..).zip(&events) {
            (state, _) = step(&state, &recorded.event).expect("it happened so");
            let settled = state.phase.is_settled();
            store
                .append_event(deployment, sequence, recorded, state.phase.kind(), settled)
                .await
                .expect("an event");
        }
        events.len() as u64
    }

    async fn append(&self, store: &Store, deployment: DeploymentId, sequence: u64, event: Event) {
        let recorded = Recorded {
            at: self.row.updated_at,
            event,
        };
        let phase = mainstay_deploy::PhaseKind::Superseded;
        store
            .append_event(deployment, sequence, &recorded, phase, true)
            .await
            .expect("an event");
    }

    async fn copy_builds(&self, store: &Store, deployment: DeploymentId) {
        for build in &self.builds {
            let build = BuildRow {
                id: BuildId::from_uuid(Uuid::new_v4()),
                deployment,
                ..build.clone()
            };
            store.put_build(&build).await.expect("a build");
        }
    }

    /// A static site's spec has neither jobs nor databases.
    fn components(&self) -> Vec<ComponentPlan> {
        let plan = |component: mainstay_spec::ComponentRef<'_>| ComponentPlan {
            name: component.name().to_owned(),
            kind: component.kind(),
            job: None,
        };
        self.row.spec.components().map(plan).collect()
    }
}
