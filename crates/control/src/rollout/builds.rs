//! From a deployment's spec to built components, and from those to instance plans.

use std::sync::Arc;

use jiff::Timestamp;
use mainstay_build::{
    Artifact, BuildLimits, BuildOutput, BuildReport, BuildRequest, BuildVariable, RegistryCredentials,
    ResolvedSource, Source,
};
use mainstay_deploy::Event;
use mainstay_diagnosis::{
    diagnose,
    facts::{BuildFacts, BuildFault, BuildOutcome, Changes, Facts, MemoryRecord, QueuePosition, Subject},
};
use mainstay_spec::{ComponentRef, ImageSource, ids::BuildId, kind::ComponentKind, usage::Resource};
use mainstay_store::{DeploymentRow, ReasonRow};

use super::{
    build_queue::{Asker, Slot, Turn},
    clones,
    effects::{Effects, Obstacle, Outcome},
    evidence::reason_of,
    instance_plan::{InstancePlan, PlanInputs},
};
use crate::{
    bindings, databases,
    keep::pins,
    logs::BuildLogFile,
    platform::{Platform, PlatformError},
    secrets::OpenedSpec,
};

pub(crate) type BuildRow = mainstay_store::BuildRow<ResolvedSource, BuildOutput>;

/// Lines of the build log that travel with a reason.
const LOG_TAIL_LINES: usize = 50;

/// Pins every component's source to a commit or digest. What is the same source for several components is asked once, and is the same
/// commit for all of them.
pub(crate) async fn resolve_sources(effects: &Effects) -> Result<Outcome, Obstacle> {
    let spec = &effects.opened_spec()?;
    let (platform, app) = (&effects.platform, effects.deployment.app);
    let unknown = match databases::unresolved(spec, &effects.changes) {
        Some(facts) => Some(facts),
        None => databases::unregistered(platform, app, spec, &effects.changes).await?,
    };
    if let Some(facts) = unknown {
        return Err(effects.refused(&facts.component, reason_of(&facts)));
    }
    // Before anything takes an address.
    effects.make_room_in_network().await?;
    // First: they get ready while the components are built.
    databases::ensure(&effects.platform, effects.deployment.app, spec).await?;
    let mut builds = Vec::new();
    if let Err(obstacle) = resolve_components(effects, spec, &mut builds).await {
        // What the others would have been built from is worth knowing.
        for row in &builds {
            effects.platform.store.put_build(row).await?;
        }
        return Err(obstacle);
    }
    Ok(Outcome {
        event: Event::SourcesResolved,
        builds,
    })
}

async fn resolve_components(
    effects: &Effects,
    spec: &OpenedSpec,
    builds: &mut Vec<BuildRow>,
) -> Result<(), Obstacle> {
    let known = builds_of(&effects.platform, &effects.deployment).await?;
    let mut resolved = Vec::new();
    for component in spec.components() {
        let is_known = known.iter().any(|row| row.component == component.name());
        if is_known || component.kind() == ComponentKind::Database {
            continue;
        }
        if let Some(row) = clones::of(effects, component.name()).await? {
            builds.push(row);
            continue;
        }
        builds.push(BuildRow {
            id: BuildId::from_uuid(uuid::Uuid::new_v4()),
            deployment: effects.deployment.id,
            component: component.name().to_owned(),
            source: resolve(effects, component, &mut resolved).await?,
            output: None,
            facts: None,
            created_at: Timestamp::now(),
        });
    }
    Ok(())
}

