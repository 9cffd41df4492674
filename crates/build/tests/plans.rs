//! The plan of each kind of source, as golden files. A reviewer reads the difference of a plan, not the code that made it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{collections::BTreeMap, fs};

use mainstay_build::{
    BuildVariable,
    plan::{PlanInputs, Strategy, choose},
    source::SourceTree,
};
use mainstay_spec::kind::ComponentKind;
use serde_json::json;
use tempfile::TempDir;

/// A source and its component.
struct Case {
    directory: TempDir,
    kind: ComponentKind,
    source_dir: &'static str,
    slug: Option<&'static str>,
    dockerfile_path: Option<&'static str>,
    build_command: Option<&'static str>,
    variables: BTreeMap<String, BuildVariable>,
}

fn source(files: &[(&str, &str)]) -> Case {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    Case {
        directory,
        kind: ComponentKind::Service,
        source_dir: "/",
        slug: None,
        dockerfile_path: None,
        build_command: None,
        variables: BTreeMap::new(),
    }
}

impl Case {
    fn static_site(mut self) -> Self {
        self.kind = ComponentKind::StaticSite;
        self
    }

    fn at(mut self, source_dir: &'static str) -> Self {
        self.source_dir = source_dir;
        self
    }

    fn slug(mut self, slug: &'static str) -> Self {
        self.slug = Some(slug);
        self
    }

    fn dockerfile_path(mut self, path: &'static str) -> Self {
        self.dockerfile_path = Some(path);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        let variable = BuildVariable {
            value: value.to_owned(),
            secret: false,
        };
        self.variables.insert(name.to_owned(), variable);
        self
    }

    /// Choice, verdicts and plan, or the fault.
    fn outcome(&self) -> serde_json::Value {
        let repository = SourceTree::open(self.directory.path()).unwrap();
        let part = self.source_dir.trim_matches('/');
        let tree = repository.below(part).unwrap();
        let app_directory = if part.is_empty() {
            "/workspace".to_owned()
        } else {
            format!("/workspace/{part}")
        };
        let inputs = PlanInputs {
            kind: self.kind,
            source_dir: self.source_dir,
            app_directory: &app_directory,
            dockerfile_path: self.dockerfile_path,
            environment_slug: self.slug,
            build_command: self.build_command,
            output_dir: None,
            variables: &self.variables,
        };
        match choose(&repository, &tree, &inputs) {
            Err(refusal) => json!({ "fault": refusal.fault, "verdicts": refusal.verdicts }),
            Ok(chosen) => {
                let plan = match chosen.strategy {
                    Strategy::Dockerfile => json!({ "dockerfile": chosen.dockerfile }),
                    Strategy::Buildpack(buildpack) => json!(buildpack.plan(&tree, &inputs).unwrap()),
                };
                json!({ "choice": chosen.choice, "verdicts": chosen.verdicts, "plan": plan })
            }
        }
    }
}

macro_rules! golden {
    ($name:ident, $case:expr) => {
        #[test]
        fn $name() {
            let mut settings = insta::Settings::clone_current();
            settings.set_snapshot_path("golden");
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            settings.bind(|| insta::assert_json_snapshot!(stringify!($name), $case.outcome()));
        }
    };
}

const NPM: &str = r#"{"name": "shop", "scripts": {"start": "node index.js"}, "engines": {"node": ">= 18"},
    "dependencies": {"express": "^5.1.0"}}"#;

golden!(
    node_npm,
    source(&[
        ("package.json", NPM),
        ("package-lock.json", "{}"),
        ("index.js", "")
    ])
);

