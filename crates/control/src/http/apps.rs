//! `/v2/apps`.

use axum::{Extension, Json, extract::State, http::HeaderMap};
use mainstay_api::{
    AppResponse, AppsResponse, DeleteAppResponse, InstanceEventsResponse, InstancesResponse, Meta, PageQuery,
    ProposeResponse,
};
use mainstay_spec::{AppSpec, ids::AppId};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    ApiError,
    access::OnApp,
    accounts::Own,
    extract::{Path, Query, SpecRequest, Text, base_url, page},
    wire,
};
use crate::app::{
    Application,
    apps::{Accepted, HowToUpdate, Page},
    tokens::Access,
};

/// Among these the last ones of each instance are found.
const EVENTS_LOOKED_AT: u64 = 200;

/// Read by the guard, which has to know which app is meant.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct GetQuery {
    /// Where the path has no id.
    pub(super) name: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct DeleteQuery {
    /// Addition: the data of the app's databases may go with it.
    #[serde(default)]
    delete_databases: bool,
}

pub(crate) async fn list(
    State(application): State<Application>,
    Extension(access): Extension<Access>,
    Query(query): Query<PageQuery>,
    headers: HeaderMap,
) -> Result<Json<AppsResponse>, ApiError> {
    let page = page(query)?;
    // A token for one app sees no other.
    let (views, total) = match access.app {
        Some(id) if page.offset() == 0 => (vec![application.app_of(access.account, id).await?], 1),
        Some(_) => (Vec::new(), 1),
        None => application.apps(access.account, page).await?,
    };
    let apps = wire::apps(&application, views).await?;
    let links = query.links(&format!("{}/v2/apps", base_url(&headers)), total);
    Ok(Json(AppsResponse {
        apps,
        links,
        meta: Meta { total },
    }))
}

pub(crate) async fn create(
    State(application): State<Application>,
    Own(account): Own,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<Json<AppResponse>, ApiError> {
    let request = SpecRequest::read(&headers, &body)?;
    let created = application.create_app(account, &request.parsed.spec).await;
    let accepted = created.map_err(|refusal| request.located(refusal))?;
    respond(&application, accepted, request).await
}

/// By id or name, as the guard understood it.
pub(crate) async fn get(
    State(application): State<Application>,
    Extension(OnApp(id)): Extension<OnApp>,
) -> Result<Json<AppResponse>, ApiError> {
    let view = application.app(id).await?;
    Ok(Json(AppResponse {
        app: wire::app(&application, view).await?,
        ..AppResponse::default()
    }))
}

pub(crate) async fn update(
    State(application): State<Application>,
    Path(id): Path<AppId>,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<Json<AppResponse>, ApiError> {
    let request = SpecRequest::read(&headers, &body)?;
    let how = HowToUpdate {
        update_sources: request.flag("update_all_source_versions"),
        refuse_losses: request.flag("refuse_losses"),
    };
    let updated = application.update_app(id, &request.parsed.spec, how).await;
    let accepted = updated.map_err(|refusal| request.located(refusal))?;
    respond(&application, accepted, request).await
}

pub(crate) async fn delete(
    State(application): State<Application>,
    Path(id): Path<AppId>,
    Query(query): Query<DeleteQuery>,
) -> Result<Json<DeleteAppResponse>, ApiError> {
    application.delete_app(id, query.delete_databases).await?;
    Ok(Json(DeleteAppResponse { id: id.to_string() }))
}

pub(crate) async fn propose(
    State(application): State<Application>,
    Extension(access): Extension<Access>,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<Json<ProposeResponse>, ApiError> {
    let request = SpecRequest::read(&headers, &body)?;
    let app = request.app_id()?;
    if let (Some(own), Some(app)) = (access.app, app)
        && own != app
    {
        return Err(ApiError::other_app());
    }
    let proposed = application
        .propose(access.account, &request.parsed.spec, app)
        .await;
    let proposal = proposed.map_err(|refusal| request.located(refusal))?;
    Ok(Json(ProposeResponse {
        app_name_available: proposal.name_is_free,
        app_is_static: is_static(&proposal.spec),
        existing_static_apps: "0".into(),
        max_free_static_apps: "0".into(),
        spec: proposal.spec,
        warnings: request.warnings(proposal.lost),
        ..ProposeResponse::default()
    }))
}

pub(crate) async fn instances(
    State(application): State<Application>,
    Path(id): Path<AppId>,
) -> Result<Json<InstancesResponse>, ApiError> {
    let view = application.app(id).await?;
    let Some(active) = view.active else {
        return Ok(Json(InstancesResponse::default()));
    };
    let views = application.instances(id).await?;
    let reasons = application.deployment(id, active.id).await?.reasons;
    let newest = Page {
        number: 1,
        size: EVENTS_LOOKED_AT,
    };
    let (events, _) = application.instance_events(id, None, newest).await?;
    let instances = views
        .iter()
        .map(|view| wire::instance(&active.spec, view, &reasons, &events))
        .collect();
    Ok(Json(InstancesResponse { instances }))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct EventsQuery {
    component: Option<String>,
}

/// Addition: what happened to the instances, newest first.
pub(crate) async fn instance_events(
    State(application): State<Application>,
    Path(id): Path<AppId>,
    Query(of): Query<EventsQuery>,
    Query(query): Query<PageQuery>,
    headers: HeaderMap,
) -> Result<Json<InstanceEventsResponse>, ApiError> {
    let component = of.component.as_deref();
    let (rows, total) = application.instance_events(id, component, page(query)?).await?;
    let of = component
        .map(|name| format!("?component={name}"))
        .unwrap_or_default();
    let path = format!("{}/v2/mainstay/apps/{id}/instance-events{of}", base_url(&headers));
    Ok(Json(InstanceEventsResponse {
        instance_events: rows.into_iter().map(wire::instance_event).collect(),
        links: query.links(&path, total),
        meta: Meta { total },
    }))
}

async fn respond(
    application: &Application,
    accepted: Accepted,
    request: SpecRequest,
) -> Result<Json<AppResponse>, ApiError> {
    Ok(Json(AppResponse {
        app: wire::app(application, accepted.view).await?,
        deployment_id: accepted.deployment.to_string(),
        warnings: request.warnings(accepted.lost),
    }))
}

fn is_static(spec: &AppSpec) -> bool {
    spec.components().all(|component| component.instance_count() == 0)
}