async fn resolve(
    effects: &Effects,
    component: ComponentRef<'_>,
    resolved: &mut Vec<(Source, ResolvedSource)>,
) -> Result<ResolvedSource, Obstacle> {
    let started_at = Timestamp::now();
    let refuse = |fault: BuildFault| {
        let facts = fault_facts(effects, component, started_at, fault);
        Obstacle::failed(component.name(), reason_of(&facts))
    };
    let source = source(&effects.platform, component).map_err(refuse)?;
    // A spec update alone keeps the commit of the previous deployment; an upload is its own revision.
    if let Some(revision) = effects.deployment.pinned_sources.get(component.name()) {
        return Ok(ResolvedSource {
            source,
            revision: revision.clone(),
        });
    }
    if let Some((_, same)) = resolved.iter().find(|(other, _)| *other == source) {
        return Ok(same.clone());
    }
    let answer = effects.platform.builder.resolve(&source).await.map_err(refuse)?;
    resolved.push((source, answer.clone()));
    Ok(answer)
}

fn source(platform: &Platform, component: ComponentRef<'_>) -> Result<Source, BuildFault> {
    let Some(written) = component.source() else {
        return Err(BuildFault::Unsupported {
            what: "a component without a source".into(),
            reason: "nothing to build".into(),
        });
    };
    if let mainstay_spec::Source::Image(image) = written {
        return Ok(Source::Image {
            reference: image.reference(),
            credentials: credentials(image),
        });
    }
    let url = written.clone_url().unwrap_or_default();
    if let Some(id) = url.strip_prefix(crate::uploads::SCHEME) {
        let path = platform.config.uploads_dir().join(id);
        return Ok(Source::Upload {
            id: id.to_owned(),
            path,
        });
    }
    Ok(Source::Git {
        url: platform.config.mirrored(&url),
        branch: written.branch().map(str::to_owned),
    })
}

fn credentials(image: &ImageSource) -> Option<RegistryCredentials> {
    image.credentials().map(|(user, token)| RegistryCredentials {
        user: user.to_owned(),
        token: token.to_owned(),
    })
}

/// They are not stored with the source.
fn with_credentials(mut resolved: ResolvedSource, component: ComponentRef<'_>) -> ResolvedSource {
    if let (
        Source::Image {
            credentials: of_source,
            ..
        },
        Some(mainstay_spec::Source::Image(image)),
    ) = (&mut resolved.source, component.source())
    {
        *of_source = credentials(image);
    }
    resolved
}

/// Builds one component, or finds that there is nothing to do.
pub(crate) async fn build(effects: &Effects, component: &str) -> Result<Outcome, Obstacle> {
    let platform = &effects.platform;
    let deployment = &effects.deployment;
    let spec = effects.opened_spec()?;
    let row = builds_of(platform, deployment)
        .await?
        .into_iter()
        .find(|row| row.component == component)
        .ok_or_else(|| PlatformError::missing(format!("the resolved source of {component}")))?;
    let written = spec
        .component(component)
        .ok_or_else(|| PlatformError::missing(format!("component {component} of the spec")))?;
    if deployment.cloned_from.is_some() && row.output.is_some() {
        let note = clones::note(effects, &row, written)?;
        let finished = Event::BuildFinished {
            component: row.component,
            note,
        };
        return Ok(finished.into());
    }
    let _slot = wait_for_slot(effects, written, row.created_at).await?;
    let _room = effects.make_room_to_build(written).await?;
    let log = Arc::new(platform.logs.build_writer(row.id)?);
    let request = request(effects, &spec, &row, written);
    let report = platform
        .builder
        .build(request, Arc::clone(&log) as _, effects.over.clone())
        .await;
    let build = row.id;
    let concluded = conclude(effects, &spec, row, written, report, &log).await;
    platform.builder.release(build).await;
    concluded
}

