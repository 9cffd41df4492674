//! Every route with what it needs: the table that the router is built from, and that its tests walk.

use axum::{
    extract::DefaultBodyLimit,
    http::Method,
    routing::{MethodRouter, delete, get, post, put},
};
use mainstay_api::TokenScope::{self, Admin, Read, Write};

use super::{
    access::{
        Reach::{self, All, Anybody, App, Deployment},
        Route,
    },
    alerts, apps, console, deployments, events, jobs, logs, metrics, platform, rollbacks, tokens,
};
use crate::app::Application;

pub(crate) fn all() -> Vec<Route> {
    [of_apps(), of_runs(), of_platform()]
        .into_iter()
        .flatten()
        .collect()
}

fn route(
    method: Method,
    path: &'static str,
    needs: TokenScope,
    reach: Reach,
    handler: MethodRouter<Application>,
) -> Route {
    Route {
        method,
        path,
        needs,
        reach,
        handler,
    }
}

/// Apps themselves.
fn of_apps() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/v2/apps/tiers/instance_sizes/{slug}",
            Read,
            Anybody,
            get(platform::instance_size),
        ),
        route(Method::GET, "/v2/apps/{id}", Read, App, get(apps::get)),
        route(Method::PUT, "/v2/apps/{id}", Write, App, put(apps::update)),
        route(Method::DELETE, "/v2/apps/{id}", Write, App, delete(apps::delete)),
        route(
            Method::POST,
            "/v2/apps/{app_id}/restart",
            Write,
            App,
            post(deployments::restart),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/instances",
            Read,
            App,
            get(apps::instances),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/alerts",
            Read,
            App,
            get(alerts::list),
        ),
        route(
            Method::POST,
            "/v2/apps/{app_id}/alerts/{alert_id}/destinations",
            Write,
            App,
            post(alerts::send_to),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/health",
            Read,
            App,
            get(metrics::health),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/metrics/bandwidth_daily",
            Read,
            App,
            get(metrics::bandwidth_of_app),
        ),
        route(
            Method::POST,
            "/v2/apps/{app_id}/rollback",
            Write,
            App,
            post(rollbacks::create),
        ),
        route(
            Method::POST,
            "/v2/apps/{app_id}/rollback/validate",
            Read,
            App,
            post(rollbacks::validate),
        ),
        route(
            Method::POST,
            "/v2/apps/{app_id}/rollback/commit",
            Write,
            App,
            post(rollbacks::commit),
        ),
        route(
            Method::POST,
            "/v2/apps/{app_id}/rollback/revert",
            Write,
            App,
            post(rollbacks::revert),
        ),
    ]
}

/// What was deployed, ran and was logged.
#[expect(clippy::too_many_lines, reason = "one flat table")]
fn of_runs() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/v2/apps/{app_id}/deployments",
            Read,
            App,
            get(deployments::list),
        ),
        route(
            Method::POST,
            "/v2/apps/{app_id}/deployments",
            Write,
            App,
            post(deployments::create),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/deployments/{deployment_id}",
            Read,
            App,
            get(deployments::get),
        ),
        route(
            Method::POST,
            "/v2/apps/{app_id}/deployments/{deployment_id}/cancel",
            Write,
            App,
            post(deployments::cancel),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/events",
            Read,
            App,
            get(events::list),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/events/{event_id}",
            Read,
            App,
            get(events::get),
        ),
        route(
            Method::POST,
            "/v2/apps/{app_id}/events/{event_id}/cancel",
            Write,
            App,
            post(events::cancel),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/events/{event_id}/logs",
            Read,
            App,
            get(events::logs),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/logs",
            Read,
            App,
            get(logs::of_app),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/components/{component}/logs",
            Read,
            App,
            get(logs::of_component),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/deployments/{deployment_id}/logs",
            Read,
            App,
            get(logs::of_deployment),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/deployments/{deployment_id}/components/{component}/logs",
            Read,
            App,
            get(logs::of_deployment_component),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/components/{component}/exec",
            Write,
            App,
            get(console::link),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/deployments/{deployment_id}/components/{component}/exec",
            Write,
            App,
            get(console::link_of_deployment),
        ),
        route(
            Method::GET,
            "/v2/mainstay/apps/{app_id}/instance-events",
            Read,
            App,
            get(apps::instance_events),
        ),
        route(
            Method::GET,
            "/v2/mainstay/deployments/{deployment_id}",
            Read,
            Deployment,
            get(deployments::get_by_id),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/job-invocations",
            Read,
            App,
            get(jobs::list),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/job-invocations/{invocation}",
            Read,
            App,
            get(jobs::get),
        ),
        route(
            Method::POST,
            "/v2/apps/{app_id}/job-invocations/{invocation}/cancel",
            Write,
            App,
            post(jobs::cancel),
        ),
        route(
            Method::GET,
            "/v2/apps/{app_id}/jobs/{job}/invocations/{invocation}/logs",
            Read,
            App,
            get(jobs::logs),
        ),
        route(
            Method::POST,
            "/v2/mainstay/apps/{app_id}/jobs/{job}/invocations",
            Write,
            App,
            post(jobs::run),
        ),
    ]
}

/// What is not about one app.
fn of_platform() -> Vec<Route> {
    vec![
        route(Method::GET, "/v2/apps", Read, Anybody, get(apps::list)),
        route(Method::POST, "/v2/apps", Write, All, post(apps::create)),
        route(
            Method::POST,
            "/v2/apps/propose",
            Read,
            Anybody,
            post(apps::propose),
        ),
        route(
            Method::GET,
            "/v2/apps/tiers/instance_sizes",
            Read,
            Anybody,
            get(platform::instance_sizes),
        ),
        route(
            Method::GET,
            "/v2/apps/regions",
            Read,
            Anybody,
            get(platform::regions),
        ),
        route(
            Method::POST,
            "/v2/apps/metrics/bandwidth_daily",
            Read,
            All,
            post(metrics::bandwidth_of_apps),
        ),
        route(
            Method::GET,
            "/v2/mainstay/limits",
            Read,
            All,
            get(platform::limits),
        ),
        route(Method::GET, "/v2/account", Read, Anybody, get(platform::account)),
        route(
            Method::POST,
            "/v2/mainstay/uploads",
            Write,
            Anybody,
            post(platform::upload).layer(DefaultBodyLimit::disable()),
        ),
        route(Method::GET, "/v2/mainstay/tokens", Admin, All, get(tokens::list)),
        route(
            Method::POST,
            "/v2/mainstay/tokens",
            Admin,
            All,
            post(tokens::create),
        ),
        route(
            Method::DELETE,
            "/v2/mainstay/tokens/{token_id}",
            Admin,
            All,
            delete(tokens::revoke),
        ),
        route(Method::GET, "/v2/mainstay/audit", Admin, All, get(tokens::audit)),
    ]
}
