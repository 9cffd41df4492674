//! Deployments: create, read with progress, cancel, restart.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use mainstay_deploy::{Leaf, LeafName, LeafStatus, Recorded, leaves};
use mainstay_spec::{
    AppSpec,
    ids::{AppId, DeploymentId},
};
use mainstay_store::{AppChange, DeploymentRow, InstanceEventRow, InstanceRow, NewDeployment, ReasonRow};

use super::{
    Application, Refusal, answer,
    apps::{AppView, Page},
};
use crate::rollout::{BuildRow, Command, builds_of, history::component_plans};

pub(crate) const MANUAL_ROLLBACK: &str = "MANUAL_ROLLBACK";

/// What somebody wants deployed, and why.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    spec: AppSpec,
    cause: String,
    cause_kind: &'static str,
    force_build: bool,
    pinned_sources: BTreeMap<String, String>,
    cloned_from: Option<DeploymentId>,
    restarts: Option<Vec<String>>,
    change: AppChange,
}

pub(crate) const RESTARTED: &str = "app restarted";
pub(crate) const SPEC_UPDATED: &str = "app spec updated";
pub(crate) const REVERTED: &str = "rollback reverted";

/// A deployment with everything that is known of it.
#[derive(Debug, Clone)]
pub(crate) struct DeploymentView {
    pub row: DeploymentRow,
    pub events: Vec<Recorded>,
    pub leaves: Vec<Leaf>,
    pub builds: Vec<BuildRow>,
    /// Known while it goes on or serves.
    pub reasons: Vec<ReasonRow>,
}

impl Wish {
    pub(crate) fn initial(spec: AppSpec) -> Self {
        Self::new(spec, "initial deployment")
    }

    pub(crate) fn update(spec: AppSpec, pinned_sources: BTreeMap<String, String>) -> Self {
        Self {
            pinned_sources,
            change: AppChange::Spec,
            ..Self::new(spec, SPEC_UPDATED)
        }
    }

    pub(crate) fn manual(spec: AppSpec, force_build: bool) -> Self {
        Self {
            force_build,
            ..Self::new(spec, "manual")
        }
    }

    /// New instances of these components from the same images.
    pub(crate) fn restart(
        serving: &DeploymentRow,
        pinned_sources: BTreeMap<String, String>,
        components: Vec<String>,
    ) -> Self {
        Self {
            pinned_sources,
            cloned_from: Some(serving.id),
            restarts: Some(components),
            ..Self::new(serving.spec.clone(), RESTARTED)
        }
    }

    /// Back to a deployment that served: its spec, its sources and its images. `change` says whether the app stays there.
    pub(crate) fn rollback(
        to: &DeploymentRow,
        pinned_sources: BTreeMap<String, String>,
        change: AppChange,
    ) -> Self {
        Self {
            cause_kind: MANUAL_ROLLBACK,
            pinned_sources,
            cloned_from: Some(to.id),
            change,
            ..Self::new(to.spec.clone(), format!("rollback to deployment \"{}\"", to.id))
        }
    }

    /// To the app's spec as it was before a rollback; the images are those of `before` where that has the same spec.
    pub(crate) fn revert(
        spec: AppSpec,
        pinned_sources: BTreeMap<String, String>,
        before: Option<&DeploymentRow>,
    ) -> Self {
        Self {
            pinned_sources,
            cloned_from: before.filter(|row| row.spec == spec).map(|row| row.id),
            change: AppChange::Unpin,
            ..Self::new(spec, REVERTED)
        }
    }

    fn new(spec: AppSpec, cause: impl Into<String>) -> Self {
        Self {
            spec,
            cause: cause.into(),
            cause_kind: "MANUAL",
            force_build: false,
            pinned_sources: BTreeMap::new(),
            cloned_from: None,
            restarts: None,
            change: AppChange::Nothing,
        }
    }

    /// What it changes about the app.
    pub(crate) fn change(&self) -> AppChange {
        self.change
    }

