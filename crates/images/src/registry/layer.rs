//! One layer: its blob to a file, the file to a layer of the store.

use std::{fs::File, path::Path};

use futures_util::TryStreamExt;
use oci_client::manifest::OciDescriptor;
use tokio::io::AsyncWriteExt;

use super::{RegistryError, client::RegistryClient};
use crate::{
    record::LayerId,
    store::{ImageStore, LayerDraft, LayerKey, StoreError},
    unpack::{self, Limits, Rules},
};

/// The key of the layer with that tar, from wherever it came.
pub(crate) fn layer_key(diff_id: &str) -> LayerKey {
    LayerKey::new("oci-layer", [("diff-id", diff_id)])
}

/// The layer, fetched unless an image of the store has it.
pub(super) async fn fetch(
    store: &ImageStore,
    client: &RegistryClient,
    blob: &OciDescriptor,
    diff_id: &str,
    limits: Limits,
) -> Result<LayerId, RegistryError> {
    let fill = async |draft: &LayerDraft| {
        let file = draft.scratch("download")?.join("blob");
        client
            .retried(async || download(client, blob, &file).await)
            .await?;
        let layer = draft.path().to_owned();
        let unpacked = tokio::task::spawn_blocking(move || {
            let reader = File::open(file).map_err(unpack::UnpackError::Archive)?;
            unpack::unpack_tar(reader, &layer, &Rules::image_layer(limits))
        })
        .await?
        .map_err(|source| RegistryError::Unpack {
            reference: client.name(),
            source,
        })?;
        if unpacked.diff_id != diff_id {
            return Err(client.invalid(&format!(
                "layer {} unpacks to {}, its config says {diff_id}",
                blob.digest, unpacked.diff_id
            )));
        }
        draft.note_diff_id(diff_id);
        Ok(())
    };
    store.layer_for(&layer_key(diff_id), fill).await
}

/// Writes the blob to `place`, from the start.
async fn download(client: &RegistryClient, blob: &OciDescriptor, place: &Path) -> Result<(), RegistryError> {
    let failed = |error| StoreError::file("write the download", place, error);
    let size = u64::try_from(blob.size).unwrap_or(0);
    let mut stream = client.blob(blob).await?.stream;
    let mut file = tokio::fs::File::create(place).await.map_err(failed)?;
    let mut written = 0;
    while let Some(chunk) = stream
        .try_next()
        .await
        .map_err(|error| client.error(&error.into()))?
    {
        written += chunk.len() as u64;
        if written > size {
            return Err(client.invalid(&format!("layer {} is longer than its manifest says", blob.digest)));
        }
        file.write_all(&chunk).await.map_err(failed)?;
    }
    Ok(file.flush().await.map_err(failed)?)
}
