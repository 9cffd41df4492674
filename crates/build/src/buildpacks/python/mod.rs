//! Python: dependencies into `.venv` by `uv`, static files of Django collected.

mod installer;
mod version;

use std::collections::BTreeMap;

use mainstay_diagnosis::facts::BuildFault;

use self::installer::Installer;
use super::{Buildpack, Detection, USUAL_OUTPUT, add_procfile, detect_by_file, one_of, static_output};
use crate::{
    plan::{BuildPlan, DependencyLayer, PlanInputs, PlanStep, StepCondition, Tool, ToolCache, ToolchainNeed},
    source::{EntryKind, SourceTree},
};

/// The virtual environment, relative to the app's directory.
const ENVIRONMENT: &str = ".venv";
const CACHE: &str = "/cache/uv";

#[derive(Debug)]
pub(super) struct Python;

impl Buildpack for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn title(&self) -> &'static str {
        "Python"
    }

    fn about(&self) -> &'static str {
        "Installs a requirements.txt or a pyproject.toml by uv."
    }

    fn version(&self) -> &'static str {
        "2"
    }

    fn slugs(&self) -> &'static [&'static str] {
        &["python"]
    }

    fn detect(&self, tree: &SourceTree, inputs: &PlanInputs<'_>) -> Detection {
        detect_by_file(tree, inputs, installer::MANIFESTS)
    }

    fn plan(&self, tree: &SourceTree, inputs: &PlanInputs<'_>) -> Result<BuildPlan, BuildFault> {
        let installer = Installer::choose(tree);
        let wish = version::wished(tree);
        let mut plan = BuildPlan {
            notes: notes(tree, &installer, wish.as_ref()),
            toolchains: toolchains(wish),
            build_environment: build_environment(inputs),
            path: vec![inputs.in_app(&format!("{ENVIRONMENT}/bin"))],
            dependencies: dependencies(tree, &installer),
            caches: vec![ToolCache {
                name: "uv".to_owned(),
                mounted_at: CACHE.to_owned(),
            }],
            steps: steps(tree, &installer, inputs),
            run_environment: run_environment(inputs),
            static_output: static_output(inputs, USUAL_OUTPUT),
            ..BuildPlan::default()
        };
        add_procfile(&mut plan, tree);
        Ok(plan)
    }
}

fn notes(tree: &SourceTree, installer: &Installer, wish: Option<&version::Wish>) -> Vec<String> {
    let mut notes = vec![installer.reason()];
    if wish.is_none() {
        notes.push("no .python-version or runtime.txt: the stack's Python is used".to_owned());
    }
    let others: Vec<&str> = installer::MANIFESTS
        .iter()
        .copied()
        .filter(|file| *file != installer.manifest && tree.has_file(file))
        .collect();
    if !others.is_empty() {
        notes.push(format!("{} is not used", one_of(&others)));
    }
    notes
}

fn toolchains(wish: Option<version::Wish>) -> Vec<ToolchainNeed> {
    let (wanted, declared_in) = match wish {
        Some(wish) => (Some(wish.version), Some(wish.declared_in)),
        None => (None, None),
    };
    let python = ToolchainNeed {
        tool: Tool::Python,
        wanted,
        declared_in,
        at_run_time: true,
    };
    let uv = ToolchainNeed {
        tool: Tool::Uv,
        wanted: None,
        declared_in: None,
        at_run_time: false,
    };
    vec![python, uv]
}

