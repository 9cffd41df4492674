//! Apps: create, read, update, delete.

use std::collections::BTreeMap;

use mainstay_spec::{
    AppSpec, ParsedSpec,
    ids::{AppId, DeploymentId},
};
use mainstay_store::{AppRow, DeploymentRow};

use super::{Application, Refusal, answer, deployments::Wish};
use crate::{databases, rollout::Command};

/// An app with the deployments that clients ask for along with it.
#[derive(Debug, Clone)]
pub(crate) struct AppView {
    pub app: AppRow,
    pub active: Option<DeploymentRow>,
    /// Waiting for its turn.
    pub pending: Option<DeploymentRow>,
    /// Being built or deployed.
    pub in_progress: Option<DeploymentRow>,
    /// The rollback that the app stays at.
    pub pinned: Option<DeploymentRow>,
}

/// What a create or an update came to.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub view: AppView,
    pub deployment: DeploymentId,
}

/// A page of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// From 1.
    pub number: u64,
    pub size: u64,
}

impl Page {
    pub(crate) fn offset(self) -> u64 {
        (self.number - 1).saturating_mul(self.size)
    }
}

impl Application {
    /// Creates the app and its first deployment.
    pub(crate) async fn create_app(&self, spec: &AppSpec) -> Result<Accepted, Refusal> {
        self.check(spec, None).await?;
        let id = AppId::from_uuid(uuid::Uuid::new_v4());
        let first = Wish::initial(spec.clone()).into_deployment(new_deployment_id(), id, None);
        self.platform.store.create_app(&first).await?;
        // It finds its first deployment as it would after a restart.
        self.actor(id);
        Ok(Accepted {
            view: self.app(id).await?,
            deployment: first.id,
        })
    }

    pub(crate) async fn app(&self, id: AppId) -> Result<AppView, Refusal> {
        let app = self
            .platform
            .store
            .app(id)
            .await?
            .filter(|app| !app.deleting)
            .ok_or(Refusal::NotFound)?;
        self.view(app).await
    }

    /// By id or by name, as people type it.
    pub(crate) async fn app_by_name(&self, name: &str) -> Result<AppView, Refusal> {
        let app = self
            .platform
            .store
            .app_by_name(name)
            .await?
            .filter(|app| !app.deleting)
            .ok_or(Refusal::NotFound)?;
        self.view(app).await
    }

    pub(crate) async fn apps(&self, page: Page) -> Result<(Vec<AppView>, u64), Refusal> {
        let (rows, total) = self.platform.store.apps(page.offset(), page.size).await?;
        let mut views = Vec::with_capacity(rows.len());
        for app in rows {
            views.push(self.view(app).await?);
        }
        Ok((views, total))
    }

    /// Replaces the whole spec and deploys it. Components keep their commits unless `update_sources`.
    pub(crate) async fn update_app(
        &self,
        id: AppId,
        spec: &AppSpec,
        update_sources: bool,
    ) -> Result<Accepted, Refusal> {
        self.check(spec, Some(id)).await?;
        let before = self.app(id).await?;
        let pinned = if update_sources {
            BTreeMap::new()
        } else {
            self.pinned_sources(&before, spec).await?
        };
        let deployment = self.deploy(id, Wish::update(spec.clone(), pinned)).await?;
        Ok(Accepted {
            view: self.app(id).await?,
            deployment,
        })
    }

    /// Returns at once; what runs is drained and stopped in the background. An app with databases is only deleted `with_databases`: their data
    /// goes with them.
    pub(crate) async fn delete_app(&self, id: AppId, with_databases: bool) -> Result<(), Refusal> {
        self.app(id).await?;
        let databases = self.platform.store.databases_of_app(id).await?;
        if !databases.is_empty() && !with_databases {
            let names: Vec<String> = databases.iter().map(|row| format!("`{}`", row.name)).collect();
            return Err(Refusal::Conflict(format!(
                "the app has databases, whose data would be deleted for good: {}; to delete them with it, set delete_databases=true (`mainstay apps delete --delete-databases`)",
                names.join(", ")
            )));
        }
        self.platform.store.mark_app_deleting(id).await?;
        let (gone, _) = tokio::sync::oneshot::channel();
        drop(self.actor(id).send(Command::Delete { gone }).await);
        Ok(())
    }

    /// What this version cannot run is refused by name.
    async fn check(&self, spec: &AppSpec, app: Option<AppId>) -> Result<(), Refusal> {
        let mut unsupported = mainstay_spec::unsupported(spec);
        unsupported.extend(databases::check(&self.platform, spec, app).await?);
        if unsupported.is_empty() {
            Ok(())
        } else {
            Err(Refusal::Spec(unsupported))
        }
    }

    /// The spec as it would be accepted, with its warnings.
    pub(crate) async fn propose(&self, parsed: &ParsedSpec, app: Option<AppId>) -> Result<bool, Refusal> {
        self.check(&parsed.spec, app).await?;
        let taken = self.platform.store.app_by_name(&parsed.spec.name).await?;
        Ok(taken.is_none_or(|other| Some(other.id) == app))
    }

    async fn view(&self, app: AppRow) -> Result<AppView, Refusal> {
        let active = match app.active_deployment {
            Some(id) => self.platform.store.deployment(id).await?,
            None => None,
        };
        let pinned = match app.pinned_deployment {
            Some(id) => self.platform.store.deployment(id).await?,
            None => None,
        };
        let unsettled = self.platform.store.unsettled_deployments(app.id).await?;
        let waits = |row: &&DeploymentRow| row.phase == mainstay_deploy::PhaseKind::PendingBuild;
        let pending = unsettled.iter().rev().find(waits).cloned();
        // A failed one whose last jobs run is no longer under way.
        let failing = |row: &&DeploymentRow| row.phase == mainstay_deploy::PhaseKind::Failing;
        let in_progress = unsettled.iter().find(|row| !waits(row) && !failing(row)).cloned();
        Ok(AppView {
            app,
            active,
            pending,
            in_progress,
            pinned,
        })
    }

    pub(crate) async fn deploy(&self, app: AppId, wish: Wish) -> Result<DeploymentId, Refusal> {
        let before = self.platform.store.app(app).await?.ok_or(Refusal::NotFound)?;
        let id = new_deployment_id();
        let change = wish.change();
        let new = Box::new(wish.into_deployment(id, app, before.active_deployment));
        let (stored, answered) = tokio::sync::oneshot::channel();
        let command = Command::Deploy { new, change, stored };
        drop(self.actor(app).send(command).await);
        answer(answered).await??;
        Ok(id)
    }
}

fn new_deployment_id() -> DeploymentId {
    DeploymentId::from_uuid(uuid::Uuid::new_v4())
}
