//! Going back to a deployment that served, and what follows: committing or reverting (`app-platform.md` c.6).
//!
//! ```text
//!  rollback ─▶ a new deployment of the old spec and images, and the app stays at it (pinned)
//!                 ├─ commit ─▶ its spec becomes the app's
//!                 └─ revert ─▶ a new deployment of the app's spec
//! ```

use std::collections::BTreeMap;

use jiff::Timestamp;
use mainstay_deploy::PhaseKind;
use mainstay_spec::ids::{AppId, DeploymentId};
use mainstay_store::{AppChange, DeploymentRow};

use super::{
    Application, Refusal,
    deployments::{DeploymentView, Wish},
};
use crate::rollout::builds_of;

/// Why a deployment cannot be rolled back to. The words are the API's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub code: &'static str,
    pub message: String,
    pub components: Vec<String>,
}

impl Condition {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            components: Vec::new(),
        }
    }
}

impl Application {
    /// What stands in the way of a rollback; `None` when nothing does.
    pub(crate) async fn rollback_obstacle(
        &self,
        app: AppId,
        to: DeploymentId,
    ) -> Result<Option<Condition>, Refusal> {
        let view = self.app(app).await?;
        let row = self.deployment(app, to).await?.row;
        if let Some(pinned) = view.app.pinned_deployment {
            let message = format!("The app stays at the rollback {pinned}; commit or revert that first.");
            return Ok(Some(Condition::new("app_pinned", message)));
        }
        if let Some(condition) = of_phase(&row) {
            return Ok(Some(condition));
        }
        let current = view.active.as_ref().map_or(&view.app.spec, |active| &active.spec);
        if row.spec.region != current.region {
            let message = format!(
                "The deployment is of region {:?}, the app of {:?}.",
                row.spec.region, current.region
            );
            return Ok(Some(Condition::new("region_conflict", message)));
        }
        if row.spec.databases != current.databases {
            let message = "The databases of the spec changed since; going back does not change databases.";
            let named = |spec: &mainstay_spec::AppSpec| {
                let names = spec.databases.iter().map(|database| database.name.clone());
                names.collect::<Vec<_>>()
            };
            let mut components = [named(&row.spec), named(current)].concat();
            components.sort();
            components.dedup();
            return Ok(Some(Condition {
                components,
                ..Condition::new("database_config_conflict", message)
            }));
        }
        self.missing_images(&row).await
    }

    /// Images of as many deployments as the configuration says are kept.
    async fn missing_images(&self, row: &DeploymentRow) -> Result<Option<Condition>, Refusal> {
        let kept = self.platform.config.keep.rollback_deployments;
        let held = self.platform.store.held_deployments(kept).await?;
        let builds = builds_of(&self.platform, row).await?;
        let images = &self.platform.images;
        let is_there = |component: &str| {
            let build = builds.iter().find(|build| build.component == component);
            let output = build.and_then(|build| build.output.as_ref());
            output.is_some_and(|output| images.image(output.artifact.image()).is_ok())
        };
        let missing: Vec<String> = row
            .spec
            .components()
            .map(|component| component.name().to_owned())
            .filter(|name| !is_there(name))
            .collect();
        if held.contains(&row.id) && missing.is_empty() {
            return Ok(None);
        }
        let message =
            format!("The images of the {kept} newest deployments that served are kept; not of this one.");
        Ok(Some(Condition {
            components: missing,
            ..Condition::new("exceeded_revision_limit", message)
        }))
    }

    /// A new deployment of what `to` was. Unless `skip_pin`, the app stays at it until it is committed or reverted.
    pub(crate) async fn roll_back(
        &self,
        app: AppId,
        to: DeploymentId,
        skip_pin: bool,
    ) -> Result<DeploymentView, Refusal> {
        if let Some(condition) = self.rollback_obstacle(app, to).await? {
            let message = format!("cannot roll back ({}): {}", condition.code, condition.message);
            return Err(match condition.code {
                "app_pinned" => Refusal::Conflict(message),
                _ => Refusal::BadRequest(message),
            });
        }
        let row = self.deployment(app, to).await?.row;
        let sources = self.revisions(&row).await?;
        let change = if skip_pin { AppChange::Spec } else { AppChange::Pin };
        let id = self.deploy(app, Wish::rollback(&row, sources, change)).await?;
        self.deployment(app, id).await
    }

    /// The rollback is for good.
    pub(crate) async fn commit_rollback(&self, app: AppId) -> Result<(), Refusal> {
        let pinned = self.pinned(app).await?;
        if pinned.phase != PhaseKind::Active {
            return Err(Refusal::BadRequest(format!(
                "the rollback {} is {}; only one that serves can be committed",
                pinned.id,
                pinned.phase.wire_name()
            )));
        }
        let now = Timestamp::now();
        let store = &self.platform.store;
        Ok(store.unpin(app, pinned.id, &pinned.spec, now).await?)
    }

    /// Back to the spec from before the rollback, and to what served then.
    pub(crate) async fn revert_rollback(&self, app: AppId) -> Result<DeploymentView, Refusal> {
        let pinned = self.pinned(app).await?;
        let spec = self.app(app).await?.app.spec;
        let before = match pinned.previous {
            Some(id) => self.platform.store.deployment(id).await?,
            None => None,
        };
        let sources = match &before {
            Some(before) => self.revisions_kept(before, &spec).await?,
            None => BTreeMap::new(),
        };
        let id = self
            .deploy(app, Wish::revert(spec, sources, before.as_ref()))
            .await?;
        self.deployment(app, id).await
    }

    async fn pinned(&self, app: AppId) -> Result<DeploymentRow, Refusal> {
        let view = self.app(app).await?;
        let not_pinned = || mainstay_store::StoreError::NotPinned { app };
        Ok(view.pinned.ok_or_else(not_pinned)?)
    }

    async fn revisions(&self, row: &DeploymentRow) -> Result<BTreeMap<String, String>, Refusal> {
        let builds = builds_of(&self.platform, row).await?.into_iter();
        Ok(builds
            .map(|build| (build.component, build.source.revision))
            .collect())
    }
}

fn of_phase(row: &DeploymentRow) -> Option<Condition> {
    match row.phase {
        PhaseKind::Active | PhaseKind::Superseded if row.activated_at.is_some() => None,
        PhaseKind::Superseded | PhaseKind::Failed | PhaseKind::Failing | PhaseKind::Canceled => {
            let message = format!(
                "The deployment ended as {} and never served.",
                row.phase.wire_name()
            );
            Some(Condition::new("incompatible_result", message))
        }
        phase => {
            let message = format!("The deployment has not ended: it is {}.", phase.wire_name());
            Some(Condition::new("incompatible_phase", message))
        }
    }
}
