//! An app that goes takes everything with it: its hold on images, logs, caches, Dockerfile stores and mirrors. Its instances are gone.

use std::collections::HashSet;

use mainstay_build::{ResolvedSource, Source};
use mainstay_spec::ids::AppId;

use crate::{
    keep::pins,
    platform::{Platform, PlatformError},
};

/// Safe to repeat; the app's row goes last, by the caller.
pub(super) async fn forget(platform: &Platform, app: AppId) -> Result<(), PlatformError> {
    // Refused while a build that was called off has not ended: nothing may be written behind our back.
    let sources = own_sources(platform, app).await?;
    platform.builder.remove_app(app, &sources).await?;
    for deployment in platform.store.deployment_ids(app).await? {
        for build in platform.store.build_ids(deployment).await? {
            platform.logs.forget_build(build);
        }
        for instance in platform.store.instances_of_deployment(deployment).await? {
            platform.engine.forget(instance.id).await?;
        }
        platform.logs.forget_deployment(deployment);
        pins::drop_one(&platform.images, deployment)?;
    }
    Ok(())
}

/// Git sources that no other app is built from.
async fn own_sources(platform: &Platform, app: AppId) -> Result<Vec<Source>, PlatformError> {
    let sources: Vec<(AppId, ResolvedSource)> = platform.store.sources().await?;
    let url = |source: &ResolvedSource| match &source.source {
        Source::Git { url, .. } => Some(url.clone()),
        Source::Upload { .. } | Source::Image { .. } => None,
    };
    let of = |own: bool| -> HashSet<String> {
        let wanted = sources.iter().filter(|(owner, _)| (*owner == app) == own);
        wanted.filter_map(|(_, source)| url(source)).collect()
    };
    let others = of(false);
    Ok(of(true)
        .into_iter()
        .filter(|url| !others.contains(url))
        .map(|url| Source::Git { url, branch: None })
        .collect())
}
