//! Draining and stopping what should not run any more. Level-triggered: it looks at what is there and at what should be, so that a restart
//! in the middle changes nothing.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use mainstay_diagnosis::facts::{ExitRecord, StopReason};
use mainstay_spec::{
    AppSpec, ComponentRef,
    ids::{DeploymentId, InstanceId},
};
use mainstay_store::InstanceRow;

use super::starts::Stragglers;
use crate::platform::{Platform, PlatformError};

/// How many instances are stopped at once.
const AT_ONCE: usize = 16;

/// Drains, stops and removes the instances. What cannot be done now is left for the next time.
pub(crate) async fn retire(platform: &Arc<Platform>, surplus: Vec<InstanceRow>, reason: StopReason) {
    stream::iter(surplus)
        .for_each_concurrent(AT_ONCE, |row| async move {
            if let Err(error) = retire_one(platform, &row, reason).await {
                tracing::warn!(instance = %row.id, error = &error as &dyn std::error::Error, "could not retire an instance");
            }
        })
        .await;
}

/// The same for all of a deployment whose fleet was released, once none of its starts is under way any more.
pub(crate) async fn retire_released(
    platform: &Arc<Platform>,
    deployment: DeploymentId,
    stragglers: Stragglers,
    reason: StopReason,
) {
    stragglers.over().await;
    match platform.store.instances_of_deployment(deployment).await {
        Ok(rows) => {
            // A job's run ends its instances itself.
            let present = rows
                .into_iter()
                .filter(|row| !row.removed && row.invocation.is_none());
            retire(platform, present.collect(), reason).await;
        }
        Err(error) => {
            tracing::error!(%deployment, error = &error as &dyn std::error::Error, "could not list the instances");
        }
    }
}

async fn retire_one(
    platform: &Arc<Platform>,
    row: &InstanceRow,
    reason: StopReason,
) -> Result<(), PlatformError> {
    let (drain, grace) = periods(platform, row).await?;
    if !drain.is_zero() {
        let left = platform
            .routes
            .drain(&row.id.to_string(), drain)
            .await
            .unwrap_or(0);
        if left > 0 {
            tracing::info!(instance = %row.id, left, "requests were still running when the drain period ended");
        }
    }
    if let Some(record) = take_away(platform, row.id, reason, grace).await?
        && row.exit.is_none()
    {
        platform.store.set_instance_exit(row.id, &record).await?;
    }
    platform.store.mark_instance_removed(row.id).await?;
    Ok(())
}

/// Stops and removes what the engine has of an instance; its record, if it has anything.
pub(crate) async fn take_away(
    platform: &Platform,
    instance: InstanceId,
    reason: StopReason,
    grace: Duration,
) -> Result<Option<ExitRecord>, PlatformError> {
    if platform.engine.status(instance).await?.is_none() {
        return Ok(None);
    }
    let record = platform.engine.stop(instance, reason, grace).await?;
    platform.engine.remove(instance).await?;
    Ok(Some(record))
}

async fn periods(platform: &Platform, row: &InstanceRow) -> Result<(Duration, Duration), PlatformError> {
    let deployment = platform.store.deployment(row.deployment).await?;
    let spec = deployment.map(|deployment| deployment.spec).unwrap_or_default();
    Ok(component_periods(&spec, &row.component))
}

fn component_periods(spec: &AppSpec, component: &str) -> (Duration, Duration) {
    let seconds = |count: u32| Duration::from_secs(u64::from(count));
    match spec.component(component) {
        Some(ComponentRef::Service(service)) => {
            let termination = service.termination();
            (
                seconds(termination.drain_seconds()),
                seconds(termination.grace_period_seconds()),
            )
        }
        Some(ComponentRef::Worker(worker)) => (
            Duration::ZERO,
            seconds(worker.termination().grace_period_seconds()),
        ),
        _ => (Duration::ZERO, seconds(30)),
    }
}
