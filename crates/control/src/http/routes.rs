//! Every route with what it needs: the table that the router is built from, and that its tests walk.

use axum::{
    extract::DefaultBodyLimit,
    http::Method,
    routing::{MethodRouter, delete, get, post, put},
};
use mainstay_api::{
    AccountResponse, AlertDestinationsRequest, AlertResponse, AlertsResponse, AppHealthResponse, AppResponse,
    AppsResponse, AuditResponse, BandwidthRequest, BandwidthResponse, CreateAppRequest,
    CreateDeploymentRequest, CreateTokenRequest, DeleteAppResponse, DeploymentResponse, DeploymentsResponse,
    EmptyResponse, EventResponse, EventsResponse, ExecResponse, IdResponse, InstanceEventsResponse,
    InstancesResponse, JobInvocationResponse, JobInvocationsResponse, LimitsResponse, LogsQuery,
    LogsResponse, PageQuery, ProposeRequest, ProposeResponse, RestartRequest, RollbackRequest,
    RollbackValidationResponse, TokenResponse,
    TokenScope::{self, Admin, Read, Write},
    TokensResponse, UpdateAppRequest, UploadResponse,
};

use super::{
    access::{
        Reach::{self, Account, All, Anybody, App, Deployment},
        Route,
    },
    accounts::{self, AccountQuery},
    alerts, apps, catalogue, console, database_routes, deployments, events, jobs, logs, metrics, monitoring,
    openapi::Operation,
    platform, rollbacks, tokens,
};
use crate::app::Application;

pub(crate) fn all() -> Vec<Route> {
    let parts = [
        of_apps(),
        of_runs(),
        of_platform(),
        catalogue::all(),
        accounts::all(),
        database_routes::all(),
        monitoring::all(),
    ];
    parts.into_iter().flatten().collect()
}

pub(super) fn route(
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
        operation: Operation::default(),
    }
}

