//! Images from OCI registries.
//!
//! ```text
//!  reference → digest → manifest (this machine's of several) → config → layers, a few at a time:
//!      blob to a file (digest checked) → unpacked (diff id checked) → layer keyed by diff id, shared by all images
//! ```

mod client;
mod error;
mod layer;
mod manifest;

use std::{fmt, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use oci_client::Reference;

use self::client::RegistryClient;
pub use self::error::RegistryError;
use crate::{
    record::ImageRecord,
    settings::OperatorSettings,
    store::{ImageStore, StoreError},
    unpack::Limits,
};

/// Layers fetched at the same time.
const PARALLEL: usize = 3;
/// For one image, all tries included.
const DEADLINE: Duration = Duration::from_mins(20);
/// For questions that move no layers.
const SHORT_DEADLINE: Duration = Duration::from_mins(1);

/// User and password (or token) for a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub token: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Pulls images into the store.
#[derive(Debug, Clone)]
pub struct Registry {
    store: ImageStore,
    settings: OperatorSettings,
    limits: Limits,
}

impl Registry {
    pub fn new(store: &ImageStore, settings: &OperatorSettings) -> Self {
        Self {
            store: store.clone(),
            settings: settings.clone(),
            limits: Limits::LAYER,
        }
    }

    /// The same with other limits for each layer.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// What `reference` ("redis", "ghcr.io/owner/name:tag", "…@sha256:…") stands for right now: `sha256:…` of its manifest or index.
    pub async fn digest(
        &self,
        reference: &str,
        credentials: Option<&Credentials>,
    ) -> Result<String, RegistryError> {
        digest(&self.settings, reference, credentials).await
    }

    /// The image as a record of the store: what is there of it already is not fetched again. Cancel safe; layers that were complete stay.
    pub async fn pull(
        &self,
        reference: &str,
        credentials: Option<&Credentials>,
    ) -> Result<ImageRecord, RegistryError> {
        let reference = parse(reference)?;
        let client = RegistryClient::new(&reference, &self.settings, credentials)?;
        let digest = within(SHORT_DEADLINE, &reference, client.digest()).await?;
        let origin = origin(&reference, &digest);
        let known = |image: &ImageRecord| image.digest.as_deref() == Some(&digest) && image.origin == origin;
        if let Some(image) = self.store.images().into_iter().find(known) {
            self.store.mark_image_used(&image.id);
            return Ok(image);
        }
        within(DEADLINE, &reference, self.pull_digest(&client, digest, origin)).await
    }

    async fn pull_digest(
        &self,
        client: &RegistryClient,
        digest: String,
        origin: String,
    ) -> Result<ImageRecord, RegistryError> {
        let manifest = manifest::fetch(client, &digest).await?;
        let config = manifest::fetch_config(client, &manifest).await?;
        let diff_ids = config.diff_ids().to_vec();
        if diff_ids.len() != manifest.layers.len() {
            return Err(client.invalid("its config and its manifest have different numbers of layers"));
        }
        let fetched = manifest
            .layers
            .iter()
            .zip(&diff_ids)
            .map(|(blob, diff_id)| layer::fetch(&self.store, client, blob, diff_id, self.limits));
        let layers = stream::iter(fetched).buffered(PARALLEL).try_collect().await?;
        let image = ImageRecord {
            id: self.store.new_image_id(),
            layers,
            config: config.into_image_config(),
            created_at: Timestamp::now(),
            origin,
            digest: Some(digest),
        };
        self.store.put_image(&image)?;
        Ok(image)
    }
}

/// [`Registry::digest`] for those who keep no images.
pub async fn digest(
    settings: &OperatorSettings,
    reference: &str,
    credentials: Option<&Credentials>,
) -> Result<String, RegistryError> {
    let reference = parse(reference)?;
    let client = RegistryClient::new(&reference, settings, credentials)?;
    within(SHORT_DEADLINE, &reference, client.digest()).await
}

fn parse(text: &str) -> Result<Reference, RegistryError> {
    text.trim().parse().map_err(|source| RegistryError::BadReference {
        reference: text.to_owned(),
        source,
    })
}

/// "docker.io/library/redis:7@sha256:…".
fn origin(reference: &Reference, digest: &str) -> String {
    let name = reference.whole();
    match name.split_once('@') {
        Some((name, _)) => format!("{name}@{digest}"),
        None => format!("{name}@{digest}"),
    }
}

async fn within<T>(
    deadline: Duration,
    reference: &Reference,
    work: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
        Err(RegistryError::TooSlow {
            reference: reference.whole(),
            host: reference.resolve_registry().to_owned(),
            seconds: deadline.as_secs(),
        })
    })
}

impl From<tokio::task::JoinError> for RegistryError {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::Store(StoreError::Interrupted)
    }
}