golden!(
    node_yarn_before_pnpm_and_npm,
    source(&[
        ("package.json", r#"{"scripts": {"start": "node ."}}"#),
        ("yarn.lock", "# yarn lockfile v1\n"),
        ("pnpm-lock.yaml", ""),
        ("package-lock.json", "{}"),
    ])
);

golden!(
    node_pnpm_declared_version,
    source(&[
        (
            "package.json",
            r#"{"packageManager": "pnpm@9.1.0+sha512.aa", "scripts": {"build": "vite build", "start": "node ."}}"#,
        ),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n"),
    ])
);

golden!(
    node_yarn_berry,
    source(&[
        (
            "package.json",
            r#"{"packageManager": "yarn@4.1.0", "scripts": {"start": "node ."}}"#
        ),
        ("yarn.lock", "__metadata:\n  version: 8\n"),
    ])
);

golden!(
    node_bun,
    source(&[
        (
            "package.json",
            r#"{"scripts": {"build": "vite build", "start": "bun server.ts"}, "dependencies": {"hono": "^4"}}"#
        ),
        ("bun.lock", "{}"),
        (".bun-version", "1.2.3\n"),
    ])
);

golden!(
    hugo_of_an_older_layout,
    source(&[("config.toml", ""), ("content/_index.md", "")])
        .static_site()
        .variable("HUGO_VERSION", "0.150")
);

golden!(
    node_scripts_in_production,
    source(&[
        (
            "package.json",
            r#"{"scripts": {"heroku-prebuild": "a", "build": "b", "heroku-postbuild": "c", "postinstall": "d", "start": "e"},
                "devDependencies": {"vite": "^5"}}"#,
        ),
        ("package-lock.json", "{}"),
    ])
    .variable("NODE_ENV", "production")
);

golden!(
    node_without_start_and_lock,
    source(&[
        ("package.json", r#"{"scripts": {"build": "tsc"}}"#),
        ("index.ts", "")
    ])
);

golden!(
    node_workspaces_have_no_dependency_layer,
    source(&[
        (
            "package.json",
            r#"{"workspaces": ["packages/*"], "scripts": {"start": "node ."}}"#
        ),
        ("package-lock.json", "{}"),
    ])
);

golden!(
    node_static_site,
    source(&[
        (
            "package.json",
            r#"{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "^5"}}"#
        ),
        ("package-lock.json", "{}"),
        ("index.html", ""),
    ])
    .static_site()
);

golden!(
    python_requirements,
    source(&[
        ("requirements.txt", "flask==3.0.3\n"),
        ("Procfile", "web: gunicorn app:app\n"),
        ("app.py", ""),
    ])
);

golden!(
    python_django_in_a_subdirectory,
    source(&[
        ("backend/requirements.txt", "-r base.txt\n"),
        ("backend/base.txt", "django\n"),
        ("backend/manage.py", ""),
        ("backend/runtime.txt", "python-3.12.4\n"),
    ])
    .at("backend")
);

golden!(
    python_uv_lock,
    source(&[
        ("pyproject.toml", "[project]\nname = \"shop\"\n"),
        ("uv.lock", "version = 1\n"),
        (".python-version", "3.13\n"),
    ])
);

golden!(
    go_module,
    source(&[
        ("go.mod", "module example.org/api\n\ngo 1.21\n"),
        ("main.go", "package main\n")
    ])
);

golden!(
    go_vendored_with_heroku_lines,
    source(&[
        (
            "go.mod",
            "module example.org/api/v2\n\ngo 1.21\ntoolchain go1.22.3\n// +heroku install ./cmd/...\n"
        ),
        ("vendor/modules.txt", ""),
        ("Procfile", "web: bin/server\nworker: bin/worker\n"),
    ])
);

golden!(
    html_by_slug,
    source(&[("index.html", ""), ("package.json", "{}")])
        .static_site()
        .slug("html")
);

golden!(
    procfile_only,
    source(&[("Procfile", "web: ./serve.sh\n"), ("serve.sh", "")])
);

golden!(
    dockerfile_wins_without_a_slug,
    source(&[("api/Dockerfile", "FROM alpine\n"), ("api/go.mod", "module a\n")]).at("api")
);

golden!(
    dockerfile_loses_against_a_slug,
    source(&[("Dockerfile", "FROM alpine\n"), ("go.mod", "module a\n")]).slug("go")
);

golden!(
    dockerfile_missing_names_others,
    source(&[("docker/Dockerfile", ""), ("deploy/web.dockerfile", "")]).dockerfile_path("Dockerfile")
);

golden!(
    nothing_detected_names_manifests_elsewhere,
    source(&[
        ("web/package.json", "{}"),
        ("README.md", ""),
        ("web/node_modules/x/package.json", "{}")
    ])
);

golden!(
    unsupported_language_is_named,
    source(&[("Gemfile", ""), ("config.ru", "")])
);

golden!(
    a_slug_without_its_files_falls_back,
    source(&[("go.mod", "module a\n")]).slug("node-js")
);
