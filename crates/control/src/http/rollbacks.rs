//! `/v2/apps/{id}/rollback`.

use axum::{Json, extract::State};
use mainstay_api::{DeploymentResponse, RollbackCondition, RollbackRequest, RollbackValidationResponse};
use mainstay_spec::ids::{AppId, DeploymentId};
use serde_json::{Value, json};

use super::{
    ApiError,
    extract::{Path, Text, body_of},
    wire,
};
use crate::app::{Application, rollbacks::Condition};

pub(crate) async fn create(
    State(application): State<Application>,
    Path(app): Path<AppId>,
    Text(body): Text,
) -> Result<Json<DeploymentResponse>, ApiError> {
    let request: RollbackRequest = body_of(&body)?;
    let view = application
        .roll_back(app, target(&request)?, request.skip_pin)
        .await?;
    Ok(Json(DeploymentResponse {
        deployment: wire::deployment(view),
    }))
}

pub(crate) async fn validate(
    State(application): State<Application>,
    Path(app): Path<AppId>,
    Text(body): Text,
) -> Result<Json<RollbackValidationResponse>, ApiError> {
    let request: RollbackRequest = body_of(&body)?;
    let obstacle = application.rollback_obstacle(app, target(&request)?).await?;
    Ok(Json(RollbackValidationResponse {
        valid: obstacle.is_none(),
        error: obstacle.map(condition),
        // The original warns where an image has to be found or built again; ours are kept.
        warnings: Vec::new(),
    }))
}

/// The original's answer has no content; an empty object can be read as JSON as well.
pub(crate) async fn commit(
    State(application): State<Application>,
    Path(app): Path<AppId>,
) -> Result<Json<Value>, ApiError> {
    application.commit_rollback(app).await?;
    Ok(Json(json!({})))
}

pub(crate) async fn revert(
    State(application): State<Application>,
    Path(app): Path<AppId>,
) -> Result<Json<DeploymentResponse>, ApiError> {
    let view = application.revert_rollback(app).await?;
    Ok(Json(DeploymentResponse {
        deployment: wire::deployment(view),
    }))
}

fn target(request: &RollbackRequest) -> Result<DeploymentId, ApiError> {
    let id = &request.deployment_id;
    id.parse().map_err(|_| {
        ApiError::bad_request(format!("deployment_id is {id:?}, which is no id of a deployment"))
    })
}

fn condition(condition: Condition) -> RollbackCondition {
    RollbackCondition {
        code: condition.code.to_owned(),
        message: condition.message,
        components: condition.components,
    }
}
