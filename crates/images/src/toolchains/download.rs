//! Downloading an archive to a file: streamed, bounded, its digest checked before anything reads it.

use std::{path::Path, time::Duration};

use futures_util::StreamExt;
use reqwest::{Client, header::HeaderMap};
use tokio::{fs::File, io::AsyncWriteExt};
use url::Url;

use super::{Digest, ToolchainError};
use crate::{http, store::StoreError};

/// Largest archive: Go's has 75 MB, a JDK's 200.
const LIMIT_BYTES: u64 = 1 << 30;
/// For the whole download of one archive, retries included.
const DEADLINE: Duration = Duration::from_mins(15);
const PAUSE: Duration = Duration::from_secs(1);

/// Fetches `url` into the new file `place`. A connection that breaks is tried again from the start, three times in all.
pub(super) async fn fetch(
    client: &Client,
    url: &Url,
    digest: &Digest,
    place: &Path,
) -> Result<(), ToolchainError> {
    let attempts = async {
        let mut attempt = 1;
        loop {
            match try_fetch(client, url, digest, place, attempt).await {
                Err(ToolchainError::Http(error)) if error.is_transient() && attempt < http::ATTEMPTS => {
                    tracing::info!(%error, attempt, "a download is tried again");
                }
                other => return other,
            }
            tokio::time::sleep(PAUSE * attempt).await;
            attempt += 1;
        }
    };
    tokio::time::timeout(DEADLINE, attempts)
        .await
        .unwrap_or_else(|_| {
            Err(ToolchainError::TooSlow {
                url: http::without_secrets(url),
                seconds: DEADLINE.as_secs(),
            })
        })
}

async fn try_fetch(
    client: &Client,
    url: &Url,
    digest: &Digest,
    place: &Path,
    attempt: u32,
) -> Result<(), ToolchainError> {
    let failed = |error| StoreError::file("write the download", place, error);
    let response = http::get(client, url, &HeaderMap::new()).await?;
    let mut file = File::create(place).await.map_err(failed)?;
    let mut hasher = digest.hasher();
    let mut length = 0;
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|source| http::network_error(url, attempt, source))?;
        length += chunk.len() as u64;
        if length > LIMIT_BYTES {
            return Err(ToolchainError::TooLarge {
                url: http::without_secrets(url),
                limit: LIMIT_BYTES,
            });
        }
        hasher.update(&chunk);
        file.write_all(&chunk).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    let found = hasher.finish();
    if found != *digest {
        return Err(ToolchainError::WrongDigest {
            url: http::without_secrets(url),
            wanted: digest.to_string(),
            found: found.to_string(),
        });
    }
    Ok(())
}
