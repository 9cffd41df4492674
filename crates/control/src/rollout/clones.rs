//! Builds of a deployment that goes back: those of an earlier one, used again as they are.

use mainstay_diagnosis::{
    Reason, diagnose,
    facts::{BuildOutcome, ReusedBuild},
};
use mainstay_shim::log::LogSource;
use mainstay_spec::{ComponentRef, ids::BuildId};

use super::{
    builds::{BuildRow, builds_of, wrap},
    effects::{Effects, Obstacle},
};
use crate::{keep::pins, platform::PlatformError};

/// The build of the component that the cloned deployment had. `None`: there is nothing to clone, or its image is gone; then the same source
/// is built anew.
pub(super) async fn of(effects: &Effects, component: &str) -> Result<Option<BuildRow>, Obstacle> {
    let Effects {
        platform, deployment, ..
    } = effects;
    let Some(from) = deployment.cloned_from else {
        return Ok(None);
    };
    let Some(origin) = platform.store.deployment(from).await? else {
        return Ok(None);
    };
    let builds = builds_of(platform, &origin).await?;
    let Some(build) = builds.into_iter().find(|build| build.component == component) else {
        return Ok(None);
    };
    let (Some(output), Some(mut facts)) = (build.output, build.facts) else {
        return Ok(None);
    };
    // Held before it is looked for: then nobody can take it away.
    match pins::hold(&platform.images, deployment.id, &output) {
        Ok(()) => {}
        Err(mainstay_images::store::StoreError::UnknownImage { .. }) => return Ok(None),
        Err(error) => return Err(PlatformError::from(error).into()),
    }
    facts.outcome = BuildOutcome::Reused(ReusedBuild {
        commit: (build.source.revision.len() == 40).then(|| build.source.revision.clone()),
        deployment_id: from.to_string(),
        built_at: facts.ended_at,
        key_parts: Vec::new(),
    });
    Ok(Some(BuildRow {
        id: BuildId::from_uuid(uuid::Uuid::new_v4()),
        deployment: deployment.id,
        output: Some(output),
        facts: Some(facts),
        created_at: jiff::Timestamp::now(),
        ..build
    }))
}

/// Says that nothing is built, in the build's log and as the note of its step.
pub(super) fn note(
    effects: &Effects,
    row: &BuildRow,
    component: ComponentRef<'_>,
) -> Result<Option<Box<Reason>>, Obstacle> {
    let Some(facts) = row.facts.clone() else {
        return Ok(None);
    };
    let reason = diagnose(&wrap(effects, component, facts, Vec::new())).into_reason();
    if let Some(reason) = &reason {
        let log = effects.platform.logs.build_writer(row.id)?;
        mainstay_build::BuildLog::line(&log, LogSource::Platform, &reason.message);
    }
    Ok(reason)
}
