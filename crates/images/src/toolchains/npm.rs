//! The npm registry: which release of a package satisfies a range.

use std::collections::BTreeMap;

use nodejs_semver::{Range, Version};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Archive, Digest, Format, ToolchainError,
    index::{IndexCache, Question},
    recent::Found,
};
use crate::settings::OperatorSettings;

const REGISTRY: &str = "https://registry.npmjs.org/";
/// The short form of a package's document.
const SHORT_FORM: &str = "application/vnd.npm.install-v1+json, application/json;q=0.8";
const AVAILABLE_SHOWN: usize = 10;

/// A release of an npm package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpmRelease {
    pub package: String,
    pub version: String,
    pub tarball: Url,
    pub digest: Digest,
}

impl NpmRelease {
    /// The archive to make a layer of; npm's have one directory around everything.
    pub fn archive(&self) -> Archive {
        Archive {
            url: self.tarball.clone(),
            digest: self.digest.clone(),
            format: Format::Tar { strip_components: 1 },
        }
    }
}

/// What is kept of a package's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Releases {
    tags: BTreeMap<String, String>,
    versions: BTreeMap<String, Release>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Release {
    tarball: Url,
    digest: Digest,
}

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(rename = "dist-tags", default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    versions: BTreeMap<String, DocumentVersion>,
}

#[derive(Debug, Deserialize)]
struct DocumentVersion {
    dist: Option<Dist>,
}

#[derive(Debug, Deserialize)]
struct Dist {
    tarball: Option<Url>,
    integrity: Option<String>,
}

/// The registry by the operator's settings.
pub(super) fn registry(settings: &OperatorSettings) -> Result<Url, ToolchainError> {
    let text = settings.variable("NPM_CONFIG_REGISTRY").unwrap_or(REGISTRY);
    base_url(text).ok_or(ToolchainError::BadRegistry {
        variable: "NPM_CONFIG_REGISTRY",
    })
}

/// A base that names can be joined to.
pub(super) fn base_url(text: &str) -> Option<Url> {
    let text = if text.ends_with('/') {
        text.to_owned()
    } else {
        format!("{text}/")
    };
    Url::parse(&text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
}

pub(super) async fn resolve(
    indexes: &IndexCache,
    registry: &Url,
    package: &str,
    range: &str,
) -> Result<Found<NpmRelease>, ToolchainError> {
    let bad = || ToolchainError::BadRange {
        package: package.to_owned(),
        wanted: range.to_owned(),
    };
    let url = registry.join(&package.replace('/', "%2f")).map_err(|_| bad())?;
    let question = Question {
        package,
        registry,
        url,
        accept: SHORT_FORM,
    };
    let mut answer = indexes.ask(&question, false, reduce).await?;
    if !answer.just_fetched && choose(&answer.releases, range).is_none() {
        answer = indexes.ask(&question, true, reduce).await?;
    }
    let releases = answer.releases;
    if let Some(version) = choose(&releases, range) {
        let Release { tarball, digest } = releases.versions[&version].clone();
        let release = NpmRelease {
            package: package.to_owned(),
            version,
            tarball,
            digest,
        };
        return Ok(Found {
            release,
            fresh_for: answer.fresh_for,
        });
    }
    if Range::parse(range).is_err() && !releases.tags.contains_key(range) {
        return Err(bad());
    }
    Err(ToolchainError::NoVersion {
        package: package.to_owned(),
        wanted: range.to_owned(),
        available: newest(&releases),
    })
}

/// Versions without a digest that is worth anything are left out.
fn reduce(document: Document) -> Releases {
    let release = |version: DocumentVersion| {
        let dist = version.dist?;
        Some(Release {
            tarball: dist.tarball?,
            digest: Digest::from_integrity(&dist.integrity?).ok()?,
        })
    };
    Releases {
        tags: document.tags,
        versions: document
            .versions
            .into_iter()
            .filter_map(|(name, version)| Some((name, release(version)?)))
            .collect(),
    }
}

/// The highest version within `range`, or the one that a tag names.
fn choose(releases: &Releases, range: &str) -> Option<String> {
    let range = range.trim();
    if let Some(tagged) = releases
        .tags
        .get(range)
        .filter(|version| releases.versions.contains_key(*version))
    {
        return Some(tagged.clone());
    }
    let range = Range::parse(range).ok()?;
    let satisfying = parsed(releases).filter(|(version, _)| range.satisfies(version));
    satisfying
        .max_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, name)| name.clone())
}

fn parsed(releases: &Releases) -> impl Iterator<Item = (Version, &String)> {
    releases
        .versions
        .keys()
        .filter_map(|name| Some((Version::parse(name).ok()?, name)))
}

fn newest(releases: &Releases) -> Vec<String> {
    let mut versions: Vec<Version> = parsed(releases)
        .map(|(version, _)| version)
        .filter(|version| !version.is_prerelease())
        .collect();
    versions.sort();
    versions
        .iter()
        .rev()
        .take(AVAILABLE_SHOWN)
        .map(ToString::to_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn releases(versions: &[&str]) -> Releases {
        let integrity = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        let document = serde_json::json!({
            "dist-tags": { "latest": "22.1.0" },
            "versions": versions.iter().map(|version| ((*version).to_owned(), serde_json::json!({
                "dist": { "tarball": format!("https://npm.test/node-{version}.tgz"), "integrity": integrity }
            }))).collect::<serde_json::Map<_, _>>(),
        });
        reduce(serde_json::from_value(document).unwrap())
    }

    #[test]
    fn the_highest_version_of_a_range_is_chosen() {
        let releases = releases(&["18.20.1", "20.9.0", "20.11.1", "22.1.0", "23.0.0-rc.1"]);
        let choose = |range: &str| choose(&releases, range);
        assert_eq!(choose("20.x").as_deref(), Some("20.11.1"));
        assert_eq!(choose(">=18 <20").as_deref(), Some("18.20.1"));
        assert_eq!(choose("^20.0.0 || ^18.0.0").as_deref(), Some("20.11.1"));
        assert_eq!(choose("*").as_deref(), Some("22.1.0"));
        assert_eq!(choose("latest").as_deref(), Some("22.1.0"));
        assert_eq!(choose("v20.9.0").as_deref(), Some("20.9.0"));
        assert_eq!(choose("24"), None);
        assert_eq!(choose("nonsense"), None);
        assert_eq!(newest(&releases), ["22.1.0", "20.11.1", "20.9.0", "18.20.1"]);
    }

    #[test]
    fn versions_without_a_strong_digest_are_left_out() {
        let document = serde_json::json!({ "versions": {
            "1.0.0": { "dist": { "tarball": "https://npm.test/a.tgz", "shasum": "00" } },
            "1.1.0": {},
        }});
        assert!(
            reduce(serde_json::from_value(document).unwrap())
                .versions
                .is_empty()
        );
    }
}
