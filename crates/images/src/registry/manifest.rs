//! From a digest to one image's manifest and config.

use futures_util::TryStreamExt;
use oci_client::manifest::{ImageIndexEntry, OciImageIndex, OciImageManifest, OciManifest};

use super::{RegistryError, client::RegistryClient};
use crate::oci::{ARCHITECTURE, CONFIG_BYTES_MAX, ConfigFile, OS};

/// Real images have at most 127 layers (overlayfs takes 500).
const LAYERS_MAX: usize = 400;

/// The manifest of this machine's image; an index is followed once.
pub(super) async fn fetch(client: &RegistryClient, digest: &str) -> Result<OciImageManifest, RegistryError> {
    let manifest = match client.manifest(digest).await? {
        OciManifest::Image(manifest) => manifest,
        OciManifest::ImageIndex(index) => {
            let entry = choose(&index).ok_or_else(|| RegistryError::Architecture {
                reference: client.name(),
                available: platforms(&index),
            })?;
            match client.manifest(&entry.digest).await? {
                OciManifest::Image(manifest) => manifest,
                OciManifest::ImageIndex(_) => return Err(client.invalid("its index leads to another index")),
            }
        }
    };
    if manifest.layers.len() > LAYERS_MAX {
        return Err(client.invalid(&format!("it has more than {LAYERS_MAX} layers")));
    }
    Ok(manifest)
}

pub(super) async fn fetch_config(
    client: &RegistryClient,
    manifest: &OciImageManifest,
) -> Result<ConfigFile, RegistryError> {
    let text = client
        .retried(async || read_config(client, manifest).await)
        .await?;
    let config: ConfigFile =
        serde_json::from_slice(&text).map_err(|error| client.invalid(&format!("its config: {error}")))?;
    match config.foreign_platform() {
        Some(platform) => Err(RegistryError::Architecture {
            reference: client.name(),
            available: vec![platform],
        }),
        None => Ok(config),
    }
}

async fn read_config(client: &RegistryClient, manifest: &OciImageManifest) -> Result<Vec<u8>, RegistryError> {
    let mut stream = client.blob(&manifest.config).await?.stream;
    let mut text = Vec::new();
    while let Some(chunk) = stream
        .try_next()
        .await
        .map_err(|error| client.error(&error.into()))?
    {
        text.extend_from_slice(&chunk);
        if text.len() as u64 > CONFIG_BYTES_MAX {
            return Err(client.invalid("its config is too large"));
        }
    }
    Ok(text)
}

/// This machine's entry; among variants ("amd64/v3") the plain one.
fn choose(index: &OciImageIndex) -> Option<&ImageIndexEntry> {
    let fits = |entry: &&ImageIndexEntry| platform(entry) == Some(format!("{OS}/{ARCHITECTURE}"));
    let variant = |entry: &ImageIndexEntry| {
        entry
            .platform
            .as_ref()
            .and_then(|platform| platform.variant.clone())
    };
    index
        .manifests
        .iter()
        .filter(fits)
        .min_by_key(|entry| variant(entry))
}

/// What there is; entries of no platform are attestations, not images.
fn platforms(index: &OciImageIndex) -> Vec<String> {
    let mut platforms: Vec<String> = index
        .manifests
        .iter()
        .filter_map(platform)
        .filter(|platform| platform != "unknown/unknown")
        .collect();
    platforms.sort();
    platforms.dedup();
    platforms
}

fn platform(entry: &ImageIndexEntry) -> Option<String> {
    let platform = entry.platform.as_ref()?;
    Some(format!("{}/{}", platform.os, platform.architecture))
}
