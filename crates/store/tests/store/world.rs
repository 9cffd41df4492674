//! A store in a directory of its own, and short ways to fill it.

use jiff::Timestamp;
use mainstay_deploy::{Event, PhaseKind, Recorded};
use mainstay_spec::{
    AppSpec,
    ids::{AccountId, AppId, DeploymentId, InstanceId, InvocationId},
};
use mainstay_store::{AppChange, InstanceRow, NewDeployment, NewInvocation, Store, Trigger};
use uuid::Uuid;

pub(crate) struct World {
    pub(crate) store: Store,
    /// Goes with the world.
    _directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("test.db")).await.unwrap();
        Self {
            store,
            _directory: directory,
        }
    }

    /// An app with its first deployment, which waits.
    pub(crate) async fn app(&self, name: &str) -> (AppId, DeploymentId) {
        let app = AppId::from_uuid(Uuid::new_v4());
        let first = new(app, name);
        self.store.create_app(AccountId::FIRST, &first).await.unwrap();
        (app, first.id)
    }

    pub(crate) async fn deployment(&self, app: AppId) -> DeploymentId {
        // Two apps have no host together.
        let new = new(app, &format!("any-{}", app.short()));
        self.store.accept(&new, AppChange::Nothing).await.unwrap();
        new.id
    }

    /// A deployment that served for a while, or does still when it is the newest.
    pub(crate) async fn served(&self, app: AppId) -> DeploymentId {
        let id = self.deployment(app).await;
        self.activate(id).await;
        id
    }

    pub(crate) async fn activate(&self, id: DeploymentId) {
        self.settle(id, PhaseKind::Active).await;
    }

    pub(crate) async fn settle(&self, id: DeploymentId, phase: PhaseKind) {
        let sequence = self.store.events(id).await.unwrap().len() as u64;
        let recorded = Recorded {
            at: Timestamp::now(),
            event: Event::RoutesSwitched,
        };
        self.store
            .append_event(id, sequence, &recorded, phase, true)
            .await
            .unwrap();
    }

    /// A run of a job that was asked for and has not begun.
    pub(crate) async fn run(&self, app: AppId, deployment: DeploymentId) -> InvocationId {
        let new = NewInvocation {
            id: InvocationId::from_uuid(Uuid::new_v4()),
            app,
            deployment,
            job: "nightly".to_owned(),
            trigger: Trigger::Manual { by: "admin".into() },
            created_at: Timestamp::now(),
            skipped: false,
            note: None,
        };
        self.store.ensure_invocation(&new).await.unwrap().id
    }

    pub(crate) async fn instance(&self, app: AppId, deployment: DeploymentId) -> InstanceId {
        let row = InstanceRow {
            id: InstanceId::from_uuid(Uuid::new_v4()),
            app,
            deployment,
            component: "web".to_owned(),
            ordinal: 0,
            created_at: Timestamp::now(),
            removed: false,
            exit: None,
            restarts: 0,
            invocation: None,
        };
        self.store.insert_instance(&row).await.unwrap();
        row.id
    }
}

pub(crate) fn new(app: AppId, name: &str) -> NewDeployment {
    NewDeployment {
        id: DeploymentId::from_uuid(Uuid::new_v4()),
        app,
        spec: AppSpec {
            name: name.to_owned(),
            ..AppSpec::default()
        },
        cause: "manual".to_owned(),
        cause_kind: "MANUAL".to_owned(),
        previous: None,
        force_build: false,
        pinned_sources: std::collections::BTreeMap::new(),
        cloned_from: None,
        restarts: None,
        created_at: Timestamp::now(),
    }
}
