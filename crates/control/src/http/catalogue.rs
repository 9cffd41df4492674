//! What there is to choose from: instance sizes, tiers, regions, buildpacks. With its part of the table of routes.

use axum::{
    Json,
    extract::State,
    http::Method,
    routing::{get, post},
};
use mainstay_api::{
    Buildpack, BuildpacksResponse, InstanceSize, InstanceSizeResponse, InstanceSizesResponse,
    RegionsResponse, TierResponse, TiersResponse,
    TokenScope::{Read, Write},
    UpgradeBuildpackRequest, UpgradeBuildpackResponse,
};
use mainstay_build::buildpacks;
use mainstay_spec::{ids::AppId, sizes};

use super::{
    ApiError,
    access::{
        Reach::{Anybody, App},
        Route,
    },
    extract::{Path, Text, body_of},
    routes::route,
    wire,
};
use crate::app::Application;

pub(super) fn all() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/v2/apps/tiers/instance_sizes",
            Read,
            Anybody,
            get(instance_sizes),
        )
        .named("apps_list_instanceSizes", "The instance sizes.")
        .gives::<InstanceSizesResponse>(),
        route(
            Method::GET,
            "/v2/apps/tiers/instance_sizes/{slug}",
            Read,
            Anybody,
            get(instance_size),
        )
        .named("apps_get_instanceSize", "An instance size.")
        .gives::<InstanceSizeResponse>(),
        route(Method::GET, "/v2/apps/tiers", Read, Anybody, get(tiers))
            .named("apps_list_tiers", "The tiers of the instance sizes.")
            .gives::<TiersResponse>(),
        route(Method::GET, "/v2/apps/tiers/{slug}", Read, Anybody, get(tier))
            .named("apps_get_tier", "A tier.")
            .gives::<TierResponse>(),
        route(Method::GET, "/v2/apps/regions", Read, Anybody, get(regions))
            .named("apps_list_regions", "The regions: this machine.")
            .gives::<RegionsResponse>(),
        route(
            Method::GET,
            "/v2/apps/buildpacks",
            Read,
            Anybody,
            get(list_buildpacks),
        )
        .named(
            "apps_list_buildpacks",
            "The buildpacks, in the order in which they are asked.",
        )
        .gives::<BuildpacksResponse>(),
        route(
            Method::POST,
            "/v2/apps/{app_id}/upgrade_buildpack",
            Write,
            App,
            post(upgrade_buildpack),
        )
        .named(
            "apps_upgrade_buildpack",
            "Take the latest version of a buildpack, which every build does by itself.",
        )
        .takes::<UpgradeBuildpackRequest>()
        .gives::<UpgradeBuildpackResponse>(),
    ]
}

async fn instance_sizes() -> Json<InstanceSizesResponse> {
    Json(InstanceSizesResponse::current())
}

async fn instance_size(Path(slug): Path<String>) -> Result<Json<InstanceSizeResponse>, ApiError> {
    let size = sizes::InstanceSize::by_slug(&slug).ok_or_else(ApiError::not_found)?;
    Ok(Json(InstanceSizeResponse {
        instance_size: InstanceSize::from(size),
    }))
}

async fn tiers() -> Json<TiersResponse> {
    Json(TiersResponse::current())
}

async fn tier(Path(slug): Path<String>) -> Result<Json<TierResponse>, ApiError> {
    let mut tiers = TiersResponse::current().tiers.into_iter();
    let tier = tiers
        .find(|tier| tier.slug == slug)
        .ok_or_else(ApiError::not_found)?;
    Ok(Json(TierResponse { tier }))
}

/// One region: this machine.
async fn regions() -> Json<RegionsResponse> {
    Json(RegionsResponse {
        regions: vec![wire::region()],
    })
}

async fn list_buildpacks() -> Json<BuildpacksResponse> {
    Json(BuildpacksResponse {
        buildpacks: present_buildpacks(),
    })
}

/// None is ever left behind; a version that is not there is refused instead of being taken for another one.
async fn upgrade_buildpack(
    State(application): State<Application>,
    Path(app): Path<AppId>,
    Text(body): Text,
) -> Result<Json<UpgradeBuildpackResponse>, ApiError> {
    let request: UpgradeBuildpackRequest = body_of(&body)?;
    application.app(app).await?;
    let known = present_buildpacks();
    let Some(buildpack) = known.iter().find(|known| known.id == request.buildpack_id) else {
        let ids: Vec<&str> = known.iter().map(|known| known.id.as_str()).collect();
        return Err(ApiError::bad_request(format!(
            "buildpack_id is {:?}; there are {}",
            request.buildpack_id,
            ids.join(", ")
        )));
    };
    if request.major_version != 0 && request.major_version != buildpack.major_version {
        return Err(ApiError::bad_request(format!(
            "major_version is {}; {} has {} alone",
            request.major_version, buildpack.id, buildpack.major_version
        )));
    }
    Ok(Json(UpgradeBuildpackResponse::default()))
}

fn present_buildpacks() -> Vec<Buildpack> {
    let shown = buildpacks::all().iter().map(|buildpack| {
        let major_version = buildpack.version().parse().unwrap_or_default();
        Buildpack {
            id: format!("mainstay/{}", buildpack.name()),
            version: format!("{major_version}.0.0"),
            major_version,
            latest: true,
            name: buildpack.title().to_owned(),
            description: vec![buildpack.about().to_owned()],
            docs_link: String::new(),
        }
    });
    shown.collect()
}
