//! When `node_modules` of an earlier build may be shown again: only if everything that an installation reads is in the key.

use data_encoding::HEXLOWER;

use super::{
    manifest::Manifest,
    package_manager::{Kind, PackageManager},
};
use crate::{
    digest::FieldHash,
    plan::{DependencyLayer, PlanInputs},
    source::{EntryKind, SourceTree},
};

/// Fields of package.json that an installation reads.
const INSTALL_FIELDS: &[&str] = &[
    "name",
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
    "bundleDependencies",
    "bundledDependencies",
    "dependenciesMeta",
    "overrides",
    "resolutions",
    "engines",
    "os",
    "cpu",
    "packageManager",
    "pnpm",
    "bin",
];

/// Files beside the lock file that an installation reads.
const INSTALL_FILES: &[&str] = &[
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".pnpmfile.cjs",
    "pnpm-workspace.yaml",
    "bunfig.toml",
];

/// One layer at `node_modules`, or none where its content depends on more than the key can tell: no lock file, workspaces (several
/// `node_modules`, linked into the source), packages of the source itself, patches, Yarn without `node_modules`.
pub(super) fn layers(
    tree: &SourceTree,
    manifest: &Manifest,
    manager: &PackageManager,
    inputs: &PlanInputs<'_>,
) -> Vec<DependencyLayer> {
    let Some(lock_file) = manager.lock_file else {
        return Vec::new();
    };
    let reusable = inputs.variable("NODE_MODULES_CACHE") != Some("false")
        && manager.kind != Kind::YarnBerry
        && manifest.problem.is_none()
        && !has_workspaces(tree, manifest)
        && !has_local_packages(manifest)
        && !has_patches(tree)
        && !tree.has_directory("node_modules");
    if !reusable {
        return Vec::new();
    }
    let mut key = vec![
        ("package manager".to_owned(), manager.kind.name().to_owned()),
        ("package.json".to_owned(), manifest_key(manifest)),
        (
            "NODE_ENV".to_owned(),
            inputs.variable("NODE_ENV").unwrap_or_default().to_owned(),
        ),
    ];
    for file in INSTALL_FILES.iter().copied().chain([lock_file]) {
        if let Some(digest) = tree.digest(file) {
            key.push((file.to_owned(), HEXLOWER.encode(&digest)));
        }
    }
    vec![DependencyLayer {
        path: "node_modules".to_owned(),
        key,
        ignored: vec![".cache".to_owned(), ".vite".to_owned(), ".vite-temp".to_owned()],
    }]
}

fn manifest_key(manifest: &Manifest) -> String {
    let mut hash = FieldHash::default();
    for field in INSTALL_FIELDS {
        let value = manifest.value(field).map(ToString::to_string).unwrap_or_default();
        hash.field(field).field(value);
    }
    hash.hex()
}

fn has_workspaces(tree: &SourceTree, manifest: &Manifest) -> bool {
    manifest.value("workspaces").is_some()
        || tree
            .text("pnpm-workspace.yaml")
            .is_some_and(|text| text.lines().any(|line| line.starts_with("packages")))
}

fn has_local_packages(manifest: &Manifest) -> bool {
    let is_local = |version: &str| {
        [
            "file:",
            "link:",
            "portal:",
            "workspace:",
            "patch:",
            ".",
            "/",
            "~/",
        ]
        .iter()
        .any(|prefix| version.starts_with(prefix))
    };
    manifest.dependency_versions().any(is_local)
}

fn has_patches(tree: &SourceTree) -> bool {
    tree.entries("")
        .iter()
        .any(|entry| entry.kind == EntryKind::Directory && entry.name == "patches")
}