/// Packages are copied, not linked: cache and app lie on different mounts, where a hard link cannot reach.
fn build_environment(inputs: &PlanInputs<'_>) -> BTreeMap<String, String> {
    let mut environment = run_environment(inputs);
    let more = [
        ("UV_CACHE_DIR", CACHE),
        ("UV_LINK_MODE", "copy"),
        ("UV_PYTHON_DOWNLOADS", "never"),
        ("UV_COMPILE_BYTECODE", "1"),
        ("UV_NO_PROGRESS", "1"),
        ("UV_TOOL_DIR", "/cache/uv/tools"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ];
    environment.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
    environment.insert("UV_PROJECT_ENVIRONMENT".to_owned(), inputs.in_app(ENVIRONMENT));
    environment
}

fn run_environment(inputs: &PlanInputs<'_>) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("PYTHONUNBUFFERED".to_owned(), "1".to_owned()),
        ("PYTHONPATH".to_owned(), inputs.app_directory.to_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("VIRTUAL_ENV".to_owned(), inputs.in_app(ENVIRONMENT)),
    ])
}

fn dependencies(tree: &SourceTree, installer: &Installer) -> Vec<DependencyLayer> {
    let committed = tree.has_directory(ENVIRONMENT);
    let key = installer.key(tree).filter(|_| !committed);
    let layer = key.map(|key| DependencyLayer {
        path: ENVIRONMENT.to_owned(),
        key,
        ignored: Vec::new(),
    });
    layer.into_iter().collect()
}

fn steps(tree: &SourceTree, installer: &Installer, inputs: &PlanInputs<'_>) -> Vec<PlanStep> {
    let mut steps: Vec<PlanStep> = installer
        .steps()
        .into_iter()
        .map(|step| step.when(StepCondition::DependenciesInstalled))
        .collect();
    let wanted = !inputs.is_on("DISABLE_COLLECTSTATIC") && has_static_files(tree);
    if let Some(script) = manage_script(tree).filter(|_| wanted) {
        let collect = PlanStep::new(
            "Collecting static files",
            [
                "python".to_owned(),
                script,
                "collectstatic".to_owned(),
                "--noinput".to_owned(),
            ],
        );
        let django = format!("{ENVIRONMENT}/lib/*/site-packages/django/__init__.py");
        steps.push(collect.when(StepCondition::PathExists(django)));
    }
    steps
}

/// Django's `manage.py`, at the top or one directory below.
fn manage_script(tree: &SourceTree) -> Option<String> {
    const NAME: &str = "manage.py";
    if tree.has_file(NAME) {
        return Some(NAME.to_owned());
    }
    tree.entries("")
        .into_iter()
        .filter(|entry| entry.kind == EntryKind::Directory && !entry.name.starts_with('.'))
        .map(|entry| format!("{}/{NAME}", entry.name))
        .find(|path| tree.has_file(path))
}

/// `collectstatic` is a command of this app of Django's: without it there is none, and nothing to collect. What is too large to look through
/// has it.
fn has_static_files(tree: &SourceTree) -> bool {
    const APP: &str = "django.contrib.staticfiles";
    const FILES_MAX: usize = 2000;
    let mut files = 0;
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        for entry in tree.entries(&directory) {
            let path = match directory.as_str() {
                "" => entry.name.clone(),
                directory => format!("{directory}/{}", entry.name),
            };
            let skipped =
                entry.name.starts_with('.') || matches!(entry.name.as_str(), "node_modules" | "venv");
            match entry.kind {
                EntryKind::Directory if !skipped => directories.push(path),
                EntryKind::File
                    if entry
                        .name
                        .rsplit_once('.')
                        .is_some_and(|(_, ending)| ending == "py") =>
                {
                    files += 1;
                    if files > FILES_MAX || tree.text(&path).is_some_and(|text| text.contains(APP)) {
                        return true;
                    }
                }
                _ => {}
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn static_files_are_collected_only_where_django_has_the_command() {
        let app = tempfile::tempdir().unwrap();
        fs::create_dir(app.path().join("shop")).unwrap();
        let settings = app.path().join("shop/settings.py");
        let has = || has_static_files(&SourceTree::open(app.path()).unwrap());
        fs::write(&settings, "INSTALLED_APPS = ['rest_framework']").unwrap();
        assert!(!has());
        fs::write(&settings, "INSTALLED_APPS = ['django.contrib.staticfiles']").unwrap();
        assert!(has());
    }
}
