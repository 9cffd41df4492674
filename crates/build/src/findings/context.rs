//! What the source says, to be held against what a tool says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mainstay_diagnosis::{
    Cause,
    facts::{Clue, LeftOut, package_of_program},
};

use super::{
    registry_access::{self, Reading},
    source_files::SourceFiles,
};
use crate::source::SourceTree;

/// Nobody declares more for development; a manifest that does is kept in bounds.
const LEFT_OUT_MAX: usize = 500;

/// Facts about the source and about the steps before, which turn a tool's word into a cause.
#[derive(Debug, Clone, Default)]
pub struct FindingContext {
    pub(super) files: Arc<SourceFiles>,
    /// Packages that a manifest declares for development alone → that manifest.
    development: Arc<BTreeMap<String, String>>,
    /// Variables present in the build.
    pub(super) variables: Arc<BTreeSet<String>>,
    /// Variables that lead to registries.
    readings: Arc<Vec<Reading>>,
    /// Why development dependencies are not installed; `None`: nothing left them out.
    left_out: Option<String>,
}

impl FindingContext {
    /// Reads what it needs from the source. `tree` is the source directory in `repository`.
    pub fn read(
        repository: &SourceTree,
        tree: &SourceTree,
        variables: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            files: Arc::new(SourceFiles::read(repository, tree)),
            development: Arc::new(development_dependencies(tree)),
            variables: Arc::new(variables.into_iter().collect()),
            readings: Arc::new(registry_access::read(tree)),
            left_out: None,
        }
    }

    /// Without the variables that this text names: a command or a Dockerfile may set them itself.
    pub(crate) fn setting(mut self, text: &str) -> Self {
        Arc::make_mut(&mut self.readings).retain(|reading| !text.contains(&reading.variable));
        self
    }

    /// Variables that lead to registries and are not set.
    pub(super) fn unset_readings(&self) -> impl Iterator<Item = &Reading> {
        self.readings
            .iter()
            .filter(|reading| !self.variables.contains(&reading.variable))
    }

    /// With the rules that keep files out of a Dockerfile's context: (".dockerignore", its text).
    pub(crate) fn with_context_rules(mut self, name: &str, text: &str) -> Self {
        Arc::make_mut(&mut self.files).set_context_rules(name, text);
        self
    }

    /// The same for a step before which development dependencies were left out, and why.
    pub(crate) fn leaving_out(&self, reason: Option<String>) -> Self {
        Self {
            left_out: reason,
            ..self.clone()
        }
    }

    /// All that was left out, for a run that misses something of it.
    pub(crate) fn all_left_out(&self, reason: Option<String>) -> Option<LeftOut> {
        let declared = self.development.iter().take(LEFT_OUT_MAX);
        let packages: Vec<(String, String)> = declared
            .map(|(package, manifest)| (package.clone(), manifest.clone()))
            .collect();
        reason
            .filter(|_| !packages.is_empty())
            .map(|reason| LeftOut { packages, reason })
    }

    /// Whether the package (or the program of a package of the same name) is a development dependency that was left out.
    pub(super) fn left_out(&self, name: &str) -> Option<Clue> {
        let reason = self.left_out.clone()?;
        let package = package_of_program(name);
        let manifest = [name, package].into_iter().find_map(|name| {
            let plain = name.replace('_', "-").to_lowercase();
            self.development
                .get(name)
                .or_else(|| self.development.get(&plain))
        })?;
        Some(Clue::LeftOut {
            manifest: manifest.clone(),
            reason,
        })
    }

    /// Why a program is not there.
    pub(super) fn program(&self, name: &str) -> (Cause, Option<Clue>) {
        match self.left_out(name) {
            Some(clue) => (Cause::DevDependencyMissing, Some(clue)),
            None if name.contains('/') => self.files.program(name),
            None => (Cause::CommandNotFound, None),
        }
    }

    /// Why a module cannot be loaded: a file of the source where it begins with a dot or slash, else a package.
    pub(super) fn module(&self, name: &str) -> (Cause, Option<Clue>) {
        if let Some(clue) = self.left_out(name) {
            return (Cause::DevDependencyMissing, Some(clue));
        }
        if !name.starts_with(['.', '/', '@', '~']) {
            return (Cause::ModuleNotFound, None);
        }
        match self.files.missing(name.trim_start_matches(['@', '~']), true) {
            (Cause::FileMissing, clue) => (Cause::ModuleNotFound, clue),
            found => found,
        }
    }

    /// Why a file is not there.
    pub(super) fn file(&self, path: &str) -> (Cause, Option<Clue>) {
        self.files.missing(path, false)
    }

    /// What is known about a path that an instruction names and that the context does not have.
    pub(crate) fn why_not_in_context(&self, path: &str) -> Option<Clue> {
        self.files.missing(path.trim_start_matches('/'), false).1
    }

    /// What is known about a lock file that a tool misses; the first name is the usual one.
    pub(super) fn lock_file(&self, names: &[&str]) -> Option<Clue> {
        let ignored = names.iter().find_map(|name| self.files.ignored(name));
        ignored.or_else(|| {
            let files = self.files.other_lock_files(names);
            (!files.is_empty()).then_some(Clue::OtherLockFiles { files })
        })
    }
}

