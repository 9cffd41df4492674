//! The switch: probe the new instances through the router, then give them the app's routes.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use mainstay_build::Artifact;
use mainstay_deploy::Event;
use mainstay_diagnosis::{
    Reason,
    facts::{ProbeAttempt, ProbeFacts, ProbeOutcome},
};
use mainstay_engine::{InternalService, NameGroup};
use mainstay_router::snapshot::{Endpoint, Host, Route, Target, Unavailable};
use mainstay_spec::{AppSpec, Service, ids::InstanceId};
use mainstay_store::DeploymentRow;
use tokio::time::Instant;

use super::{
    builds,
    effects::{Effects, Obstacle, Outcome},
    evidence::{Evidence, History},
    fleet::Fleet,
    instance_plan::InstancePlan,
};
use crate::{
    platform::{Platform, PlatformError},
    probe::{HttpProbe, ProbeTarget, probe},
    routes::{Destinations, app_hosts},
};

/// How long the way through the router may take to give a good answer, once the instances are ready.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// Ready instances by component.
pub(crate) type ReadyInstances = BTreeMap<String, Vec<(InstanceId, std::net::Ipv4Addr)>>;

/// Proves that the new instances answer through the router, then switches.
pub(crate) async fn switch(
    effects: &Effects,
    plans: &[Arc<InstancePlan>],
    ready: &ReadyInstances,
) -> Result<Outcome, Obstacle> {
    let platform = &effects.platform;
    let hosts = hosts(platform, &effects.deployment, ready, &HashMap::new()).await?;
    let candidate = match hosts.first() {
        Some((default_host, host)) => {
            let candidate = Candidate::open(platform, host.clone()).await?;
            let checked = check_routes(effects, plans, default_host, host, &candidate.token, ready).await;
            if let Err(obstacle) = checked {
                candidate.close().await;
                return Err(obstacle);
            }
            Some(candidate.token)
        }
        None => None,
    };
    let visitors = async {
        let routes = &platform.routes;
        let promoted = routes.promote(effects.deployment.app, hosts, candidate.as_deref());
        promoted.await.map_err(PlatformError::from)
    };
    // Neither waits for the other, and neither is cut off by the other's failure: each leads from instances that answer to such.
    let (promoted, announced) = tokio::join!(visitors, announce(platform, &effects.deployment, ready));
    promoted.and(announced)?;
    Ok(Event::RoutesSwitched.into())
}

/// The hosts of the app with its ready instances behind them.
pub(crate) async fn hosts(
    platform: &Platform,
    deployment: &DeploymentRow,
    ready: &ReadyInstances,
    reasons: &HashMap<String, Box<Reason>>,
) -> Result<Vec<(String, Host)>, PlatformError> {
    let mut destinations = Destinations::default();
    destinations.unavailable.extend(
        reasons
            .iter()
            .map(|(component, reason)| (component.clone(), unavailable(reason))),
    );
    for build in builds::builds_of(platform, deployment).await? {
        if let Some(Artifact::StaticFiles { path, .. }) = build.output.map(|output| output.artifact) {
            destinations.files.insert(build.component, path);
        }
    }
    for service in &deployment.spec.services {
        let instances = ready.get(&service.name).map(Vec::as_slice).unwrap_or_default();
        let endpoint = |(id, address): &(InstanceId, std::net::Ipv4Addr)| Endpoint {
            id: id.to_string(),
            address: SocketAddr::from((*address, service.http_port())),
        };
        destinations
            .endpoints
            .insert(service.name.clone(), instances.iter().map(endpoint).collect());
    }
    let config = &platform.config;
    let default_host = config.app_domain(&deployment.spec, &deployment.host_suffix);
    Ok(app_hosts(
        deployment.app,
        &deployment.spec,
        &default_host,
        &destinations,
    ))
}

fn unavailable(reason: &Reason) -> Unavailable {
    Unavailable {
        status: 503,
        code: Some(reason.code.as_str().to_owned()),
        sentence: reason.title.clone(),
    }
}

/// Tells the app's own network where its components are now.
pub(crate) async fn announce(
    platform: &Platform,
    row: &DeploymentRow,
    ready: &ReadyInstances,
) -> Result<(), PlatformError> {
    Ok(platform
        .engine
        .set_internal_services(row.app, NameGroup::Services, &services(&row.spec, ready))
        .await?)
}

/// Gives names to components that do not serve yet: instances learn the names of their app when they start.
pub(crate) async fn reserve_names(
    platform: &Platform,
    row: &DeploymentRow,
    serving: Option<(&DeploymentRow, &Fleet)>,
) -> Result<(), PlatformError> {
    let mut known = serving
        .map(|(row, fleet)| services(&row.spec, &fleet.ready()))
        .unwrap_or_default();
    for service in services(&row.spec, &ReadyInstances::new()) {
        if !known.iter().any(|other| other.component == service.component) {
            known.push(service);
        }
    }
    let engine = &platform.engine;
    Ok(engine
        .set_internal_services(row.app, NameGroup::Services, &known)
        .await?)
}

