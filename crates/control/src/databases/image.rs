//! The image that a database's server runs from: the stack's run image, with Debian's packages of the server over it.

use jiff::Timestamp;
use mainstay_images::{
    ImageStore, OperatorSettings,
    debian::packages_layer,
    record::{ImageConfig, ImageId, ImageRecord},
    stack,
    store::{Pinned, StoreError},
};
use mainstay_store::DatabaseRow;

use super::engines::{self, Engine};
use crate::platform::{Platform, PlatformError};

/// The version that new databases get here; `None` where the suite has none, or nobody knows.
pub(super) fn version(engine: &dyn Engine, settings: &OperatorSettings) -> Option<&'static str> {
    engine.version(&stack::suite(settings))
}

/// The database's image, made on first use (a minute or two) and pinned for as long as the database exists.
pub(super) async fn ensure(platform: &Platform, row: &DatabaseRow) -> Result<ImageRecord, PlatformError> {
    let images = &platform.images;
    if let Some(id) = &row.image {
        match images.image(&ImageId(id.clone())) {
            Ok(image) => return Ok(image),
            Err(StoreError::UnknownImage { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let packages = engines::of_row(row)?.packages(&row.version);
    let settings = platform.config.operator_settings();
    let image = make(images, &settings, &packages, &row.name).await?;
    images.pin(&pin(row), Pinned::image(image.id.clone()))?;
    platform.store.set_database_image(row.id, &image.id.0).await?;
    Ok(image)
}

/// The database is gone.
pub(super) fn release(images: &ImageStore, row: &DatabaseRow) -> Result<(), PlatformError> {
    Ok(images.unpin(&pin(row))?)
}

fn pin(row: &DatabaseRow) -> String {
    format!("database {}", row.id)
}

async fn make(
    images: &ImageStore,
    settings: &OperatorSettings,
    packages: &[String],
    name: &str,
) -> Result<ImageRecord, PlatformError> {
    let stack = stack::ensure(images, settings, |line| {
        tracing::info!(line, "preparing a database's image");
    })
    .await?;
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    let layer = packages_layer(images, settings, &stack, &names).await?;
    let image = ImageRecord {
        id: images.new_image_id(),
        layers: stack.run.layers.iter().cloned().chain([layer]).collect(),
        config: ImageConfig {
            command: Vec::new(),
            ..stack.run.config.clone()
        },
        created_at: Timestamp::now(),
        origin: format!("{} on stack {}, for database {name}", names.join(", "), stack.id),
        digest: None,
    };
    images.put_image(&image)?;
    Ok(image)
}
