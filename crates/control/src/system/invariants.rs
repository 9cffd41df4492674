//! What must be true once the dust has settled, whatever happened before.

use std::collections::BTreeSet;

use mainstay_deploy::{Event, PhaseKind};
use mainstay_engine::{InstanceOwner, InstanceStatus};
use mainstay_router::snapshot::Target;
use mainstay_spec::{
    ids::{AppId, InstanceId},
    kind::ComponentKind,
};
use mainstay_store::{AppRow, DeploymentRow, StoreError};

use super::world::Server;

const ALL: u64 = 1000;

/// A sentence for everything that is wrong, or not at its end yet.
pub(super) async fn violations(server: &Server<'_>) -> Vec<String> {
    // A store that was made to refuse is asked again.
    let looked = look(server).await;
    looked.unwrap_or_else(|error| vec![format!("the store cannot be read: {error:?}")])
}

async fn look(server: &Server<'_>) -> Result<Vec<String>, StoreError> {
    let store = &server.application.platform.store;
    let apps = store.all_apps().await?;
    let mut wrong = Vec::new();
    let mut known = BTreeSet::new();
    for app in &apps {
        let (deployments, _) = store.deployments(app.id, 0, ALL).await?;
        wrong.extend(of_deployments(server, app, &deployments).await?);
        wrong.extend(of_restarts(server, app, &deployments).await?);
        wrong.extend(of_instances(server, app).await?);
        for deployment in &deployments {
            known.extend(
                store
                    .instances_of_deployment(deployment.id)
                    .await?
                    .into_iter()
                    .map(|row| row.id),
            );
        }
        for (_, accepted) in server.world.accepted().iter().filter(|(of, _)| *of == app.id) {
            if !deployments.iter().any(|row| row.id == *accepted) {
                wrong.push(format!("deployment {accepted} was accepted and is lost"));
            }
        }
    }
    wrong.extend(of_nobody(server, &apps, &known));
    Ok(wrong)
}

/// Each has ended, with a code where it failed; at most one serves, and the app knows which.
async fn of_deployments(
    server: &Server<'_>,
    app: &AppRow,
    deployments: &[DeploymentRow],
) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    if app.deleting {
        wrong.push(format!("app {} is still being deleted", app.id));
    }
    for row in deployments {
        match row.phase {
            PhaseKind::Active => {
                if app.active_deployment != Some(row.id) {
                    wrong.push(format!(
                        "deployment {} looks active and does not serve",
                        row.number
                    ));
                }
            }
            PhaseKind::Failed => {
                let view = server.application.deployment_view(row.clone()).await;
                let failed = view.as_ref().ok().and_then(|view| view.failed_leaf());
                let reason = failed.and_then(|leaf| leaf.reason.as_ref());
                if reason.is_none_or(|reason| reason.message.is_empty()) {
                    wrong.push(format!("deployment {} failed without a reason", row.number));
                }
            }
            PhaseKind::Superseded | PhaseKind::Canceled => {}
            phase => wrong.push(format!("deployment {} is {phase:?}", row.number)),
        }
    }
    Ok(wrong)
}

/// No restart ends what is none before it had its turn, nor brings back what another has replaced.
async fn of_restarts(
    server: &Server<'_>,
    app: &AppRow,
    deployments: &[DeploymentRow],
) -> Result<Vec<String>, StoreError> {
    let store = &server.application.platform.store;
    let mut wrong = Vec::new();
    let (restarts, others): (Vec<_>, Vec<_>) = deployments.iter().partition(|row| row.restarts.is_some());
    for row in &others {
        let events = store.events(row.id).await?;
        let is_restart = |by| restarts.iter().any(|restart| restart.id == by);
        let lost = events.iter().any(
            |recorded| matches!(recorded.event, Event::NewerAccepted { deployment } if is_restart(deployment)),
        );
        if lost && row.phase == PhaseKind::Superseded && row.activated_at.is_none() {
            wrong.push(format!("deployment {} was lost to a restart", row.number));
        }
    }
    let served = others.iter().filter(|row| row.activated_at.is_some());
    let newest = served.max_by_key(|row| row.number).map(|row| row.id);
    if let (Some(active), Some(newest)) = (app.active_deployment, newest) {
        let restarted = store.restarted(active).await;
        if restarted.as_ref().ok() != Some(&newest) {
            wrong.push(format!("{restarted:?} serves, and {newest} did so after it"));
        }
    }
    Ok(wrong)
}