/// A build's turn. The wait shows while it lasts, with the position, and ends when the deployment is over.
async fn wait_for_slot(
    effects: &Effects,
    component: ComponentRef<'_>,
    since: Timestamp,
) -> Result<Slot, Obstacle> {
    let platform = &effects.platform;
    let deployment = &effects.deployment;
    let mut waited = false;
    let mut over = effects.over.clone();
    let app = deployment.app;
    let account = platform.store.owner_of(app).await?;
    let limit = platform.store.limit_of(account, Resource::ActiveBuilds).await?;
    let limit = limit.map(at_once);
    let mut place = platform.build_queue.enter(Asker { app, account }, limit, since);
    let slot = loop {
        let turn = tokio::select! {
            turn = place.turn() => turn,
            // A sender that is gone says the same.
            _ = over.wait_for(|over| *over) => return Err(Obstacle::CalledOff),
        };
        match turn {
            Turn::Granted(slot) => break slot,
            Turn::Waits(position) => {
                waited = true;
                note_waiting(effects, component, since, position).await?;
            }
        }
    };
    if waited {
        let now = Timestamp::now();
        platform
            .store
            .resolve_reasons(deployment.id, component.name(), "build", now)
            .await?;
    }
    Ok(slot)
}

/// A limit of builds, of which there are never so many that the queue could not count them.
pub(crate) fn at_once(limit: u64) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

/// Shows the wait while it lasts; it becomes history once the build starts.
async fn note_waiting(
    effects: &Effects,
    component: ComponentRef<'_>,
    since: Timestamp,
    position: QueuePosition,
) -> Result<(), PlatformError> {
    let facts = wrap(
        effects,
        component,
        blank(since, BuildOutcome::Waiting(position)),
        Vec::new(),
    );
    let Some(reason) = diagnose(&facts).into_reason() else {
        return Ok(());
    };
    let row = ReasonRow {
        deployment: effects.deployment.id,
        component: component.name().to_owned(),
        stage: "build".into(),
        reason: *reason,
        observed_at: since,
        resolved_at: None,
    };
    Ok(effects.platform.store.put_reason(&row).await?)
}

async fn conclude(
    effects: &Effects,
    spec: &OpenedSpec,
    mut row: BuildRow,
    component: ComponentRef<'_>,
    mut report: BuildReport,
    log: &BuildLogFile,
) -> Result<Outcome, Obstacle> {
    report.facts.run_time_variables = bindings::run_time_only(spec, component);
    let facts = wrap(effects, component, report.facts.clone(), log.tail(LOG_TAIL_LINES));
    let reason = diagnose(&facts).into_reason();
    // First: from here on the deployment holds the image, whatever happens to the rest.
    if let Some(output) = &report.output {
        pins::hold(&effects.platform.images, row.deployment, output).map_err(PlatformError::from)?;
    }
    row.facts = Some(report.facts);
    row.output = report.output;
    if row.output.is_some() {
        let event = Event::BuildFinished {
            component: row.component.clone(),
            note: reason,
        };
        return Ok(Outcome {
            event,
            builds: vec![row],
        });
    }
    effects.platform.store.put_build(&row).await?;
    match reason {
        Some(reason) => Err(Obstacle::failed(&row.component, reason)),
        None if effects.is_over() => Err(Obstacle::CalledOff),
        None => Err(PlatformError::missing("the outcome of a build").into()),
    }
}

fn request(
    effects: &Effects,
    spec: &OpenedSpec,
    row: &BuildRow,
    component: ComponentRef<'_>,
) -> BuildRequest {
    let deployment = &effects.deployment;
    let limits = &effects.platform.config.build;
    let variables = bindings::build_variables(&effects.platform, deployment, spec, component);
    BuildRequest {
        build: row.id,
        app: deployment.app,
        deployment: deployment.id,
        component: row.component.clone(),
        kind: component.kind(),
        source: with_credentials(row.source.clone(), component),
        source_dir: component.source_dir().to_owned(),
        dockerfile_path: component.dockerfile_path().map(str::to_owned),
        build_command: component.build_command().map(str::to_owned),
        run_command: component.run_command().map(str::to_owned),
        environment_slug: component.environment_slug().map(str::to_owned),
        output_dir: component.output_dir().map(str::to_owned),
        variables: variables
            .into_iter()
            .map(|bound| {
                (
                    bound.key,
                    BuildVariable {
                        value: bound.value,
                        secret: bound.secret,
                    },
                )
            })
            .collect(),
        force: deployment.force_build,
        limits: BuildLimits {
            memory_bytes: limits.memory_bytes,
            cpu_millis: limits.cpu_millis,
            pids: limits.pids,
            disk_bytes: limits.disk_bytes,
            time_seconds: limits.time_seconds,
        },
    }
}

