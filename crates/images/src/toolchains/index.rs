//! Indexes of packages, kept on disk: asked for again after a while, and used beyond that when the registry is not reachable.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use reqwest::{
    Client,
    header::{ACCEPT, HeaderMap, HeaderValue},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

use super::ToolchainError;
use crate::{
    http::{self, HttpError},
    store::{ImageStore, LayerKey, StoreError, files},
};

/// How long an index is believed without asking.
const FRESH: Duration = Duration::from_mins(15);
/// Largest index: npm's largest packages have 30 MB.
const LIMIT_BYTES: usize = 128 << 20;

#[derive(Debug)]
pub(super) struct IndexCache {
    directory: PathBuf,
    client: Client,
}

/// What to ask for.
#[derive(Debug)]
pub(super) struct Question<'q> {
    pub(super) package: &'q str,
    pub(super) registry: &'q Url,
    pub(super) url: Url,
    /// The media type to ask for.
    pub(super) accept: &'static str,
}

/// A kept index, cut down to what is needed of it.
#[derive(Debug, Serialize, Deserialize)]
struct Kept<T> {
    url: Url,
    fetched_at: SystemTime,
    releases: T,
}

impl<T> Kept<T> {
    /// A clock that was set back makes an index old.
    fn age(&self) -> Duration {
        self.fetched_at.elapsed().unwrap_or(Duration::MAX)
    }
}

/// An index, and whether it came from the registry just now.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) releases: T,
    pub(super) just_fetched: bool,
    /// How long it is still believed without asking.
    pub(super) fresh_for: Duration,
}

impl<T> Answer<T> {
    fn of(kept: Kept<T>, just_fetched: bool) -> Self {
        Self {
            fresh_for: FRESH.saturating_sub(kept.age()),
            releases: kept.releases,
            just_fetched,
        }
    }
}

impl IndexCache {
    pub(super) fn new(store: &ImageStore, client: Client) -> Result<Self, StoreError> {
        let directory = store.root().join("indexes");
        files::create_directory(&directory, 0o700)?;
        Ok(Self { directory, client })
    }

    /// The index, kept or fetched; `reduce` cuts the registry's JSON down. A registry that cannot be reached is no error as long as
    /// there is an older answer.
    pub(super) async fn ask<T, J>(
        &self,
        question: &Question<'_>,
        refresh: bool,
        reduce: fn(J) -> T,
    ) -> Result<Answer<T>, ToolchainError>
    where
        T: Serialize + DeserializeOwned,
        J: DeserializeOwned,
    {
        let place = self.directory.join(format!(
            "{}.json",
            LayerKey::new("index", [("url", question.url.as_str())])
        ));
        let kept = match files::read_record::<Kept<T>>(&place).ok() {
            Some(kept) if !refresh && kept.age() < FRESH => {
                return Ok(Answer::of(kept, false));
            }
            other => other,
        };
        match self.fetch::<J>(question).await {
            Ok(json) => {
                let kept = Kept {
                    url: http::without_secrets(&question.url),
                    fetched_at: SystemTime::now(),
                    releases: reduce(json),
                };
                files::write_record(&place, &kept)?;
                Ok(Answer::of(kept, true))
            }
            Err(ToolchainError::Http(error)) if error.is_transient() => match kept {
                Some(kept) => {
                    tracing::warn!(%error, "an older index is used");
                    Ok(Answer::of(kept, false))
                }
                None => Err(error.into()),
            },
            Err(error) => Err(error),
        }
    }

    async fn fetch<J: DeserializeOwned>(&self, question: &Question<'_>) -> Result<J, ToolchainError> {
        let Question {
            package,
            registry,
            url,
            accept,
        } = question;
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
        let response = match http::get(&self.client, url, &headers).await {
            Err(HttpError::Status {
                status: 404 | 410, ..
            }) => {
                return Err(ToolchainError::NoPackage {
                    package: (*package).to_owned(),
                    registry: http::without_secrets(registry),
                });
            }
            other => other?,
        };
        let text = read_bounded(response, url).await?;
        serde_json::from_slice(&text).map_err(|source| ToolchainError::Index {
            package: (*package).to_owned(),
            url: http::without_secrets(url),
            source,
        })
    }
}

async fn read_bounded(mut response: reqwest::Response, url: &Url) -> Result<Vec<u8>, ToolchainError> {
    let mut text = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|source| http::network_error(url, 1, source))?
    {
        text.extend_from_slice(&chunk);
        if text.len() > LIMIT_BYTES {
            return Err(ToolchainError::TooLarge {
                url: http::without_secrets(url),
                limit: LIMIT_BYTES as u64,
            });
        }
    }
    Ok(text)
}
