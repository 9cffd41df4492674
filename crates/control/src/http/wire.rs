//! From the application's views to the API's objects.

use std::collections::{HashMap, HashSet};

use mainstay_api::{
    App, CauseDetails, Deployment, DeploymentComponent, Domain, Instance, InstanceComponentType,
    InstanceEventType, InstanceState, Phase, Progress, Reason, Region, Step, StepStatus, UserAction,
    UserActionName,
};
use mainstay_deploy::{Leaf, LeafName, LeafStatus, PhaseKind};
use mainstay_spec::{AppSpec, ComponentRef, JobKind, ids::DeploymentId, kind::ComponentKind};
use mainstay_store::{DeploymentRow, InstanceEventRow, InstanceRow, ReasonRow, Use};

use crate::{
    app::{
        Application, Refusal,
        apps::AppView,
        deployments::{DeploymentView, MANUAL_ROLLBACK, RESTARTED, REVERTED, SPEC_UPDATED},
    },
    capacity::Room,
    config::Config,
};

/// Events that are shown with an instance.
const RECENT_EVENTS: usize = 10;

pub(crate) async fn app(application: &Application, view: AppView) -> Result<App, Refusal> {
    let apps = apps(application, vec![view]).await?;
    apps.into_iter().next().ok_or(Refusal::NotFound)
}

/// A page of them: what is known of their deployments is asked for once.
pub(crate) async fn apps(application: &Application, views: Vec<AppView>) -> Result<Vec<App>, Refusal> {
    let inlined = views.iter().flat_map(|view| {
        let all = [&view.active, &view.in_progress, &view.pending, &view.pinned];
        all.into_iter().flatten().cloned()
    });
    let mut seen = HashSet::new();
    let rows: Vec<DeploymentRow> = inlined.filter(|row| seen.insert(row.id)).collect();
    let known = application.deployment_views(rows).await?;
    let known: HashMap<DeploymentId, Deployment> = known
        .into_iter()
        .map(|view| (view.row.id, deployment(view)))
        .collect();
    let config = &application.platform.config;
    Ok(views
        .into_iter()
        .map(|view| one_app(config, view, &known))
        .collect())
}

fn one_app(config: &Config, view: AppView, known: &HashMap<DeploymentId, Deployment>) -> App {
    let inline = |row: &Option<DeploymentRow>| known.get(&row.as_ref()?.id).cloned();
    let serving = view.active.as_ref().map(|row| &row.spec);
    let suffix = view.app.host_suffix.as_str();
    let live_url = serving
        .map(|spec| config.app_url(spec, suffix))
        .unwrap_or_default();
    let domains = view.app.spec.domains.iter().map(domain).collect();
    let created = [&view.pending, &view.in_progress, &view.active]
        .into_iter()
        .flatten()
        .map(|row| row.created_at);
    App {
        id: view.app.id.to_string(),
        owner_uuid: view.app.account.to_string(),
        default_ingress: config.app_url(
            &AppSpec {
                domains: Vec::new(),
                ..view.app.spec.clone()
            },
            suffix,
        ),
        live_url_base: live_url.clone(),
        live_domain: serving
            .map(|spec| config.app_domain(spec, suffix))
            .unwrap_or_default(),
        live_url,
        region: Some(region()),
        tier_slug: "basic".into(),
        created_at: Some(view.app.created_at),
        updated_at: Some(view.app.updated_at),
        last_deployment_created_at: created.max(),
        last_deployment_active_at: view.active.as_ref().map(|row| row.updated_at),
        active_deployment: inline(&view.active),
        in_progress_deployment: inline(&view.in_progress),
        pending_deployment: inline(&view.pending),
        pinned_deployment: inline(&view.pinned),
        domains,
        spec: view.app.spec,
        ..App::default()
    }
}

pub(super) fn limit(used: Use) -> mainstay_api::Limit {
    mainstay_api::Limit {
        scope: "account".to_owned(),
        resource: used.resource.noun().to_owned(),
        unit: used.unit.as_str().to_owned(),
        used: used.used,
        limit: used.limit,
        overridden: used.is_own,
    }
}

pub(super) fn room(room: Room) -> mainstay_api::Limit {
    mainstay_api::Limit {
        scope: "node".to_owned(),
        resource: room.resource.to_owned(),
        unit: room.unit.as_str().to_owned(),
        used: room.used,
        limit: (room.limit < u64::MAX).then_some(room.limit),
        overridden: false,
    }
}