/// Apps themselves.
#[expect(clippy::too_many_lines, reason = "one flat table")]
fn of_apps() -> Vec<Route> {
    vec![
        route(Method::GET, "/v2/apps/{id}", Read, App, get(apps::get))
            .named("apps_get", "An app, by id or by name.")
            .asks::<apps::GetQuery>()
            .gives::<AppResponse>(),
        route(Method::PUT, "/v2/apps/{id}", Write, App, put(apps::update))
            .named("apps_update", "Replace the whole spec of an app and deploy it.")
            .takes::<UpdateAppRequest>()
            .gives::<AppResponse>(),
        route(Method::DELETE, "/v2/apps/{id}", Write, App, delete(apps::delete))
            .named("apps_delete", "Delete an app with everything of it.")
            .asks::<apps::DeleteQuery>()
            .gives::<DeleteAppResponse>(),
        route(
            Method::POST,
            "/v2/apps/{app_id}/restart",
            Write,
            App,
            post(deployments::restart),
        )
        .named(
            "apps_restart",
            "Replace the instances by new ones of the same build. A restart waits for a deployment that is under way, and is superseded by it where it becomes active.",
        )
        .may_take::<RestartRequest>()
        .gives::<DeploymentResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/instances",
            Read,
            App,
            get(apps::instances),
        )
        .named("apps_get_instances", "The running instances.")
        .gives::<InstancesResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/alerts",
            Read,
            App,
            get(alerts::list),
        )
        .named("apps_list_alerts", "The alerts of an app.")
        .gives::<AlertsResponse>(),
        route(
            Method::POST,
            "/v2/apps/{app_id}/alerts/{alert_id}/destinations",
            Write,
            App,
            post(alerts::send_to),
        )
        .named("apps_assign_alertDestinations", "Say where an alert goes.")
        .takes::<AlertDestinationsRequest>()
        .gives::<AlertResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/health",
            Read,
            App,
            get(metrics::health),
        )
        .named("apps_get_health", "How the components of an app are.")
        .gives::<AppHealthResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/metrics/bandwidth_daily",
            Read,
            App,
            get(metrics::bandwidth_of_app),
        )
        .named(
            "apps_get_metrics_bandwidth_daily",
            "What an app answered on a day.",
        )
        .asks::<metrics::DayQuery>()
        .gives::<BandwidthResponse>(),
        route(
            Method::POST,
            "/v2/apps/{app_id}/rollback",
            Write,
            App,
            post(rollbacks::create),
        )
        .named("apps_create_rollback", "Go back to a deployment that served.")
        .takes::<RollbackRequest>()
        .gives::<DeploymentResponse>(),
        route(
            Method::POST,
            "/v2/apps/{app_id}/rollback/validate",
            Read,
            App,
            post(rollbacks::validate),
        )
        .named(
            "apps_validate_rollback",
            "Whether an app can go back to a deployment.",
        )
        .takes::<RollbackRequest>()
        .gives::<RollbackValidationResponse>(),
        route(
            Method::POST,
            "/v2/apps/{app_id}/rollback/commit",
            Write,
            App,
            post(rollbacks::commit),
        )
        .named("apps_commit_rollback", "Make a rollback final.")
        .gives::<EmptyResponse>(),
        route(
            Method::POST,
            "/v2/apps/{app_id}/rollback/revert",
            Write,
            App,
            post(rollbacks::revert),
        )
        .named("apps_revert_rollback", "Undo a rollback.")
        .gives::<DeploymentResponse>(),
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
        )
        .named(
            "apps_list_deployments",
            "The deployments of an app, newest first.",
        )
        .asks::<PageQuery>()
        .asks::<deployments::KindsQuery>()
        .gives::<DeploymentsResponse>(),
        route(
            Method::POST,
            "/v2/apps/{app_id}/deployments",
            Write,
            App,
            post(deployments::create),
        )
        .named("apps_create_deployment", "Deploy the newest source.")
        .may_take::<CreateDeploymentRequest>()
        .gives::<DeploymentResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/deployments/{deployment_id}",
            Read,
            App,
            get(deployments::get),
        )
        .named("apps_get_deployment", "A deployment.")
        .gives::<DeploymentResponse>(),
        route(
            Method::POST,
            "/v2/apps/{app_id}/deployments/{deployment_id}/cancel",
            Write,
            App,
            post(deployments::cancel),
        )
        .named("apps_cancel_deployment", "Call a deployment off.")
        .gives::<DeploymentResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/events",
            Read,
            App,
            get(events::list),
        )
        .named("apps_list_events", "What happened to an app, newest first.")
        .asks::<PageQuery>()
        .asks::<events::TypesQuery>()
        .gives::<EventsResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/events/{event_id}",
            Read,
            App,
            get(events::get),
        )
        .named("apps_get_event", "An event.")
        .gives::<EventResponse>(),
        route(
            Method::POST,
            "/v2/apps/{app_id}/events/{event_id}/cancel",
            Write,
            App,
            post(events::cancel),
        )
        .named("apps_cancel_event", "Call the deployment of an event off.")
        .gives::<EventResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/events/{event_id}/logs",
            Read,
            App,
            get(events::logs),
        )
        .named("apps_get_event_logs", "The logs of an event.")
        .asks::<LogsQuery>()
        .gives::<LogsResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/logs",
            Read,
            App,
            get(logs::of_app),
        )
        .named(
            "apps_get_logs_active_deployment_aggregate",
            "The logs of the serving deployment.",
        )
        .asks::<LogsQuery>()
        .gives::<LogsResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/components/{component_name}/logs",
            Read,
            App,
            get(logs::of_component),
        )
        .named(
            "apps_get_logs_active_deployment",
            "The logs of a component of the serving deployment.",
        )
        .asks::<LogsQuery>()
        .gives::<LogsResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/deployments/{deployment_id}/logs",
            Read,
            App,
            get(logs::of_deployment),
        )
        .named("apps_get_logs_aggregate", "The logs of a deployment.")
        .asks::<LogsQuery>()
        .gives::<LogsResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/deployments/{deployment_id}/components/{component_name}/logs",
            Read,
            App,
            get(logs::of_deployment_component),
        )
        .named("apps_get_logs", "The logs of a component of a deployment.")
        .asks::<LogsQuery>()
        .gives::<LogsResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/components/{component_name}/exec",
            Write,
            App,
            get(console::link),
        )
        .named(
            "apps_get_exec_active_deployment",
            "A console in an instance that serves.",
        )
        .asks::<console::LinkQuery>()
        .gives::<ExecResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/deployments/{deployment_id}/components/{component_name}/exec",
            Write,
            App,
            get(console::link_of_deployment),
        )
        .named("apps_get_exec", "A console in an instance of a deployment.")
        .asks::<console::LinkQuery>()
        .gives::<ExecResponse>(),
        route(
            Method::GET,
            "/v2/mainstay/apps/{app_id}/instance-events",
            Read,
            App,
            get(apps::instance_events),
        )
        .named(
            "mainstay_list_instance_events",
            "What happened to the instances, newest first.",
        )
        .asks::<PageQuery>()
        .asks::<apps::EventsQuery>()
        .gives::<InstanceEventsResponse>(),
        route(
            Method::GET,
            "/v2/mainstay/deployments/{deployment_id}",
            Read,
            Deployment,
            get(deployments::get_by_id),
        )
        .named("mainstay_get_deployment", "A deployment, by its id alone.")
        .gives::<DeploymentResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/job-invocations",
            Read,
            App,
            get(jobs::list),
        )
        .named("apps_list_job_invocations", "Runs of jobs, newest first.")
        .asks::<PageQuery>()
        .asks::<jobs::RunsQuery>()
        .gives::<JobInvocationsResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/job-invocations/{job_invocation_id}",
            Read,
            App,
            get(jobs::get),
        )
        .named("apps_get_job_invocation", "A run of a job.")
        .asks::<jobs::JobQuery>()
        .gives::<JobInvocationResponse>(),
        route(
            Method::POST,
            "/v2/apps/{app_id}/job-invocations/{job_invocation_id}/cancel",
            Write,
            App,
            post(jobs::cancel),
        )
        .named("apps_cancel_job_invocation", "End a run before its time.")
        .asks::<jobs::JobQuery>()
        .gives::<JobInvocationResponse>(),
        route(
            Method::GET,
            "/v2/apps/{app_id}/jobs/{job_name}/invocations/{job_invocation_id}/logs",
            Read,
            App,
            get(jobs::logs),
        )
        .named("apps_get_job_invocation_logs", "The log of a run.")
        .asks::<LogsQuery>()
        .gives::<LogsResponse>(),
        route(
            Method::POST,
            "/v2/mainstay/apps/{app_id}/jobs/{job_name}/invocations",
            Write,
            App,
            post(jobs::run),
        )
        .named("mainstay_run_job", "Run a job of the serving deployment now.")
        .gives::<JobInvocationResponse>(),
    ]
}

