//! Python is the stack's own: compiled extensions must find the libraries that they were made for. `uv` is a wheel.

use std::fs;

use mainstay_diagnosis::facts::BuildFault;
use mainstay_images::debian;

use super::{ResolvedTool, ToolFinder, wish};
use crate::{plan::ToolchainNeed, source::platform_fault};

const UV_PREFIX: &str = "opt/mainstay/uv";

/// What a running Python app needs beyond the interpreter: time zones for `zoneinfo` are in the stack.
const RUN_PACKAGES: &[&str] = &["python3"];

pub(super) async fn interpreter(
    finder: &ToolFinder<'_>,
    need: &ToolchainNeed,
) -> Result<ResolvedTool, BuildFault> {
    let version = stack_version(finder)?;
    if need
        .wanted
        .as_deref()
        .is_some_and(|wanted| !fits(wanted, &version))
    {
        return Err(BuildFault::ToolchainUnavailable {
            tool: "python".to_owned(),
            wanted: wish(need).to_owned(),
            declared_in: need.declared_in.clone(),
            available: vec![version],
        });
    }
    let layer = debian::packages_layer(finder.store, finder.settings, finder.stack, RUN_PACKAGES)
        .await
        .map_err(|error| platform_fault("fetching python", &error))?;
    Ok(ResolvedTool {
        version,
        // The build image has it, with headers.
        build_layers: Vec::new(),
        run_layers: vec![layer],
        path: Vec::new(),
    })
}

/// From the list of installed packages of the build image: "3.11.2".
fn stack_version(finder: &ToolFinder<'_>) -> Result<String, BuildFault> {
    let fault = |message: &str| BuildFault::Platform {
        operation: "looking for the stack's Python".to_owned(),
        error_chain: vec![message.to_owned()],
    };
    let layers = finder
        .store
        .layer_paths(&finder.stack.build)
        .map_err(|error| platform_fault("reading the stack", &error))?;
    let status = layers
        .iter()
        .rev()
        .find_map(|layer| fs::read_to_string(layer.join("var/lib/dpkg/status")).ok());
    let status = status.ok_or_else(|| fault("the stack has no list of packages"))?;
    installed_version(&status, "python3").ok_or_else(|| fault("the build image has no python3"))
}

/// The version of a package in dpkg's status file, without epoch and Debian revision.
fn installed_version(status: &str, package: &str) -> Option<String> {
    let entry = status.split("\n\n").find(|entry| {
        entry
            .lines()
            .any(|line| line.strip_prefix("Package: ") == Some(package))
    })?;
    let version = entry.lines().find_map(|line| line.strip_prefix("Version: "))?;
    let version = version.split_once(':').map_or(version, |(_, version)| version);
    Some(version.split('-').next().unwrap_or(version).to_owned())
}

/// "3", "3.11", "3.11.9" and "3.11.*" fit 3.11.2: a minor version is one language; the patch level is Debian's.
fn fits(wanted: &str, version: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u32>> {
        text.trim()
            .split('.')
            .filter(|part| !matches!(*part, "*" | "x"))
            .map(|part| part.parse().ok())
            .collect()
    };
    match (numbers(wanted), numbers(version)) {
        (Some(wanted), Some(version)) => wanted
            .iter()
            .zip(&version)
            .take(2)
            .all(|(wanted, have)| wanted == have),
        _ => false,
    }
}

pub(super) async fn uv(finder: &ToolFinder<'_>, need: &ToolchainNeed) -> Result<ResolvedTool, BuildFault> {
    let fault = |error: mainstay_images::toolchains::ToolchainError| error.into_fault("uv", wish(need), None);
    let release = finder.toolchains.pypi("uv", "").await.map_err(fault)?;
    let layer = finder
        .toolchains
        .layer(&release.archive(), UV_PREFIX)
        .await
        .map_err(fault)?;
    Ok(ResolvedTool {
        version: release.version,
        build_layers: vec![layer],
        run_layers: Vec::new(),
        path: vec![format!("/{UV_PREFIX}/bin")],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minor_version_decides() {
        for wanted in ["3", "3.11", "3.11.9", "3.11.*"] {
            assert!(fits(wanted, "3.11.2"), "{wanted}");
        }
        for wanted in ["3.12", "2.7", "pypy3", "3.1"] {
            assert!(!fits(wanted, "3.11.2"), "{wanted}");
        }
    }

    #[test]
    fn versions_are_read_from_the_list_of_packages() {
        let status = "Package: python3-dev\nVersion: 1\n\nPackage: python3\nStatus: install ok installed\nVersion: 3.11.2-1+b1\n";
        assert_eq!(installed_version(status, "python3").as_deref(), Some("3.11.2"));
    }
}
