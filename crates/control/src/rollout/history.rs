//! What the event logs tell: replaying, appending to a deployment that nobody works on, and what changed since the last good one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mainstay_deploy::{ComponentPlan, Event, PhaseKind, Recorded, State, step};
use mainstay_spec::{
    AppSpec,
    ids::{AppId, DeploymentId},
};
use mainstay_store::{DeploymentRow, Store};

use super::builds;
use crate::platform::{Platform, PlatformError};

/// The components of a spec, as the state machine knows them.
pub(crate) fn component_plans(spec: &AppSpec) -> Vec<ComponentPlan> {
    spec.components()
        .map(|component| ComponentPlan {
            name: component.name().to_owned(),
            kind: component.kind(),
        })
        .collect()
}

/// The state that the log leads to, and the number of the next event.
pub(crate) async fn replay(store: &Store, row: &DeploymentRow) -> Result<(State, u64), PlatformError> {
    let events = store.events(row.id).await?;
    let mut state = State::new(component_plans(&row.spec));
    for recorded in &events {
        (state, _) = step(&state, &recorded.event)?;
    }
    Ok((state, events.len() as u64))
}

/// Appends an event to a deployment whose effects nobody waits for.
pub(crate) async fn append(
    store: &Store,
    deployment: DeploymentId,
    event: &Event,
) -> Result<(), PlatformError> {
    let row = store.deployment(deployment).await?;
    let row = row.ok_or_else(|| PlatformError::missing(format!("deployment {deployment}")))?;
    let (state, sequence) = replay(store, &row).await?;
    let (next, _) = step(&state, event)?;
    let recorded = Recorded {
        at: Timestamp::now(),
        event: event.clone(),
    };
    store
        .append_event(
            deployment,
            sequence,
            &recorded,
            next.phase.kind(),
            next.phase.is_settled(),
        )
        .await?;
    Ok(())
}

/// Of all deployments that look active only one is; a crash between two commits may have left another.
pub(crate) async fn close_superseded(
    store: &Store,
    app: AppId,
    active: DeploymentId,
) -> Result<(), PlatformError> {
    for other in store.deployments_in_phase(app, PhaseKind::Active).await? {
        if other != active {
            append(store, other, &Event::NewerActive { deployment: active }).await?;
        }
    }
    Ok(())
}

/// What differs between two deployments: spec fields, then commits.
pub(crate) async fn changes(
    platform: &Platform,
    before: &DeploymentRow,
    after: &DeploymentRow,
) -> Result<Vec<String>, PlatformError> {
    let as_json = |spec: &AppSpec| serde_json::to_value(spec).unwrap_or_default();
    let mut changes = mainstay_deploy::changes(&as_json(&before.spec), &as_json(&after.spec));
    let old = revisions(platform, before).await?;
    for (component, revision) in revisions(platform, after).await? {
        if let Some(former) = old.get(&component).filter(|former| **former != revision) {
            changes.push(format!(
                "{component} is built from {} instead of {}",
                short(&revision),
                short(former)
            ));
        }
    }
    Ok(changes)
}

async fn revisions(
    platform: &Platform,
    row: &DeploymentRow,
) -> Result<BTreeMap<String, String>, PlatformError> {
    let builds = builds::builds_of(platform, row).await?;
    Ok(builds
        .into_iter()
        .map(|build| (build.component, build.source.revision))
        .collect())
}

fn short(revision: &str) -> &str {
    revision.get(..12).unwrap_or(revision)
}
