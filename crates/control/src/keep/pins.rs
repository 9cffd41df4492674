//! Which images stay: each deployment that somebody may still start holds its own by a pin named after it.
//!
//! ```text
//!  build ends ─▶ held by the builder         ─▶ hold() ─▶ row and event stored ─▶ the builder lets go
//!                                                                    … retired ─▶ drop_retired()
//! ```
//!
//! A pin is set before the row that names the image is written, and never taken away by an event: the store says which deployments are held,
//! and a collection takes away the pins of all others. So a crash anywhere loses no image in use and leaves no pin for ever.

use mainstay_build::{BuildOutput, ResolvedSource};
use mainstay_images::{ImageStore, store::StoreError as ImageError};
use mainstay_spec::ids::DeploymentId;
use mainstay_store::{BuildRow, Store};

use crate::platform::PlatformError;

const PIN: &str = "deployment ";

fn name(deployment: DeploymentId) -> String {
    format!("{PIN}{deployment}")
}

/// Holds what a build of the deployment made.
pub(crate) fn hold(
    images: &ImageStore,
    deployment: DeploymentId,
    output: &BuildOutput,
) -> Result<(), ImageError> {
    images.pin_also(&name(deployment), output.artifact.image().clone())
}

/// The deployment and all its instances are gone, or going without return.
pub(crate) fn drop_one(images: &ImageStore, deployment: DeploymentId) -> Result<(), ImageError> {
    images.unpin(&name(deployment))
}

/// Sets the pins that should be there: what an earlier version did not pin, or a crash took. Says how many images are missing.
pub(crate) async fn restore(
    store: &Store,
    images: &ImageStore,
    rollbacks: u32,
) -> Result<usize, PlatformError> {
    let mut missing = 0;
    for deployment in store.held_deployments(rollbacks).await? {
        let builds: Vec<BuildRow<ResolvedSource, BuildOutput>> = store.builds(deployment).await?;
        for output in builds.iter().filter_map(|build| build.output.as_ref()) {
            match hold(images, deployment, output) {
                Ok(()) => {}
                Err(ImageError::UnknownImage { id }) => {
                    tracing::warn!(%deployment, image = %id, "an image that is held is missing");
                    missing += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(missing)
}

/// Takes the pins of deployments away that nobody can start any more; says how many.
pub(crate) async fn drop_retired(
    store: &Store,
    images: &ImageStore,
    rollbacks: u32,
) -> Result<usize, PlatformError> {
    // In this order: a deployment that pins meanwhile is in the store already, and what was retired once stays so.
    let pinned = images.pins();
    let held = store.held_deployments(rollbacks).await?;
    let mut dropped = 0;
    for pin in pinned {
        let Some(deployment) = pin.name.strip_prefix(PIN) else {
            continue;
        };
        if !deployment
            .parse()
            .is_ok_and(|id: DeploymentId| held.contains(&id))
        {
            images.unpin(&pin.name)?;
            dropped += 1;
        }
    }
    Ok(dropped)
}
