//! What the source says, to be held against what a tool says.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::SourceTree;

/// Files looked through for one that differs only in letter case.
const FILES_MAX: usize = 50_000;

/// Facts about the source that turn a tool's word into a cause.
#[derive(Debug, Clone, Default)]
pub struct FindingContext {
    /// Names under devDependencies.
    pub development_dependencies: BTreeSet<String>,
    /// Whether development dependencies may be missing: `NODE_ENV` is production, or they were pruned.
    pub production: bool,
    /// Variables present in the build.
    pub variables: BTreeSet<String>,
    /// Paths of the source in lower case → as they are spelt.
    pub(super) files: BTreeMap<String, String>,
}

impl FindingContext {
    /// Reads what it needs from the source directory.
    pub fn read(tree: &SourceTree, production: bool, variables: impl IntoIterator<Item = String>) -> Self {
        Self {
            development_dependencies: development_dependencies(tree),
            production,
            variables: variables.into_iter().collect(),
            files: files_by_lower_case(tree),
        }
    }

    /// Whether the package (or the program of a package of the same name) is a development dependency that was left out.
    pub(super) fn is_left_out(&self, name: &str) -> bool {
        const PROGRAMS: &[(&str, &str)] = &[
            ("tsc", "typescript"),
            ("ng", "@angular/cli"),
            ("nest", "@nestjs/cli"),
            ("vue-cli-service", "@vue/cli-service"),
            ("svelte-kit", "@sveltejs/kit"),
            ("sass", "sass"),
            ("webpack", "webpack-cli"),
            ("tailwindcss", "@tailwindcss/cli"),
            ("remix", "@remix-run/dev"),
            ("run-s", "npm-run-all"),
            ("run-p", "npm-run-all"),
            ("babel", "@babel/cli"),
        ];
        let package = PROGRAMS
            .iter()
            .find(|(program, _)| *program == name)
            .map(|(_, package)| *package);
        let is_declared = |name: &str| self.development_dependencies.contains(name);
        self.production && (is_declared(name) || package.is_some_and(is_declared))
    }

    /// A file of the source that is called like `path`, but for letter case. `path` may lack its ending.
    pub(super) fn same_but_for_case(&self, path: &str) -> Option<&str> {
        let name = path.rsplit('/').next()?;
        if name.is_empty() || name == "." || name == ".." {
            return None;
        }
        let lower = name.to_lowercase();
        let fits = |spelt: &str| {
            let file = spelt.rsplit('/').next().unwrap_or(spelt);
            let stem = file.split('.').next().unwrap_or(file);
            (file.to_lowercase() == lower && file != name) || (stem.to_lowercase() == lower && stem != name)
        };
        let exact = |spelt: &&String| {
            let file = spelt.rsplit('/').next().unwrap_or(spelt);
            file == name || file.split('.').next() == Some(name)
        };
        if self.files.values().any(|spelt| exact(&spelt)) {
            return None;
        }
        self.files.values().find(|spelt| fits(spelt)).map(String::as_str)
    }
}

fn development_dependencies(tree: &SourceTree) -> BTreeSet<String> {
    let manifest = tree.text("package.json").unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap_or_default();
    let names = manifest
        .get("devDependencies")
        .and_then(serde_json::Value::as_object);
    names
        .map(|names| names.keys().cloned().collect())
        .unwrap_or_default()
}

fn files_by_lower_case(tree: &SourceTree) -> BTreeMap<String, String> {
    let skipped = |name: &str| matches!(name, "node_modules" | ".git" | ".venv" | "vendor");
    walkdir::WalkDir::new(tree.path())
        .into_iter()
        .filter_entry(|entry| !entry.file_name().to_str().is_some_and(skipped))
        .flatten()
        .take(FILES_MAX)
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| {
            let path = entry.path().strip_prefix(tree.path()).ok()?.to_str()?.to_owned();
            Some((path.to_lowercase(), path))
        })
        .collect()
}