pub(crate) fn region() -> Region {
    Region {
        slug: "local".into(),
        label: "This machine".into(),
        data_centers: vec!["local".into()],
        default: true,
        ..Region::default()
    }
}

fn domain(written: &mainstay_spec::Domain) -> Domain {
    Domain {
        spec: written.clone(),
        ..Domain::default()
    }
}

pub(crate) fn deployment(view: DeploymentView) -> Deployment {
    let reason = view
        .failed_leaf()
        .and_then(|leaf| leaf.reason.clone())
        .map(Reason::from);
    let superseded_by = view
        .events
        .iter()
        .rev()
        .find_map(|recorded| match &recorded.event {
            mainstay_deploy::Event::NewerAccepted { deployment }
            | mainstay_deploy::Event::NewerActive { deployment } => Some(deployment.to_string()),
            _ => None,
        });
    let superseded = view.row.phase == PhaseKind::Superseded;
    let run_reasons = view.reasons.iter().filter(|row| row.stage == "run");
    let run_reasons = run_reasons.map(known_reason).collect();
    let of_kind = |kind| components(&view, kind);
    Deployment {
        services: of_kind(ComponentKind::Service),
        workers: of_kind(ComponentKind::Worker),
        jobs: of_kind(ComponentKind::Job),
        static_sites: of_kind(ComponentKind::StaticSite),
        progress: Some(progress(&view)),
        reason,
        run_reasons,
        superseded_by: superseded_by.filter(|_| superseded).unwrap_or_default(),
        id: view.row.id.to_string(),
        phase: phase(view.row.phase),
        phase_last_updated_at: Some(view.row.updated_at),
        created_at: Some(view.row.created_at),
        updated_at: Some(view.row.updated_at),
        cause_details: Some(cause_details(&view.row)),
        cause: view.row.cause,
        cloned_from: view.row.cloned_from.map(|id| id.to_string()).unwrap_or_default(),
        previous_deployment_id: view.row.previous.map(|id| id.to_string()).unwrap_or_default(),
        tier_slug: "basic".into(),
        spec: view.row.spec,
        ..Deployment::default()
    }
}

fn phase(kind: PhaseKind) -> Phase {
    match kind {
        PhaseKind::PendingBuild | PhaseKind::Initializing => Phase::PendingBuild,
        PhaseKind::Building => Phase::Building,
        PhaseKind::PendingDeploy => Phase::PendingDeploy,
        PhaseKind::PreDeploying | PhaseKind::Starting | PhaseKind::Switching | PhaseKind::PostDeploying => {
            Phase::Deploying
        }
        PhaseKind::Active => Phase::Active,
        PhaseKind::Superseded => Phase::Superseded,
        PhaseKind::Failing | PhaseKind::Failed => Phase::Error,
        PhaseKind::Canceled => Phase::Canceled,
    }
}

fn cause_details(row: &DeploymentRow) -> CauseDetails {
    let name = match row.cause.as_str() {
        _ if row.cause_kind == MANUAL_ROLLBACK => UserActionName::RollbackApp,
        SPEC_UPDATED => UserActionName::UpdateSpec,
        RESTARTED => UserActionName::Restart,
        REVERTED => UserActionName::RevertAppRollback,
        _ => UserActionName::CreateDeployment,
    };
    CauseDetails {
        r#type: row.cause_kind.parse().unwrap_or_default(),
        digitalocean_user_action: Some(UserAction { user: None, name }),
        ..CauseDetails::default()
    }
}

fn components(view: &DeploymentView, kind: ComponentKind) -> Vec<DeploymentComponent> {
    let of_kind = view
        .row
        .spec
        .components()
        .filter(|component| component.kind() == kind);
    let described = of_kind.map(|component| {
        let build = view.builds.iter().find(|row| row.component == component.name());
        let revision = build.map(|row| row.source.revision.clone()).unwrap_or_default();
        let is_image = revision.starts_with("sha256:");
        let (source_commit_hash, source_image_digest) = if is_image {
            (String::new(), revision)
        } else {
            (revision, String::new())
        };
        DeploymentComponent {
            name: component.name().to_owned(),
            source_commit_hash,
            source_image_digest,
            ..DeploymentComponent::default()
        }
    });
    described.collect()
}