    pub(crate) fn into_deployment(
        self,
        id: DeploymentId,
        app: AppId,
        previous: Option<DeploymentId>,
    ) -> NewDeployment {
        NewDeployment {
            id,
            app,
            spec: self.spec,
            cause: self.cause,
            cause_kind: self.cause_kind.to_owned(),
            previous,
            force_build: self.force_build,
            pinned_sources: self.pinned_sources,
            cloned_from: self.cloned_from,
            restarts: self.restarts,
            created_at: Timestamp::now(),
        }
    }
}

impl DeploymentView {
    /// The final reason of the deployment: the first failure's.
    pub(crate) fn failed_leaf(&self) -> Option<&Leaf> {
        self.leaves.iter().find(|leaf| leaf.status == LeafStatus::Error)
    }
}

impl Application {
    pub(crate) async fn create_deployment(
        &self,
        app: AppId,
        force_build: bool,
    ) -> Result<DeploymentView, Refusal> {
        let view = self.app(app).await?;
        let id = self.deploy(app, Wish::manual(view.app.spec, force_build)).await?;
        self.deployment(app, id).await
    }

    /// New instances of the same images take over from the old ones: of the named components, or of all services and workers.
    pub(crate) async fn restart_app(&self, app: AppId, named: &[String]) -> Result<DeploymentView, Refusal> {
        let view = self.app(app).await?;
        let Some(active) = &view.active else {
            return Err(Refusal::BadRequest(
                "the app has no active deployment to restart".into(),
            ));
        };
        let components = to_restart(&active.spec, named)?;
        let pinned = self.pinned_sources(&view, &active.spec).await?;
        let id = self
            .deploy(app, Wish::restart(active, pinned, components))
            .await?;
        self.deployment(app, id).await
    }

    pub(crate) async fn deployment(&self, app: AppId, id: DeploymentId) -> Result<DeploymentView, Refusal> {
        let row = self
            .platform
            .store
            .deployment(id)
            .await?
            .filter(|row| row.app == app)
            .ok_or(Refusal::NotFound)?;
        self.deployment_view(row).await
    }

    /// Without knowing whose it is.
    pub(crate) async fn deployment_by_id(&self, id: DeploymentId) -> Result<DeploymentView, Refusal> {
        let row = self.platform.store.deployment(id).await?;
        let row = row.ok_or(Refusal::NotFound)?;
        // One of an app that is being deleted is not there any more.
        self.app(row.app).await?;
        self.deployment_view(row).await
    }

    pub(crate) async fn deployment_view(&self, row: DeploymentRow) -> Result<DeploymentView, Refusal> {
        let views = self.deployment_views(vec![row]).await?;
        views.into_iter().next().ok_or(Refusal::NotFound)
    }

    /// In the order of the rows. However many there are, each kind of what is known of them is asked for once.
    pub(crate) async fn deployment_views(
        &self,
        rows: Vec<DeploymentRow>,
    ) -> Result<Vec<DeploymentView>, Refusal> {
        let store = &self.platform.store;
        let ids: Vec<DeploymentId> = rows.iter().map(|row| row.id).collect();
        let mut events = store.events_of(&ids).await?;
        let mut builds: HashMap<DeploymentId, Vec<BuildRow>> = store.builds_of(&ids).await?;
        let mut reasons = store.reasons_of(&ids).await?;
        let view = |row: DeploymentRow| {
            let events = events.remove(&row.id).unwrap_or_default();
            let reasons = reasons.remove(&row.id).unwrap_or_default();
            let mut leaves = leaves(&component_plans(&row), &events);
            show_what_is_known(&mut leaves, &reasons);
            DeploymentView {
                builds: builds.remove(&row.id).unwrap_or_default(),
                row,
                events,
                leaves,
                reasons,
            }
        };
        Ok(rows.into_iter().map(view).collect())
    }

    /// Newest first; of all kinds of causes unless some are named.
    pub(crate) async fn deployments(
        &self,
        app: AppId,
        kinds: &[String],
        page: Page,
    ) -> Result<(Vec<DeploymentView>, u64), Refusal> {
        self.app(app).await?;
        let (rows, total) = self
            .platform
            .store
            .deployments_of_kinds(app, kinds, page.offset(), page.size)
            .await?;
        Ok((self.deployment_views(rows).await?, total))
    }