/// What is not about one app.
#[expect(clippy::too_many_lines, reason = "one flat table")]
fn of_platform() -> Vec<Route> {
    vec![
        route(Method::GET, "/v2/apps", Read, Anybody, get(apps::list))
            .named("apps_list", "The apps.")
            .asks::<PageQuery>()
            .gives::<AppsResponse>(),
        route(Method::POST, "/v2/apps", Write, All, post(apps::create))
            .named("apps_create", "Create an app and deploy it.")
            .takes::<CreateAppRequest>()
            .gives::<AppResponse>(),
        route(
            Method::POST,
            "/v2/apps/propose",
            Read,
            Anybody,
            post(apps::propose),
        )
        .named(
            "apps_validate_appSpec",
            "What a spec would become, without creating anything.",
        )
        .takes::<ProposeRequest>()
        .gives::<ProposeResponse>(),
        route(
            Method::POST,
            "/v2/apps/metrics/bandwidth_daily",
            Read,
            All,
            post(metrics::bandwidth_of_apps),
        )
        .named(
            "apps_list_metrics_bandwidth_daily",
            "What several apps answered on a day.",
        )
        .takes::<BandwidthRequest>()
        .gives::<BandwidthResponse>(),
        route(
            Method::GET,
            "/v2/mainstay/limits",
            Read,
            Account,
            get(platform::limits),
        )
        .named(
            "mainstay_get_limits",
            "What the apps of the account take together, and the limits.",
        )
        .asks::<AccountQuery>()
        .gives::<LimitsResponse>(),
        route(Method::GET, "/v2/account", Read, Anybody, get(platform::account))
            .named("account_get", "The token's user, and the account as the team.")
            .gives::<AccountResponse>(),
        route(
            Method::POST,
            "/v2/mainstay/uploads",
            Write,
            Anybody,
            post(platform::upload).layer(DefaultBodyLimit::disable()),
        )
        .named(
            "mainstay_create_upload",
            "Send a packed folder: tar, tar.gz, tar.zst or zip.",
        )
        .takes_bytes()
        .gives::<UploadResponse>(),
        route(
            Method::GET,
            "/v2/mainstay/tokens",
            Admin,
            Account,
            get(tokens::list),
        )
        .named(
            "mainstay_list_tokens",
            "The account's API tokens, without their secrets.",
        )
        .asks::<AccountQuery>()
        .gives::<TokensResponse>(),
        route(
            Method::POST,
            "/v2/mainstay/tokens",
            Admin,
            Account,
            post(tokens::create),
        )
        .named(
            "mainstay_create_token",
            "Make a token; the answer has its secret, and no other has.",
        )
        .asks::<AccountQuery>()
        .takes::<CreateTokenRequest>()
        .gives::<TokenResponse>(),
        route(
            Method::DELETE,
            "/v2/mainstay/tokens/{token_id}",
            Admin,
            Account,
            delete(tokens::revoke),
        )
        .named("mainstay_revoke_token", "End a token at once.")
        .asks::<AccountQuery>()
        .gives::<IdResponse>(),
        route(
            Method::GET,
            "/v2/mainstay/audit",
            Admin,
            Account,
            get(tokens::audit),
        )
        .named(
            "mainstay_list_audit",
            "Who changed what in the account, newest first.",
        )
        .asks::<PageQuery>()
        .asks::<AccountQuery>()
        .gives::<AuditResponse>(),
    ]
}