/// The tree of `app-platform.md` c.2 over the leaves.
fn progress(view: &DeploymentView) -> Progress {
    let steps = |wanted: &dyn Fn(&LeafName) -> bool| -> Vec<Step> {
        view.leaves
            .iter()
            .filter(|leaf| wanted(&leaf.name))
            .map(|leaf| step(leaf, &view.row.spec))
            .collect()
    };
    let builds = steps(&|name| matches!(name, LeafName::Build { .. }));
    let build = group(
        "build",
        [
            steps(&|name| *name == LeafName::BuildInitialize),
            vec![group("components", builds)],
        ]
        .concat(),
    );
    let rolled_out = view
        .row
        .spec
        .components()
        .filter(|component| component.kind() != ComponentKind::Database);
    let deploys = rolled_out.map(|component| {
        let name = component.name();
        let of_component = |leaf: &LeafName| {
            matches!(leaf, LeafName::Deploy { component } | LeafName::Wait { component } if component == name)
        };
        Step { component_name: name.to_owned(), ..group(name, steps(&of_component)) }
    });
    let deploys: Vec<Step> = deploys.collect();
    let counted: Vec<Step> = deploys
        .iter()
        .filter(|step| !stands_by(view, &step.component_name))
        .cloned()
        .collect();
    let deploys = Step {
        steps: deploys,
        ..group("components", counted)
    };
    let initialize = steps(&|name| *name == LeafName::DeployInitialize);
    let finalize = steps(&|name| *name == LeafName::Finalize);
    let deploy = group("deploy", [initialize, vec![deploys], finalize].concat());
    without_idle(Progress::of(vec![build, deploy]), view)
}

/// A FAILED_DEPLOY job that has no reason to run: its steps stay PENDING and keep nobody waiting.
fn stands_by(view: &DeploymentView, component: &str) -> bool {
    let mut leaves = view
        .leaves
        .iter()
        .filter(|leaf| rollout_of(&leaf.name) == Some(component));
    is_failed_deploy_job(&view.row.spec, component) && leaves.all(|leaf| leaf.status == LeafStatus::Pending)
}

fn is_failed_deploy_job(spec: &AppSpec, component: &str) -> bool {
    matches!(spec.component(component), Some(ComponentRef::Job(job)) if job.kind() == JobKind::FailedDeploy)
}

fn rollout_of(name: &LeafName) -> Option<&str> {
    match name {
        LeafName::Deploy { component } | LeafName::Wait { component } => Some(component),
        _ => None,
    }
}

/// Clients wait until all that is counted succeeded.
fn without_idle(progress: Progress, view: &DeploymentView) -> Progress {
    let idle = |leaf: &&Leaf| rollout_of(&leaf.name).is_some_and(|component| stands_by(view, component));
    let idle = u32::try_from(view.leaves.iter().filter(idle).count()).unwrap_or(0);
    Progress {
        pending_steps: progress.pending_steps - idle,
        total_steps: progress.total_steps - idle,
        ..progress
    }
}

fn step(leaf: &Leaf, spec: &AppSpec) -> Step {
    let noun = |component: &str| {
        spec.component(component)
            .map_or("component", |component| component.kind().noun())
    };
    let (name, component_name, message_base) = match &leaf.name {
        LeafName::BuildInitialize => ("initialize", "", "Fetching the sources".to_owned()),
        LeafName::DeployInitialize => ("initialize", "", "Preparing the rollout".to_owned()),
        LeafName::Finalize => ("finalize", "", "Switching over".to_owned()),
        LeafName::Build { component } => (
            component.as_str(),
            component.as_str(),
            format!("Building {}", noun(component)),
        ),
        LeafName::Deploy { component } => (
            "deploy",
            component.as_str(),
            format!("Deploying {}", noun(component)),
        ),
        LeafName::Wait { component } => (
            "wait",
            component.as_str(),
            format!("Waiting for {}", noun(component)),
        ),
    };
    Step {
        name: name.to_owned(),
        status: status(leaf.status),
        started_at: leaf.started_at,
        ended_at: leaf.ended_at,
        reason: leaf.reason.clone().map(Reason::from),
        component_name: component_name.to_owned(),
        message_base,
        ..Step::default()
    }
}

fn status(status: LeafStatus) -> StepStatus {
    match status {
        LeafStatus::Pending => StepStatus::Pending,
        LeafStatus::Running => StepStatus::Running,
        LeafStatus::Success => StepStatus::Success,
        LeafStatus::Error => StepStatus::Error,
    }
}

