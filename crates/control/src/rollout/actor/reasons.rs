//! What is wrong right now with a component of a deployment, as users see it.

use jiff::Timestamp;
use mainstay_diagnosis::Reason;
use mainstay_spec::ids::DeploymentId;
use mainstay_store::ReasonRow;

use super::Actor;

impl Actor {
    pub(super) async fn show(
        &self,
        deployment: DeploymentId,
        component: &str,
        stage: &str,
        reason: Option<Box<Reason>>,
    ) {
        let Some(reason) = reason else { return };
        let row = ReasonRow {
            deployment,
            component: component.to_owned(),
            stage: stage.to_owned(),
            observed_at: reason.observed_at,
            reason: *reason,
            resolved_at: None,
        };
        if let Err(error) = self.platform.store.put_reason(&row).await {
            tracing::error!(%deployment, error = &error as &dyn std::error::Error, "could not store a reason");
        }
    }

    pub(super) async fn resolve(&self, deployment: DeploymentId, component: &str, stage: &str) {
        let resolved = self
            .platform
            .store
            .resolve_reasons(deployment, component, stage, Timestamp::now())
            .await;
        if let Err(error) = resolved {
            tracing::error!(%deployment, error = &error as &dyn std::error::Error, "could not resolve a reason");
        }
    }
}