/// Of package.json, composer.json and pyproject.toml.
fn development_dependencies(tree: &SourceTree) -> BTreeMap<String, String> {
    let mut packages = BTreeMap::new();
    for (manifest, field) in [
        ("package.json", "devDependencies"),
        ("composer.json", "require-dev"),
    ] {
        let text = tree.text(manifest).unwrap_or_default();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let names = json.get(field).and_then(serde_json::Value::as_object);
        let names = names.into_iter().flat_map(serde_json::Map::keys);
        packages.extend(names.map(|name| (name.clone(), manifest.to_owned())));
    }
    let project = tree.text("pyproject.toml").unwrap_or_default();
    let groups = python_groups(&project).into_iter();
    packages.extend(groups.map(|name| (name, "pyproject.toml".to_owned())));
    packages
}

/// Packages of `[dependency-groups]` and of poetry's groups.
fn python_groups(project: &str) -> Vec<String> {
    let Ok(table) = project.parse::<toml::Table>() else {
        return Vec::new();
    };
    let groups = table.get("dependency-groups").and_then(toml::Value::as_table);
    let listed = groups
        .into_iter()
        .flat_map(|groups| groups.values())
        .filter_map(toml::Value::as_array)
        .flatten()
        .filter_map(toml::Value::as_str)
        .map(requirement_name);
    let poetry = table
        .get("tool")
        .and_then(|tool| tool.get("poetry")?.get("group")?.as_table());
    let named = poetry
        .into_iter()
        .flat_map(|groups| groups.values())
        .filter_map(|group| group.get("dependencies")?.as_table())
        .flat_map(|packages| packages.keys())
        .map(|name| name.replace('_', "-").to_lowercase());
    listed.chain(named).collect()
}

/// "Pytest_Cov>=4; python_version > '3'" → "pytest-cov".
fn requirement_name(requirement: &str) -> String {
    let is_name = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let end = requirement.find(|character| !is_name(character));
    let name = &requirement[..end.unwrap_or(requirement.len())];
    name.replace('_', "-").to_lowercase()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A context of these files; `left_out` says why development dependencies are not there.
    pub(crate) fn context(files: &[(&str, &str)], left_out: Option<&str>) -> FindingContext {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let tree = SourceTree::open(directory.path()).unwrap();
        FindingContext::read(&tree, &tree, []).leaving_out(left_out.map(str::to_owned))
    }

    #[test]
    fn development_dependencies_of_several_manifests_are_known() {
        let context = context(
            &[
                (
                    "package.json",
                    r#"{"devDependencies": {"typescript": "5", "@vue/cli-service": "5"}}"#,
                ),
                (
                    "pyproject.toml",
                    "[dependency-groups]\ndev = [\"Pytest_Cov>=4\"]\n[tool.poetry.group.lint.dependencies]\nruff = \"*\"\n",
                ),
                ("composer.json", r#"{"require-dev": {"phpunit/phpunit": "*"}}"#),
            ],
            Some("they were pruned"),
        );
        for name in [
            "tsc",
            "typescript/lib",
            "vue-cli-service",
            "pytest_cov",
            "ruff",
            "phpunit/phpunit",
        ] {
            assert!(context.left_out(name).is_some(), "{name}");
        }
        assert!(context.left_out("express").is_none());
        assert!(context.leaving_out(None).left_out("tsc").is_none());
    }
}