fn fault_facts(
    effects: &Effects,
    component: ComponentRef<'_>,
    started_at: Timestamp,
    fault: BuildFault,
) -> Facts {
    wrap(
        effects,
        component,
        blank(started_at, BuildOutcome::Failed(fault)),
        Vec::new(),
    )
}

fn blank(started_at: Timestamp, outcome: BuildOutcome) -> BuildFacts {
    BuildFacts {
        source: None,
        builder: None,
        detection: Vec::new(),
        tools: Vec::new(),
        version_reasons: Vec::new(),
        steps: Vec::new(),
        memory: MemoryRecord::default(),
        started_at,
        ended_at: Timestamp::now(),
        time_limit_seconds: 0,
        findings: Vec::new(),
        variables: Vec::new(),
        run_time_variables: Vec::new(),
        outcome,
    }
}

pub(super) fn wrap(
    effects: &Effects,
    component: ComponentRef<'_>,
    facts: BuildFacts,
    log_tail: Vec<String>,
) -> Facts {
    Facts {
        component: component.name().to_owned(),
        kind: component.kind(),
        observed_at: Timestamp::now(),
        subject: Subject::Build(facts),
        log_tail,
        changes: (*effects.changes).clone(),
    }
}

/// The plan of one component.
pub(crate) async fn instance_plan(
    platform: &Platform,
    deployment: &DeploymentRow,
    component: &str,
    changes: &Changes,
) -> Result<InstancePlan, PlatformError> {
    let plans = instance_plans(platform, deployment, changes).await?;
    plans
        .into_iter()
        .find(|plan| plan.component == component)
        .ok_or_else(|| PlatformError::missing(format!("a plan for the instances of {component}")))
}

pub(crate) async fn builds_of(
    platform: &Platform,
    deployment: &DeploymentRow,
) -> Result<Vec<BuildRow>, PlatformError> {
    Ok(platform.store.builds(deployment.id).await?)
}

/// The plans of all components with instances, in the order of the spec.
pub(crate) async fn instance_plans(
    platform: &Platform,
    deployment: &DeploymentRow,
    changes: &Changes,
) -> Result<Vec<InstancePlan>, PlatformError> {
    let builds = builds_of(platform, deployment).await?;
    let spec = platform.secrets.opened(deployment.app, &deployment.spec)?;
    let databases = databases::bindings(platform, deployment.app, &spec).await?;
    let mut plans = Vec::new();
    for component in spec
        .components()
        .filter(|component| component.instance_count() > 0)
    {
        if component.kind() == ComponentKind::StaticSite {
            continue;
        }
        let missing = || PlatformError::missing(format!("the build of {}", component.name()));
        let build = builds
            .iter()
            .find(|row| row.component == component.name())
            .ok_or_else(missing)?;
        let Artifact::Image { image } = &build.output.as_ref().ok_or_else(missing)?.artifact else {
            return Err(PlatformError::missing(format!(
                "the image of {}",
                component.name()
            )));
        };
        let record = platform.images.image(image)?;
        plans.push(InstancePlan::new(PlanInputs {
            app: deployment.app,
            deployment: deployment.id,
            spec: &spec,
            component,
            layers: platform.images.layer_paths(&record)?,
            image: &record.config,
            variables: bindings::run_variables(platform, deployment, &spec, component, &builds, &databases),
            changes: changes.clone(),
            builder: build.facts.as_ref().and_then(|facts| facts.builder.clone()),
        }));
    }
    Ok(plans)
}