fn services(spec: &AppSpec, ready: &ReadyInstances) -> Vec<InternalService> {
    let service = |service: &Service| InternalService {
        component: service.name.clone(),
        ports: service.internal_port_map(),
        addresses: ready
            .get(&service.name)
            .into_iter()
            .flatten()
            .map(|(_, address)| *address)
            .collect(),
    };
    spec.services.iter().map(service).collect()
}

/// A route that only we know of.
struct Candidate<'a> {
    platform: &'a Platform,
    token: String,
}

impl<'a> Candidate<'a> {
    async fn open(platform: &'a Platform, host: Host) -> Result<Self, PlatformError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        platform.routes.set_candidate(&token, host).await?;
        Ok(Self { platform, token })
    }

    /// A candidate that stays behind leads only where its instances are, and goes with the next restart.
    async fn close(self) {
        if let Err(error) = self.platform.routes.clear_candidate(&self.token).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not take a candidate route away"
            );
        }
    }
}

async fn check_routes(
    effects: &Effects,
    plans: &[Arc<InstancePlan>],
    default_host: &str,
    host: &Host,
    token: &str,
    ready: &ReadyInstances,
) -> Result<(), Obstacle> {
    for route in &host.routes {
        let Some(path) = probe_path(route, plans) else {
            continue;
        };
        let target = ProbeTarget {
            address: effects.platform.config.router_address(),
            http: Some(HttpProbe {
                path,
                host: default_host.to_owned(),
                headers: vec![("mainstay-candidate".into(), token.to_owned())],
            }),
            timeout: PROBE_TIMEOUT,
        };
        let is_static = matches!(route.target, Target::Static { .. });
        if let Err(transcript) = answers(&target, is_static).await {
            return Err(refusal(effects, plans, route, transcript, ready).await);
        }
    }
    Ok(())
}

/// What to ask for on this route; `None` where there is nothing of ours behind it.
fn probe_path(route: &Route, plans: &[Arc<InstancePlan>]) -> Option<String> {
    match &route.target {
        Target::Redirect { .. } => None,
        Target::Static { .. } => Some(route.path_prefix.clone()),
        Target::Service { .. } => {
            let plan = plans.iter().find(|plan| plan.component == route.component)?;
            let health_path = plan
                .readiness
                .as_ref()?
                .http_path
                .clone()
                .unwrap_or_else(|| "/".into());
            Some(public_path(route, &health_path))
        }
    }
}

/// The public path that reaches `path` of the component, as far as the route can.
fn public_path(route: &Route, path: &str) -> String {
    if route.preserve_path_prefix || route.rewrite.is_some() {
        return route.path_prefix.clone();
    }
    format!("{}{path}", route.path_prefix.trim_end_matches('/'))
}

/// Asks until the app itself answers. What status it answers with is its own business: readiness was decided by its health check; this
/// probe proves the way.
async fn answers(target: &ProbeTarget, is_static: bool) -> Result<(), Vec<ProbeAttempt>> {
    let deadline = Instant::now() + ANSWERS_WITHIN;
    let mut transcript = Vec::new();
    loop {
        let attempt = probe(target).await;
        // A static site's missing page is the router's own answer, and as good a proof.
        let not_found = matches!(attempt.outcome, ProbeOutcome::Response { status: 404, .. });
        if came_from_the_app(&attempt.outcome) || (is_static && not_found) {
            return Ok(());
        }
        transcript.push(attempt);
        if Instant::now() + PAUSE >= deadline {
            return Err(transcript);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn came_from_the_app(outcome: &ProbeOutcome) -> bool {
    let ProbeOutcome::Response { headers, .. } = outcome else {
        return false;
    };
    !headers
        .iter()
        .any(|(name, _)| name == "mainstay-reason" || name == "mainstay-detail")
}

async fn refusal(
    effects: &Effects,
    plans: &[Arc<InstancePlan>],
    route: &Route,
    transcript: Vec<ProbeAttempt>,
    ready: &ReadyInstances,
) -> Obstacle {
    let plan = plans.iter().find(|plan| plan.component == route.component);
    let instance = ready
        .get(&route.component)
        .and_then(|instances| instances.first());
    let (Some(plan), Some((instance, _))) = (plan, instance) else {
        return PlatformError::missing(format!("an answer of {} through the router", route.component)).into();
    };
    let Some(definition) = plan.readiness.clone() else {
        return PlatformError::missing(format!("the readiness check of {}", route.component)).into();
    };
    let facts = ProbeFacts {
        definition,
        attempts: u32::try_from(transcript.len()).unwrap_or(u32::MAX),
        transcript,
        threshold_reached: true,
        through_router: true,
        liveness: false,
        answering_paths: Vec::new(),
    };
    let history = History {
        started_at: Some(Timestamp::now()),
        ..History::default()
    };
    let evidence = Evidence {
        platform: &effects.platform,
        plan,
        history: &history,
    };
    match evidence.reason(*instance, Some(facts), false).await {
        Some(reason) => Obstacle::failed(&route.component, reason),
        None => PlatformError::missing(format!("a reason for {}", route.component)).into(),
    }
}
