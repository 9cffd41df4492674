//! Health and traffic of apps.

use axum::{Json, extract::State};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use mainstay_api::{AppHealth, AppHealthResponse, BandwidthRequest, BandwidthResponse};
use mainstay_spec::ids::AppId;
use serde::Deserialize;

use super::{
    ApiError,
    extract::{Path, Query, Text, body_of},
};
use crate::app::Application;

/// As the original has it.
const APPS_MAX: usize = 100;

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
pub(crate) struct DayQuery {
    /// Yesterday, if not given.
    #[schemars(with = "Option<Timestamp>")]
    date: Option<String>,
}

pub(crate) async fn health(
    State(application): State<Application>,
    Path(app): Path<AppId>,
) -> Result<Json<AppHealthResponse>, ApiError> {
    let components = application.health(app).await?;
    Ok(Json(AppHealthResponse {
        app_health: AppHealth { components },
    }))
}

pub(crate) async fn bandwidth_of_app(
    State(application): State<Application>,
    Path(app): Path<AppId>,
    Query(query): Query<DayQuery>,
) -> Result<Json<BandwidthResponse>, ApiError> {
    application.app(app).await?;
    let given = query.date.filter(|date| !date.is_empty());
    let date = given
        .map(|date| {
            date.parse().map_err(|_| {
                ApiError::bad_request(format!("date is {date:?}, which is no time as in RFC 3339"))
            })
        })
        .transpose()?;
    bandwidth(date)
}

/// Apps that are not there have no traffic: the original does not refuse them either.
pub(crate) async fn bandwidth_of_apps(Text(body): Text) -> Result<Json<BandwidthResponse>, ApiError> {
    let request: BandwidthRequest = body_of(&body)?;
    let count = request.app_ids.len();
    if count > APPS_MAX {
        return Err(ApiError::bad_request(format!(
            "app_ids has {count} ids; {APPS_MAX} are the most"
        )));
    }
    for (index, id) in request.app_ids.iter().enumerate() {
        if id.parse::<AppId>().is_err() {
            return Err(ApiError::bad_request(format!(
                "app_ids[{index}] is {id:?}, which is no id"
            )));
        }
    }
    bandwidth(request.date)
}

/// Nothing counts traffic per day yet, and no number is better than a wrong one: the list has no app.
fn bandwidth(date: Option<Timestamp>) -> Result<Json<BandwidthResponse>, ApiError> {
    let out_of_range = |_| ApiError::bad_request("date is out of range");
    let day = match date {
        Some(date) => date.to_zoned(TimeZone::UTC),
        None => Timestamp::now()
            .to_zoned(TimeZone::UTC)
            .checked_sub(1.day())
            .map_err(out_of_range)?,
    };
    let start = day.start_of_day().map_err(out_of_range)?;
    Ok(Json(BandwidthResponse {
        date: Some(start.timestamp()),
        ..BandwidthResponse::default()
    }))
}
