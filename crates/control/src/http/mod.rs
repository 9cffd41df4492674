//! The HTTP API: unwrap the request, call the application, wrap its answer.

mod alerts;
mod apps;
mod console;
#[cfg(test)]
mod contract_tests;
mod deployments;
mod error;
mod events;
mod extract;
mod jobs;
mod logs;
mod metrics;
mod platform;
mod rollbacks;
mod wire;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::header::AUTHORIZATION,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};

pub(crate) use error::ApiError;

use crate::app::Application;

/// Specs are far smaller; uploads have a limit of their own.
const BODY_BYTES_MAX: usize = 2 << 20;

/// All routes. Only links, which are secrets themselves, and the health page need no token.
pub(crate) fn router(application: Application) -> Router {
    let guarded = Router::new()
        .route("/v2/apps", get(apps::list).post(apps::create))
        .route("/v2/apps/propose", post(apps::propose))
        .route("/v2/apps/tiers/instance_sizes", get(platform::instance_sizes))
        .route(
            "/v2/apps/tiers/instance_sizes/{slug}",
            get(platform::instance_size),
        )
        .route("/v2/apps/regions", get(platform::regions))
        .route(
            "/v2/apps/{id}",
            get(apps::get).put(apps::update).delete(apps::delete),
        )
        .route("/v2/apps/{app_id}/restart", post(deployments::restart))
        .route("/v2/apps/{app_id}/instances", get(apps::instances))
        .route(
            "/v2/apps/{app_id}/deployments",
            get(deployments::list).post(deployments::create),
        )
        .route(
            "/v2/apps/{app_id}/deployments/{deployment_id}",
            get(deployments::get),
        )
        .route(
            "/v2/apps/{app_id}/deployments/{deployment_id}/cancel",
            post(deployments::cancel),
        )
        .route("/v2/apps/{app_id}/alerts", get(alerts::list))
        .route(
            "/v2/apps/{app_id}/alerts/{alert_id}/destinations",
            post(alerts::send_to),
        )
        .route("/v2/apps/{app_id}/events", get(events::list))
        .route("/v2/apps/{app_id}/events/{event_id}", get(events::get))
        .route("/v2/apps/{app_id}/events/{event_id}/cancel", post(events::cancel))
        .route("/v2/apps/{app_id}/events/{event_id}/logs", get(events::logs))
        .route("/v2/apps/{app_id}/health", get(metrics::health))
        .route(
            "/v2/apps/{app_id}/metrics/bandwidth_daily",
            get(metrics::bandwidth_of_app),
        )
        .route(
            "/v2/apps/metrics/bandwidth_daily",
            post(metrics::bandwidth_of_apps),
        )
        .route("/v2/apps/{app_id}/rollback", post(rollbacks::create))
        .route("/v2/apps/{app_id}/rollback/validate", post(rollbacks::validate))
        .route("/v2/apps/{app_id}/rollback/commit", post(rollbacks::commit))
        .route("/v2/apps/{app_id}/rollback/revert", post(rollbacks::revert))
        .route("/v2/apps/{app_id}/logs", get(logs::of_app))
        .route(
            "/v2/apps/{app_id}/components/{component}/logs",
            get(logs::of_component),
        )
        .route(
            "/v2/apps/{app_id}/deployments/{deployment_id}/logs",
            get(logs::of_deployment),
        )
        .route(
            "/v2/apps/{app_id}/deployments/{deployment_id}/components/{component}/logs",
            get(logs::of_deployment_component),
        )
        .route(
            "/v2/apps/{app_id}/components/{component}/exec",
            get(console::link),
        )
        .route(
            "/v2/apps/{app_id}/deployments/{deployment_id}/components/{component}/exec",
            get(console::link_of_deployment),
        )
        .route(
            "/v2/mainstay/apps/{app_id}/instance-events",
            get(apps::instance_events),
        )
        .route(
            "/v2/mainstay/deployments/{deployment_id}",
            get(deployments::get_by_id),
        )
        .route("/v2/apps/{app_id}/job-invocations", get(jobs::list))
        .route("/v2/apps/{app_id}/job-invocations/{invocation}", get(jobs::get))
        .route(
            "/v2/apps/{app_id}/job-invocations/{invocation}/cancel",
            post(jobs::cancel),
        )
        .route(
            "/v2/apps/{app_id}/jobs/{job}/invocations/{invocation}/logs",
            get(jobs::logs),
        )
        .route(
            "/v2/mainstay/apps/{app_id}/jobs/{job}/invocations",
            post(jobs::run),
        )
        .route("/v2/account", get(platform::account))
        .route(
            "/v2/mainstay/uploads",
            post(platform::upload).layer(DefaultBodyLimit::disable()),
        )
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(application.clone(), require_token));
    Router::new()
        .route("/v2/mainstay/health", get(platform::health))
        .route("/v2/mainstay/links/{secret}", get(logs::open_link))
        .merge(guarded)
        .fallback(async || ApiError::not_found())
        .with_state(application)
}

async fn require_token(State(application): State<Application>, request: Request, next: Next) -> Response {
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match token {
        Some(token) => match application.is_valid_token(token).await {
            Ok(true) => next.run(request).await,
            Ok(false) => ApiError::unauthorized().into_response(),
            Err(refusal) => ApiError::from(refusal).into_response(),
        },
        None => ApiError::unauthorized().into_response(),
    }
}
