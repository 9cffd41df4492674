//! `/v2/apps/{id}/deployments`.

use axum::{Json, extract::State, http::HeaderMap};
use mainstay_api::{
    CreateDeploymentRequest, DeploymentResponse, DeploymentsResponse, Meta, PageQuery, RestartRequest,
};
use mainstay_spec::ids::{AppId, DeploymentId};
use schemars::JsonSchema;

use super::{
    ApiError,
    extract::{Path, Query, Text, body_of, list_url, page, words},
    wire,
};
use crate::app::Application;

/// What [`words`] reads, for the description.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "a shape")]
pub(crate) struct KindsQuery {
    /// Only those with such a cause: `MANUAL`, `MANUAL_ROLLBACK`, …
    deployment_types: Option<Vec<String>>,
}

type Answer = Result<Json<DeploymentResponse>, ApiError>;

pub(crate) async fn list(
    State(application): State<Application>,
    Path(app): Path<AppId>,
    Query(query): Query<PageQuery>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Json<DeploymentsResponse>, ApiError> {
    let kinds = words(&pairs, "deployment_types");
    let (views, total) = application.deployments(app, &kinds, page(query)?).await?;
    let url = list_url(&headers, &format!("/v2/apps/{app}/deployments"), &pairs);
    let deployments = views.into_iter().map(wire::deployment).collect();
    Ok(Json(DeploymentsResponse {
        deployments,
        links: query.links(&url, total),
        meta: Meta { total },
    }))
}

/// An empty body asks for nothing special.
pub(crate) async fn create(
    State(application): State<Application>,
    Path(app): Path<AppId>,
    Text(body): Text,
) -> Answer {
    let request: CreateDeploymentRequest = body_of(&body)?;
    let view = application.create_deployment(app, request.force_build).await?;
    Ok(Json(DeploymentResponse {
        deployment: wire::deployment(view),
    }))
}

pub(crate) async fn get(
    State(application): State<Application>,
    Path((app, deployment)): Path<(AppId, DeploymentId)>,
) -> Answer {
    let view = application.deployment(app, deployment).await?;
    Ok(Json(DeploymentResponse {
        deployment: wire::deployment(view),
    }))
}

/// Addition: by its id alone.
pub(crate) async fn get_by_id(
    State(application): State<Application>,
    Path(deployment): Path<DeploymentId>,
) -> Answer {
    let view = application.deployment_by_id(deployment).await?;
    Ok(Json(DeploymentResponse {
        deployment: wire::deployment(view),
    }))
}

pub(crate) async fn cancel(
    State(application): State<Application>,
    Path((app, deployment)): Path<(AppId, DeploymentId)>,
) -> Answer {
    let view = application.cancel_deployment(app, deployment).await?;
    Ok(Json(DeploymentResponse {
        deployment: wire::deployment(view),
    }))
}

/// An empty body names no components: all of them.
pub(crate) async fn restart(
    State(application): State<Application>,
    Path(app): Path<AppId>,
    Text(body): Text,
) -> Answer {
    let request: RestartRequest = body_of(&body)?;
    let view = application.restart_app(app, &request.components).await?;
    Ok(Json(DeploymentResponse {
        deployment: wire::deployment(view),
    }))
}
