//! `/v2/monitoring/metrics/apps`: what was measured of an app's instances.

use std::collections::BTreeMap;

use axum::{
    Extension, Json,
    extract::State,
    http::Method,
    routing::{MethodRouter, get},
};
use jiff::Timestamp;
use mainstay_api::{MetricsData, MetricsResponse, MetricsSeries, TokenScope::Read};
use mainstay_spec::ids::AppId;
use mainstay_store::SampleRow;
use serde::Deserialize;

use super::{
    ApiError,
    access::{OnApp, Reach, Route},
    extract::Query,
    routes::route,
};
use crate::app::Application;

/// Longer than any name of a component.
const COMPONENT_LENGTH_MAX: usize = 64;

/// All are text, as the original has them.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
pub(crate) struct MeasuredQuery {
    /// The app's id.
    #[schemars(required)]
    #[expect(dead_code, reason = "the guard has read it; it is here for the description")]
    app_id: Option<String>,
    /// Of this component only.
    app_component: Option<String>,
    /// Seconds since 1970.
    #[schemars(required)]
    start: Option<String>,
    /// Seconds since 1970. From one to the other there are about 1,000 values of an instance at most: longer times have longer steps.
    #[schemars(required)]
    end: Option<String>,
}

pub(super) fn all() -> Vec<Route> {
    let measured = |path, handler: MethodRouter<Application>, id, summary| {
        route(Method::GET, path, Read, Reach::AppInQuery, handler)
            .named(id, summary)
            .asks::<MeasuredQuery>()
            .gives::<MetricsResponse>()
    };
    vec![
        measured(
            "/v2/monitoring/metrics/apps/cpu_percentage",
            get(cpu_percentage),
            "monitoring_get_appCPUPercentageMetrics",
            "How much of its size's CPU each instance used, in percent.",
        ),
        measured(
            "/v2/monitoring/metrics/apps/memory_percentage",
            get(memory_percentage),
            "monitoring_get_appMemoryPercentageMetrics",
            "How much of its size's memory each instance used, in percent.",
        ),
        measured(
            "/v2/monitoring/metrics/apps/restart_count",
            get(restart_count),
            // As the original has it.
            "monitoring_get_appRestartCountMetrics.yml",
            "How often each instance of the deployment that serves was restarted.",
        ),
    ]
}

async fn cpu_percentage(
    State(application): State<Application>,
    Extension(OnApp(app)): Extension<OnApp>,
    Query(query): Query<MeasuredQuery>,
) -> Result<Json<MetricsResponse>, ApiError> {
    measured(&application, app, &query, |row| percent(row.cpu)).await
}

async fn memory_percentage(
    State(application): State<Application>,
    Extension(OnApp(app)): Extension<OnApp>,
    Query(query): Query<MeasuredQuery>,
) -> Result<Json<MetricsResponse>, ApiError> {
    measured(&application, app, &query, |row| percent(row.memory)).await
}

async fn restart_count(
    State(application): State<Application>,
    Extension(OnApp(app)): Extension<OnApp>,
    Query(query): Query<MeasuredQuery>,
) -> Result<Json<MetricsResponse>, ApiError> {
    measured(&application, app, &query, |row| Some(row.restarts.to_string())).await
}

async fn measured(
    application: &Application,
    app: AppId,
    query: &MeasuredQuery,
    value: fn(&SampleRow) -> Option<String>,
) -> Result<Json<MetricsResponse>, ApiError> {
    let component = query.app_component.as_deref().filter(|name| !name.is_empty());
    if component.is_some_and(|name| name.len() > COMPONENT_LENGTH_MAX) {
        return Err(ApiError::bad_request(format!(
            "app_component is longer than {COMPONENT_LENGTH_MAX} bytes: it must be the name of a component"
        )));
    }
    let (start, end) = (
        time("start", query.start.as_deref())?,
        time("end", query.end.as_deref())?,
    );
    if end < start {
        return Err(ApiError::bad_request(format!(
            "end is {}: it must not be before start, which is {}",
            end.as_second(),
            start.as_second()
        )));
    }
    let rows = application.measured(app, component, (start, end)).await?;
    let data = MetricsData {
        result: series(app, &rows, value),
        ..MetricsData::default()
    };
    Ok(Json(MetricsResponse {
        data,
        ..MetricsResponse::default()
    }))
}

fn time(field: &str, text: Option<&str>) -> Result<Timestamp, ApiError> {
    let must = "it must be a time in seconds since 1970";
    let text = text.ok_or_else(|| ApiError::bad_request(format!("{field} is missing: {must}")))?;
    let seconds = text.parse().ok().filter(|seconds| *seconds >= 0);
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.ok_or_else(|| ApiError::bad_request(format!("{field} is {text:?}: {must}")))
}

/// One for each place that has a value. Rows come by place.
fn series(app: AppId, rows: &[SampleRow], value: fn(&SampleRow) -> Option<String>) -> Vec<MetricsSeries> {
    let places = rows.chunk_by(|a, b| (&a.component, a.ordinal) == (&b.component, b.ordinal));
    let of_place = |rows: &[SampleRow]| {
        let first = rows.first()?;
        let values: Vec<(i64, String)> = rows
            .iter()
            .filter_map(|row| Some((row.at.as_second(), value(row)?)))
            .collect();
        let metric = BTreeMap::from([
            ("app_component".to_owned(), first.component.clone()),
            (
                "app_component_instance".to_owned(),
                format!("{}-{}", first.component, first.ordinal),
            ),
            ("app_uuid".to_owned(), app.to_string()),
        ]);
        (!values.is_empty()).then_some(MetricsSeries { metric, values })
    };
    places.filter_map(of_place).collect()
}

fn percent(value: Option<f64>) -> Option<String> {
    value.map(|percent| format!("{percent:.2}"))
}
