//! What the event logs tell: replaying, appending to a deployment that nobody works on, and what changed since the last good one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mainstay_deploy::{ComponentPlan, Event, PhaseKind, Recorded, State, step};
use mainstay_diagnosis::facts::{BuildFacts, BuildOutcome, Changes};
use mainstay_spec::{
    AppSpec, ComponentRef,
    ids::{AppId, DeploymentId},
};
use mainstay_store::{DeploymentRow, Store};

use super::builds::{self, BuildRow};
use crate::{
    platform::{Platform, PlatformError},
    uploads,
};

/// The components of a deployment, as the state machine knows them: databases live beside deployments, and a restart runs no jobs.
pub(crate) fn component_plans(row: &DeploymentRow) -> Vec<ComponentPlan> {
    let is_restart = row.restarts.is_some();
    row.spec
        .components()
        .filter(|component| !matches!(component, ComponentRef::Database(_)))
        .map(|component| ComponentPlan {
            name: component.name().to_owned(),
            kind: component.kind(),
            job: match component {
                ComponentRef::Job(job) if !is_restart => Some(job.kind()),
                _ => None,
            },
        })
        .collect()
}

/// The state that the log leads to, and the number of the next event.
pub(crate) async fn replay(store: &Store, row: &DeploymentRow) -> Result<(State, u64), PlatformError> {
    let events = store.events(row.id).await?;
    let mut state = State::new(component_plans(row));
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

/// Ends a deployment because a newer one was accepted; false if it has come too far for that.
pub(crate) async fn overtake(
    store: &Store,
    row: &DeploymentRow,
    by: DeploymentId,
) -> Result<bool, PlatformError> {
    let (state, _) = replay(store, row).await?;
    let in_time = state.phase.can_be_overtaken();
    if in_time {
        append(store, row.id, &Event::NewerAccepted { deployment: by }).await?;
    }
    Ok(in_time || state.phase.is_settled())
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

/// What differs from an earlier deployment: spec fields, then what the images were built from, by and with.
pub(crate) async fn changes(
    platform: &Platform,
    before: &DeploymentRow,
    after: &DeploymentRow,
) -> Result<Changes, PlatformError> {
    let as_json = |spec: &AppSpec| serde_json::to_value(spec).unwrap_or_default();
    let mut sentences = mainstay_deploy::changes(&as_json(&before.spec), &as_json(&after.spec));
    // An upload's address is its digest, which is told below.
    sentences.retain(|change| !change.contains(uploads::SCHEME));
    let old = makings(platform, before).await?;
    for (component, making) in makings(platform, after).await? {
        if let Some(former) = old.get(&component) {
            sentences.extend(differences(&component, former, &making));
        }
    }
    Ok(Changes {
        since: Some(before.id.to_string()),
        sentences,
    })
}

/// How a component's image came to be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Making {
    /// Commit, upload or digest.
    revision: String,
    builder: Option<String>,
    /// The stack among them.
    tools: Vec<(String, String)>,
}

async fn makings(
    platform: &Platform,
    row: &DeploymentRow,
) -> Result<BTreeMap<String, Making>, PlatformError> {
    let mut makings = BTreeMap::new();
    for build in builds::builds_of(platform, row).await? {
        let facts = facts_of(platform, &build).await?;
        let making = Making {
            builder: facts
                .as_ref()
                .and_then(|facts| Some(facts.builder.as_ref()?.builder.clone())),
            tools: facts.map(|facts| facts.tools).unwrap_or_default(),
            revision: build.source.revision,
        };
        makings.insert(build.component, making);
    }
    Ok(makings)
}

/// What a reused build was made with is told by the one that made it, as long as it is known.
async fn facts_of(platform: &Platform, build: &BuildRow) -> Result<Option<BuildFacts>, PlatformError> {
    let Some(facts) = &build.facts else {
        return Ok(None);
    };
    let BuildOutcome::Reused(reused) = &facts.outcome else {
        return Ok(Some(facts.clone()));
    };
    let Ok(id) = reused.deployment_id.parse() else {
        return Ok(None);
    };
    let key = |row: &BuildRow| row.output.as_ref().map(|output| output.key.clone());
    let builds: Vec<BuildRow> = platform.store.builds(id).await?;
    let made = builds
        .into_iter()
        .find(|made| made.component == build.component && key(made) == key(build));
    Ok(made.and_then(|made| made.facts))
}

/// In sentences; what is not known on one side is no difference.
fn differences(component: &str, former: &Making, making: &Making) -> Vec<String> {
    let mut sentences = Vec::new();
    if former.revision != making.revision {
        let (new, old) = (short(&making.revision), short(&former.revision));
        sentences.push(format!("{component} is built from {new} instead of {old}"));
    }
    if let (Some(new), Some(old)) = (&making.builder, &former.builder)
        && new != old
    {
        sentences.push(format!("{component} is built by {new} instead of {old}"));
    }
    for (tool, new) in &making.tools {
        let known = former.tools.iter().find(|(name, _)| name == tool);
        if let Some((_, old)) = known.filter(|(_, old)| old != new) {
            sentences.push(format!("{component} is built with {tool} {new} instead of {old}"));
        }
    }
    sentences
}

/// Digests keep their kind: "sha256:3f2a9c1e77aa".
fn short(revision: &str) -> &str {
    let kind = revision.find(':').map_or(0, |colon| colon + 1);
    revision.get(..kind + 12).unwrap_or(revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn making(revision: &str, builder: &str, tools: &[(&str, &str)]) -> Making {
        let owned = |(tool, version): &(&str, &str)| ((*tool).to_owned(), (*version).to_owned());
        Making {
            revision: revision.into(),
            builder: Some(builder.into()),
            tools: tools.iter().map(owned).collect(),
        }
    }

    #[test]
    fn commit_builder_stack_and_tools_are_compared() {
        let former = making(
            "1111222233334444",
            "node-js",
            &[("stack", "debian-12 a"), ("node", "20.1.0")],
        );
        let now = making(
            "5555666677778888",
            "dockerfile",
            &[("stack", "debian-12 b"), ("go", "1.24")],
        );
        assert_eq!(
            differences("web", &former, &now),
            [
                "web is built from 555566667777 instead of 111122223333",
                "web is built by dockerfile instead of node-js",
                "web is built with stack debian-12 b instead of debian-12 a",
            ]
        );
        assert_eq!(differences("web", &now, &now), Vec::<String>::new());
    }

    #[test]
    fn digests_are_short_and_still_digests() {
        assert_eq!(short("sha256:3f2a9c1e77aa0b6f5d2c"), "sha256:3f2a9c1e77aa");
        assert_eq!(short("3f2a"), "3f2a");
    }
}
