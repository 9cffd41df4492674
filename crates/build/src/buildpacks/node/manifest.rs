//! `package.json`, read leniently: whatever is odd in it is npm's to judge, with npm's own words.

use serde_json::{Map, Value};

use crate::source::SourceTree;

/// Run by an installation for the app itself, in this order.
const INSTALL_SCRIPTS: &[&str] = &[
    "preinstall",
    "install",
    "postinstall",
    "preprepare",
    "prepare",
    "postprepare",
];

#[derive(Debug, Default)]
pub(super) struct Manifest {
    fields: Map<String, Value>,
    /// Set when the file is no JSON object.
    pub(super) problem: Option<String>,
}

impl Manifest {
    pub(super) fn read(tree: &SourceTree) -> Self {
        let text = tree.text("package.json").unwrap_or_default();
        match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(Value::Object(fields)) => Self {
                fields,
                problem: None,
            },
            Ok(_) => Self::broken("package.json holds no object"),
            Err(error) => Self::broken(&format!("package.json is not valid JSON: {error}")),
        }
    }

    fn broken(problem: &str) -> Self {
        Self {
            fields: Map::new(),
            problem: Some(problem.to_owned()),
        }
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.as_str()
    }

    pub(super) fn value(&self, field: &str) -> Option<&Value> {
        self.fields.get(field)
    }

    /// A non-empty `engines` entry.
    pub(super) fn engine(&self, name: &str) -> Option<&str> {
        let text = self.fields.get("engines")?.get(name)?.as_str()?.trim();
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn has_script(&self, name: &str) -> bool {
        self.script(name).is_some()
    }

    fn script(&self, name: &str) -> Option<&str> {
        let text = self.fields.get("scripts")?.get(name)?.as_str()?;
        (!text.trim().is_empty()).then_some(text)
    }

    /// What the app itself runs on installation; may write anywhere in its directory.
    pub(super) fn install_scripts(&self) -> Vec<&'static str> {
        INSTALL_SCRIPTS
            .iter()
            .copied()
            .filter(|name| self.has_script(name))
            .collect()
    }

    /// `heroku-postbuild` stands in for `build`, `heroku-build` goes before it.
    pub(super) fn build_scripts(&self) -> Vec<&'static str> {
        let has = |name| self.has_script(name);
        match (has("heroku-build"), has("heroku-postbuild"), has("build")) {
            (true, true, _) => vec!["heroku-build", "heroku-postbuild"],
            (true, false, _) => vec!["heroku-build"],
            (false, true, _) => vec!["heroku-postbuild"],
            (false, false, true) => vec!["build"],
            (false, false, false) => Vec::new(),
        }
    }

    pub(super) fn has_development_dependencies(&self) -> bool {
        let dependencies = self.fields.get("devDependencies").and_then(Value::as_object);
        dependencies.is_some_and(|dependencies| !dependencies.is_empty())
    }

    /// All versions that any kind of dependency asks for.
    pub(super) fn dependency_versions(&self) -> impl Iterator<Item = &str> {
        ["dependencies", "devDependencies", "optionalDependencies"]
            .into_iter()
            .filter_map(|field| self.fields.get(field)?.as_object())
            .flat_map(Map::values)
            .filter_map(Value::as_str)
    }
}
