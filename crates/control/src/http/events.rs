//! `/v2/apps/{id}/events`: an app's deployments, as events. There is no other kind yet; the event of a deployment has its id.

use axum::{Json, extract::State, http::HeaderMap};
use mainstay_api::{
    Event, EventResponse, EventType, EventsResponse, LogType, LogsQuery, LogsResponse, Meta, PageQuery,
};
use mainstay_spec::ids::{AppId, DeploymentId};
use schemars::JsonSchema;

use super::{
    ApiError,
    extract::{Path, Query, list_url, page, words},
    logs, wire,
};
use crate::app::{Application, deployments::DeploymentView};

/// What [`words`] reads, for the description.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "a shape")]
pub(crate) struct TypesQuery {
    /// Only those: `DEPLOYMENT`, …
    event_types: Option<Vec<String>>,
    /// Only deployments with such a cause.
    deployment_types: Option<Vec<String>>,
}

pub(crate) async fn list(
    State(application): State<Application>,
    Path(app): Path<AppId>,
    Query(query): Query<PageQuery>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Json<EventsResponse>, ApiError> {
    let types = words(&pairs, "event_types");
    let wanted = types.is_empty() || types.iter().any(|word| word == EventType::Deployment.as_str());
    let kinds = words(&pairs, "deployment_types");
    let (views, total) = application.deployments(app, &kinds, page(query)?).await?;
    let (views, total) = if wanted { (views, total) } else { (Vec::new(), 0) };
    let url = list_url(&headers, &format!("/v2/apps/{app}/events"), &pairs);
    Ok(Json(EventsResponse {
        events: views.into_iter().map(event).collect(),
        links: query.links(&url, total),
        meta: Meta { total },
    }))
}

pub(crate) async fn get(
    State(application): State<Application>,
    Path((app, id)): Path<(AppId, DeploymentId)>,
) -> Result<Json<EventResponse>, ApiError> {
    let view = application.deployment(app, id).await?;
    Ok(Json(EventResponse { event: event(view) }))
}

pub(crate) async fn cancel(
    State(application): State<Application>,
    Path((app, id)): Path<(AppId, DeploymentId)>,
) -> Result<Json<EventResponse>, ApiError> {
    let view = application.cancel_deployment(app, id).await?;
    Ok(Json(EventResponse { event: event(view) }))
}

/// Of a deployment's event: what its first instances and jobs wrote. Clients ask for AUTOSCALE_EVENT whatever the event is.
pub(crate) async fn logs(
    application: State<Application>,
    path: Path<(AppId, DeploymentId)>,
    Query(query): Query<LogsQuery>,
    headers: HeaderMap,
) -> Result<Json<LogsResponse>, ApiError> {
    let r#type = match query.r#type {
        LogType::AutoscaleEvent | LogType::Unspecified => LogType::Deploy,
        other => other,
    };
    let query = LogsQuery { r#type, ..query };
    logs::of_deployment(application, path, Query(query), headers).await
}

fn event(view: DeploymentView) -> Event {
    Event {
        id: view.row.id.to_string(),
        r#type: EventType::Deployment,
        created_at: Some(view.row.created_at),
        deployment_id: view.row.id.to_string(),
        deployment: Some(wire::deployment(view)),
        ..Event::default()
    }
}
