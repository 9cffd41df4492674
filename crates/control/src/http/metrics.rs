//! Health and traffic of apps.

use axum::{Json, extract::State};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use mainstay_api::{AppHealth, AppHealthResponse, BandwidthRequest, BandwidthResponse, BandwidthUsage};
use mainstay_spec::ids::{AccountId, AppId};
use serde::Deserialize;

use super::{
    ApiError,
    accounts::Own,
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
    Own(account): Own,
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
    bandwidth(&application, account, &[app], date).await
}

/// Apps that the account does not have have no traffic: the original does not refuse them either.
pub(crate) async fn bandwidth_of_apps(
    State(application): State<Application>,
    Own(account): Own,
    Text(body): Text,
) -> Result<Json<BandwidthResponse>, ApiError> {
    let request: BandwidthRequest = body_of(&body)?;
    let count = request.app_ids.len();
    if count > APPS_MAX {
        return Err(ApiError::bad_request(format!(
            "app_ids has {count} ids; {APPS_MAX} are the most"
        )));
    }
    let parse = |(index, id): (usize, &String)| {
        id.parse()
            .map_err(|_| ApiError::bad_request(format!("app_ids[{index}] is {id:?}, which is no id")))
    };
    let apps: Vec<AppId> = request
        .app_ids
        .iter()
        .enumerate()
        .map(parse)
        .collect::<Result<_, _>>()?;
    bandwidth(&application, account, &apps, request.date).await
}

async fn bandwidth(
    application: &Application,
    account: AccountId,
    apps: &[AppId],
    date: Option<Timestamp>,
) -> Result<Json<BandwidthResponse>, ApiError> {
    let out_of_range = |_| ApiError::bad_request("date is out of range");
    let day = match date {
        Some(date) => date.to_zoned(TimeZone::UTC),
        None => application
            .now()
            .to_zoned(TimeZone::UTC)
            .checked_sub(1.day())
            .map_err(out_of_range)?,
    };
    let start = day.start_of_day().map_err(out_of_range)?;
    let bytes = application.traffic(account, apps, day.date()).await?;
    let usage = |(app, bandwidth_bytes): (AppId, u64)| BandwidthUsage {
        app_id: app.to_string(),
        bandwidth_bytes,
    };
    Ok(Json(BandwidthResponse {
        app_bandwidth_usage: bytes.into_iter().map(usage).collect(),
        date: Some(start.timestamp()),
    }))
}
