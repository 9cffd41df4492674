//! Go modules: all main packages are built into `bin/`.

mod module;

use std::collections::BTreeMap;

use mainstay_diagnosis::facts::BuildFault;

use self::module::Module;
use super::{Buildpack, Detection, USUAL_OUTPUT, add_procfile, detect_by_file, static_output};
use crate::{
    plan::{BuildPlan, OnlyProgram, PlanInputs, PlanStep, Tool, ToolCache, ToolchainNeed},
    source::SourceTree,
};

#[derive(Debug)]
pub(super) struct Go;

impl Buildpack for Go {
    fn name(&self) -> &'static str {
        "go"
    }

    fn title(&self) -> &'static str {
        "Go"
    }

    fn about(&self) -> &'static str {
        "Compiles a module and its vendored or fetched dependencies."
    }

    fn version(&self) -> &'static str {
        "2"
    }

    fn slugs(&self) -> &'static [&'static str] {
        &["go"]
    }

    fn detect(&self, tree: &SourceTree, inputs: &PlanInputs<'_>) -> Detection {
        detect_by_file(tree, inputs, &["go.mod"])
    }

    fn plan(&self, tree: &SourceTree, inputs: &PlanInputs<'_>) -> Result<BuildPlan, BuildFault> {
        let module = Module::read(tree).installing(inputs.variable("GO_INSTALL_PACKAGE_SPEC"));
        let mut plan = BuildPlan {
            notes: notes(tree, &module),
            toolchains: vec![toolchain(&module, inputs)],
            build_environment: build_environment(),
            caches: vec![
                cache("go-build", "/cache/go-build"),
                cache("go-mod", "/cache/go-mod"),
            ],
            steps: vec![build_step(&module)],
            path: vec![inputs.in_app("bin")],
            static_output: static_output(inputs, USUAL_OUTPUT),
            ..BuildPlan::default()
        };
        plan.processes.only_program_in = Some(OnlyProgram {
            directory: "bin".to_owned(),
            preferred: module.program_name(),
        });
        plan.processes.looked_for = vec!["a single main package".to_owned()];
        add_procfile(&mut plan, tree);
        Ok(plan)
    }
}

fn notes(tree: &SourceTree, module: &Module) -> Vec<String> {
    let origin = if tree.has_file("vendor/modules.txt") {
        "vendor/modules.txt was found: no module is downloaded"
    } else {
        "modules are downloaded through the configured proxy"
    };
    let packages = format!(
        "main packages of {} are built into bin/",
        module.packages().join(" ")
    );
    vec![origin.to_owned(), packages]
}

/// The `go` line is the oldest version that works; `toolchain`, `GOVERSION` and `+heroku goVersion` name one.
fn toolchain(module: &Module, inputs: &PlanInputs<'_>) -> ToolchainNeed {
    let exact = inputs
        .variable("GOVERSION")
        .map(|text| (text, "the variable GOVERSION"))
        .or_else(|| Some((module.heroku_version.as_deref()?, "+heroku goVersion in go.mod")))
        .or_else(|| Some((module.toolchain.as_deref()?, "toolchain in go.mod")))
        .map(|(text, place)| (text.trim_start_matches("go").to_owned(), place));
    let (wanted, place) = match (exact, &module.go) {
        (Some((version, place)), _) => (Some(version), Some(place)),
        (None, Some(oldest)) => (Some(format!(">={oldest}")), Some("go in go.mod")),
        (None, None) => (None, None),
    };
    ToolchainNeed {
        tool: Tool::Go,
        wanted,
        declared_in: place.map(str::to_owned),
        at_run_time: false,
    }
}

/// `GOTOOLCHAIN=local`: Go must not fetch another version of itself behind the build key's back.
fn build_environment() -> BTreeMap<String, String> {
    [
        ("GOCACHE", "/cache/go-build"),
        ("GOMODCACHE", "/cache/go-mod"),
        ("GOPATH", "/tmp/go"),
        ("GOTOOLCHAIN", "local"),
        ("GOTELEMETRY", "off"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn cache(name: &str, mounted_at: &str) -> ToolCache {
    ToolCache {
        name: name.to_owned(),
        mounted_at: mounted_at.to_owned(),
    }
}

fn build_step(module: &Module) -> PlanStep {
    let mut words = vec!["go", "build", "-trimpath", "-o", "bin/"];
    words.extend(module.packages());
    PlanStep::new("Building Go packages", words)
}