    pub(crate) async fn cancel_deployment(
        &self,
        app: AppId,
        id: DeploymentId,
    ) -> Result<DeploymentView, Refusal> {
        self.deployment(app, id).await?;
        let (canceled, answered) = tokio::sync::oneshot::channel();
        let command = Command::Cancel {
            deployment: id,
            by: "user".into(),
            canceled,
        };
        drop(self.actor(app).send(command).await);
        if !answer(answered).await? {
            return Err(Refusal::BadRequest(
                "the deployment has ended; it can no longer be canceled".into(),
            ));
        }
        self.deployment(app, id).await
    }

    /// The instances that serve.
    pub(crate) async fn instances(&self, app: AppId) -> Result<Vec<InstanceRow>, Refusal> {
        let view = self.app(app).await?;
        let Some(active) = view.active else {
            return Ok(Vec::new());
        };
        let rows = self.platform.store.instances_of_deployment(active.id).await?;
        let present = rows.into_iter().filter(|row| !row.removed);
        Ok(present.collect())
    }

    /// What happened to the instances, newest first, and how many such events there are.
    pub(crate) async fn instance_events(
        &self,
        app: AppId,
        component: Option<&str>,
        page: Page,
    ) -> Result<(Vec<InstanceEventRow>, u64), Refusal> {
        self.app(app).await?;
        let store = &self.platform.store;
        Ok(store
            .instance_events(app, component, page.offset(), page.size)
            .await?)
    }

    /// The revisions that components of unchanged source keep.
    pub(super) async fn pinned_sources(
        &self,
        before: &AppView,
        spec: &AppSpec,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        match &before.active {
            Some(active) => self.revisions_kept(active, spec).await,
            None => Ok(BTreeMap::new()),
        }
    }

    /// Of a deployment's revisions, those of components whose source the spec leaves as it is.
    pub(super) async fn revisions_kept(
        &self,
        active: &DeploymentRow,
        spec: &AppSpec,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let builds = builds_of(&self.platform, active).await?;
        let unchanged = |row: &BuildRow| {
            let source = |spec: &AppSpec| {
                let source = spec.component(&row.component)?.source()?;
                Some(format!("{source:?}"))
            };
            source(spec).is_some() && source(spec) == source(&active.spec)
        };
        let kept = builds.into_iter().filter(unchanged);
        Ok(kept.map(|row| (row.component, row.source.revision)).collect())
    }
}

/// The named components, each once; all that can be restarted when none is named.
fn to_restart(spec: &AppSpec, named: &[String]) -> Result<Vec<String>, Refusal> {
    let running: Vec<&str> = spec
        .components()
        .filter(|component| component.kind().keeps_running())
        .map(mainstay_spec::ComponentRef::name)
        .collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|wanted| wanted == name);
    let wrong: BTreeSet<&str> = named.iter().map(String::as_str).collect();
    let wrong: Vec<String> = wrong
        .into_iter()
        .filter(|name| !running.contains(name))
        .map(|name| match spec.component(name) {
            Some(component) => format!("{name:?} is a {}", component.kind().noun()),
            None => format!("there is no {name:?}"),
        })
        .collect();
    if wrong.is_empty() {
        let restarted = running.into_iter().filter(|name| wanted(name));
        return Ok(restarted.map(str::to_owned).collect());
    }
    Err(Refusal::Unprocessable(format!(
        "components: {}; the services and workers of the app, which can be restarted, are {running:?}",
        wrong.join(", ")
    )))
}

/// A leaf that is still running shows what is known already.
fn show_what_is_known(leaves: &mut [Leaf], reasons: &[ReasonRow]) {
    for leaf in leaves
        .iter_mut()
        .filter(|leaf| leaf.status == LeafStatus::Running && leaf.reason.is_none())
    {
        let (component, stage) = match &leaf.name {
            LeafName::Build { component } => (component, "build"),
            LeafName::Wait { component } => (component, "wait"),
            _ => continue,
        };
        let known = reasons
            .iter()
            .find(|row| row.component == *component && row.stage == stage);
        leaf.reason = known
            .filter(|row| row.resolved_at.is_none())
            .map(|row| row.reason.clone());
    }
}