/// What serves runs as often as it should and is what the router leads to; nothing else runs.
async fn of_instances(server: &Server<'_>, app: &AppRow) -> Result<Vec<String>, StoreError> {
    let store = &server.application.platform.store;
    let mut wrong = Vec::new();
    let running: Vec<InstanceStatus> = server.world.machine.running();
    let running: Vec<&InstanceStatus> = running.iter().filter(|status| owner(status) == app.id).collect();
    let wanted = match app.active_deployment {
        Some(active) => store
            .deployment(active)
            .await?
            .map_or(0, |row| instance_count(&row)),
        None => 0,
    };
    if running.len() != wanted {
        wrong.push(format!("{} instances run instead of {wanted}", running.len()));
    }
    let rows = store.present_instances(app.id).await?;
    if let Some(other) = rows
        .iter()
        .find(|row| Some(row.deployment) != app.active_deployment)
    {
        wrong.push(format!(
            "an instance of deployment {} is there, which does not serve",
            other.deployment
        ));
    }
    let ids: BTreeSet<InstanceId> = running.iter().map(|status| status.id).collect();
    let present: BTreeSet<InstanceId> = rows.into_iter().map(|row| row.id).collect();
    if present != ids {
        wrong.push(format!(
            "{} instances are in the store as present, {} run",
            present.len(),
            ids.len()
        ));
    }
    if routed(server, app.id) != ids {
        wrong.push(format!(
            "the router leads to others than the {} instances that run",
            ids.len()
        ));
    }
    Ok(wrong)
}

fn owner(status: &InstanceStatus) -> AppId {
    match &status.owner {
        InstanceOwner::Component { app, .. } => *app,
        owner @ (InstanceOwner::BuildStep { .. } | InstanceOwner::Database { .. }) => {
            panic!("nobody starts such an instance: {owner:?}")
        }
    }
}

fn instance_count(row: &DeploymentRow) -> usize {
    let with_instances = row
        .spec
        .components()
        .filter(|component| !matches!(component.kind(), ComponentKind::StaticSite | ComponentKind::Job));
    with_instances
        .map(|component| component.instance_count() as usize)
        .sum()
}

/// The instances behind the app's routes.
fn routed(server: &Server<'_>, app: AppId) -> BTreeSet<InstanceId> {
    let snapshot = server.world.router.routes();
    let hosts = snapshot.hosts.values().filter(|host| host.app == app.to_string());
    let targets = hosts.flat_map(|host| &host.routes).map(|route| &route.target);
    let endpoints = targets.flat_map(|target| match target {
        Target::Service { endpoints, .. } => endpoints.as_slice(),
        _ => &[],
    });
    endpoints
        .filter_map(|endpoint| endpoint.id.parse().ok())
        .collect()
}

/// No instance without a row, no network and no route without an app.
fn of_nobody(server: &Server<'_>, apps: &[AppRow], known: &BTreeSet<InstanceId>) -> Vec<String> {
    let world = server.world;
    let ids: BTreeSet<AppId> = apps.iter().map(|app| app.id).collect();
    let mut wrong = Vec::new();
    let strays = world.machine.known().difference(known).count();
    if strays > 0 {
        wrong.push(format!(
            "the engine has {strays} instances that the store does not know"
        ));
    }
    let networks = world.machine.networks().difference(&ids).count();
    if networks > 0 {
        wrong.push(format!("{networks} networks belong to no app"));
    }
    let is_owned = |host: &str| ids.iter().any(|id| id.to_string() == *host);
    if world
        .router
        .routes()
        .hosts
        .values()
        .any(|host| !is_owned(&host.app))
    {
        wrong.push("the router knows hosts of an app that is gone".to_owned());
    }
    wrong
}
