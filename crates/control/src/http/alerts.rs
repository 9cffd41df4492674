//! `/v2/apps/{id}/alerts`.

use axum::{Json, extract::State};
use mainstay_api::{AlertDestinationsRequest, AlertResponse, AlertsResponse};
use mainstay_spec::ids::AppId;

use super::{
    ApiError,
    extract::{Path, Text, body_of},
};
use crate::app::Application;

pub(crate) async fn list(
    State(application): State<Application>,
    Path(app): Path<AppId>,
) -> Result<Json<AlertsResponse>, ApiError> {
    let alerts = application.alerts(app).await?;
    Ok(Json(AlertsResponse { alerts }))
}

pub(crate) async fn send_to(
    State(application): State<Application>,
    Path((app, alert)): Path<(AppId, String)>,
    Text(body): Text,
) -> Result<Json<AlertResponse>, ApiError> {
    let to: AlertDestinationsRequest = body_of(&body)?;
    let alert = application.send_alert_to(app, &alert, &to).await?;
    Ok(Json(AlertResponse { alert }))
}