/// A step with steps of its own: as bad as its worst, and done when all are.
fn group(name: &str, steps: Vec<Step>) -> Step {
    let any = |status| steps.iter().any(|step| step.status == status);
    let all = |status| steps.iter().all(|step| step.status == status);
    let status = if any(StepStatus::Error) {
        StepStatus::Error
    } else if all(StepStatus::Success) {
        StepStatus::Success
    } else if all(StepStatus::Pending) {
        StepStatus::Pending
    } else {
        StepStatus::Running
    };
    let ended = matches!(status, StepStatus::Error | StepStatus::Success);
    Step {
        name: name.to_owned(),
        status,
        started_at: steps.iter().filter_map(|step| step.started_at).min(),
        ended_at: steps
            .iter()
            .filter_map(|step| step.ended_at)
            .max()
            .filter(|_| ended),
        steps,
        ..Step::default()
    }
}

/// A reason with the time at which it healed.
fn known_reason(row: &ReasonRow) -> Reason {
    Reason::from(mainstay_diagnosis::Reason {
        resolved_at: row.resolved_at,
        ..row.reason.clone()
    })
}

pub(crate) fn instance(
    spec: &AppSpec,
    row: &InstanceRow,
    reasons: &[ReasonRow],
    events: &[InstanceEventRow],
) -> Instance {
    let kind = spec.component(&row.component).map(ComponentRef::kind);
    let reason = reasons
        .iter()
        .find(|reason| reason.component == row.component && reason.stage == "run");
    let troubled = reason.is_some_and(|reason| reason.resolved_at.is_none());
    Instance {
        component_name: row.component.clone(),
        component_type: match kind {
            Some(ComponentKind::Worker) => InstanceComponentType::Worker,
            Some(ComponentKind::Job) => InstanceComponentType::Job,
            _ => InstanceComponentType::Service,
        },
        instance_name: row.unique_name(),
        instance_alias: row.name(),
        instance_id: row.id.to_string(),
        deployment_id: row.deployment.to_string(),
        state: match (row.exit.is_some(), troubled) {
            (true, _) => InstanceState::Exited,
            (false, true) => InstanceState::Unhealthy,
            (false, false) => InstanceState::Healthy,
        },
        started_at: Some(row.created_at),
        restarts: row.restarts,
        reason: reason.map(known_reason),
        recent_events: events
            .iter()
            // One that a restart left as it was has its history with the deployment before.
            .filter(|event| event.deployment == row.deployment || event.instance == Some(row.id))
            .filter(|event| event.place() == row.name())
            .take(RECENT_EVENTS)
            .cloned()
            .map(instance_event)
            .collect(),
    }
}

pub(crate) fn instance_event(row: InstanceEventRow) -> mainstay_api::InstanceEvent {
    use mainstay_store::InstanceEvent as Event;
    let wire = mainstay_api::InstanceEvent {
        id: row.id,
        created_at: Some(row.at),
        deployment_id: row.deployment.to_string(),
        instance_alias: row.place(),
        component_name: row.component,
        instance_id: row.instance.map(|id| id.to_string()).unwrap_or_default(),
        ..mainstay_api::InstanceEvent::default()
    };
    let name = |word: Option<&dyn std::fmt::Display>| word.map(ToString::to_string).unwrap_or_default();
    let (r#type, message, code, cause, exit_code) = match row.event {
        Event::Started { restarts: 0 } => (InstanceEventType::Started, "started".into(), None, None, None),
        Event::Started { restarts } => {
            let message = format!("started again (restart {restarts})");
            (InstanceEventType::Started, message, None, None, None)
        }
        Event::Ready => (InstanceEventType::Ready, "is ready".into(), None, None, None),
        Event::NotReady { code, cause, message } => (
            InstanceEventType::NotReady,
            message,
            Some(code),
            Some(cause),
            None,
        ),
        Event::LivenessFailed { message } => (InstanceEventType::LivenessFailed, message, None, None, None),
        Event::Exited {
            exit_code,
            code,
            cause,
            message,
        } => (InstanceEventType::Exited, message, code, cause, Some(exit_code)),
        Event::StartFailed { code, cause, message } => (
            InstanceEventType::StartFailed,
            message,
            Some(code),
            Some(cause),
            None,
        ),
        Event::Restarting { after_ms } => {
            let message = format!("is started again in {} s", after_ms / 1000);
            (InstanceEventType::Restarting, message, None, None, None)
        }
    };
    mainstay_api::InstanceEvent {
        r#type,
        message,
        exit_code,
        reason_code: name(code.as_ref().map(|code| code as _)),
        reason_cause: name(cause.as_ref().map(|cause| cause as _)),
        ..wire
    }
}
