//! What in the source speaks for another way of building than the chosen one: evidence for builds that fail, never a reason to choose.

use mainstay_spec::{ComponentRef, Format, parse};

use super::PlanInputs;
use crate::{manifests, source::SourceTree};

/// Where users keep the spec beside the code.
const SPEC_FILES: &[&str] = &[".do/app.yaml", ".do/app.yml"];

/// One sentence each.
pub(crate) fn doubts(
    repository: &SourceTree,
    component: &str,
    inputs: &PlanInputs<'_>,
    by_dockerfile: bool,
) -> Vec<String> {
    let mut doubts = spec_file(repository, component, inputs);
    if !by_dockerfile && doubts.is_empty() {
        doubts.extend(dockerfile_elsewhere(repository, inputs));
    }
    doubts
}

/// A spec file that differs from the spec in force was changed and never applied.
fn spec_file(repository: &SourceTree, component: &str, inputs: &PlanInputs<'_>) -> Vec<String> {
    let Some((name, text)) = SPEC_FILES
        .iter()
        .find_map(|name| Some((*name, repository.text(name)?)))
    else {
        return Vec::new();
    };
    let Ok(parsed) = parse(&text, Format::Yaml) else {
        return Vec::new();
    };
    let Some(written) = parsed.spec.component(component) else {
        return Vec::new();
    };
    differences(written, inputs)
        .into_iter()
        .map(|difference| format!("{name} in the source {difference}: it was not applied since it changed"))
        .collect()
}

fn differences(written: ComponentRef<'_>, inputs: &PlanInputs<'_>) -> Vec<String> {
    let fields = [
        (
            "dockerfile_path",
            written.dockerfile_path(),
            inputs.dockerfile_path,
        ),
        (
            "source_dir",
            root_is_none(Some(written.source_dir())),
            root_is_none(Some(inputs.source_dir)),
        ),
        (
            "environment_slug",
            written.environment_slug(),
            inputs.environment_slug,
        ),
        ("build_command", written.build_command(), inputs.build_command),
        ("output_dir", written.output_dir(), inputs.output_dir),
    ];
    let shown = |value: &str| format!("`{}`", value.lines().next().unwrap_or_default());
    fields
        .into_iter()
        .filter(|(_, written, live)| written != live)
        .map(|(field, written, live)| match (written, live) {
            (Some(written), None) => format!(
                "sets {field} to {}, and the spec in force does not set it",
                shown(written)
            ),
            (Some(written), Some(live)) => {
                format!(
                    "sets {field} to {}, and the spec in force to {}",
                    shown(written),
                    shown(live)
                )
            }
            (None, live) => format!(
                "sets no {field}, and the spec in force sets {}",
                shown(live.unwrap_or_default())
            ),
        })
        .collect()
}

/// The root has several spellings.
fn root_is_none(directory: Option<&str>) -> Option<&str> {
    directory
        .map(|directory| directory.trim_matches('/'))
        .filter(|directory| !matches!(*directory, "" | "."))
}

/// Below source_dir; one of another component is no doubt.
fn dockerfile_elsewhere(repository: &SourceTree, inputs: &PlanInputs<'_>) -> Option<String> {
    let source_dir =
        root_is_none(Some(inputs.source_dir)).map_or(String::new(), |directory| format!("{directory}/"));
    let found = manifests::dockerfiles(repository);
    let path = found.iter().find(|path| path.starts_with(&source_dir))?;
    Some(format!(
        "the source has `{path}`, which is not used, because dockerfile_path does not name it"
    ))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use mainstay_spec::kind::ComponentKind;

    use super::*;

    fn doubts_of(files: &[(&str, &str)], dockerfile_path: Option<&str>) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let inputs = PlanInputs {
            kind: ComponentKind::Service,
            source_dir: "/",
            app_directory: "/workspace",
            dockerfile_path,
            environment_slug: None,
            build_command: None,
            output_dir: None,
            variables: &BTreeMap::new(),
        };
        let tree = SourceTree::open(directory.path()).unwrap();
        doubts(&tree, "web", &inputs, dockerfile_path.is_some())
    }

    const SPEC: &str = "name: shop\nservices:\n- name: web\n  git: {repo_clone_url: https://example.com/a.git}\n  dockerfile_path: Dockerfile\n";

    #[test]
    fn a_spec_file_that_was_not_applied_says_which_field_differs() {
        let files = [(".do/app.yaml", SPEC)];
        assert_eq!(
            doubts_of(&files, None),
            [
                ".do/app.yaml in the source sets dockerfile_path to `Dockerfile`, and the spec in force does not set it: it was not applied since it changed"
            ]
        );
        assert!(doubts_of(&files, Some("Dockerfile")).is_empty());
    }

    #[test]
    fn a_dockerfile_that_is_not_used_is_named() {
        let doubts = doubts_of(&[("docker/Dockerfile", "FROM x")], None);
        assert!(
            doubts[0].contains("`docker/Dockerfile`, which is not used"),
            "{doubts:?}"
        );
        assert!(doubts_of(&[("package.json", "{}")], None).is_empty());
    }
}
