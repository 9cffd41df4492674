//! The HTTP API: unwrap the request, call the application, wrap its answer.

mod access;
#[cfg(test)]
mod access_tests;
mod accounts;
#[cfg(test)]
mod accounts_tests;
mod alerts;
mod apps;
mod backups;
mod catalogue;
mod clusters;
mod console;
#[cfg(test)]
mod contract_tests;
mod database_routes;
mod databases;
mod deployments;
mod error;
mod events;
mod extract;
mod jobs;
mod logs;
mod metrics;
#[cfg(test)]
mod metrics_tests;
mod monitoring;
#[cfg(test)]
mod monitoring_tests;
mod openapi;
mod platform;
mod rate;
mod rollbacks;
mod routes;
#[cfg(test)]
mod test_client;
mod tokens;
#[cfg(test)]
mod tokens_tests;
mod websocket;
mod wire;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request},
    http::HeaderValue,
    middleware,
    routing::get,
};

pub(crate) use error::ApiError;

use self::{
    access::{Guard, Rules},
    rate::Rate,
};
use crate::app::Application;

/// Specs are far smaller; uploads have a limit of their own.
const BODY_BYTES_MAX: usize = 2 << 20;

/// All routes. Only links, which are secrets themselves, the health page and the description need no token.
pub(crate) fn router(application: Application) -> Router {
    let routes = routes::all();
    let rules = Rules::of(&routes);
    let description = Bytes::from(openapi::document(&routes).to_string());
    let guarded = routes
        .into_iter()
        .fold(Router::new(), |router, route| {
            router.route(route.path, route.handler)
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(
            Guard {
                rate: Rate::new(&application.platform.config.api),
                application: application.clone(),
                rules,
            },
            access::guard,
        ));
    Router::new()
        .route("/v2/mainstay/health", get(platform::health))
        .route("/openapi.json", get(async move || openapi::answer(description)))
        .route("/v2/mainstay/links/{secret}", get(logs::open_link))
        .merge(guarded)
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .with_state(application)
}

/// Links lead back the way that the client came.
pub(crate) fn over_tls(router: Router) -> Router {
    router.layer(middleware::map_request(async |mut request: Request| {
        let https = HeaderValue::from_static("https");
        request.headers_mut().insert(extract::FORWARDED_PROTO, https);
        request
    }))
}
