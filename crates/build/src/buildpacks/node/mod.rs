//! Node.js: npm, yarn, pnpm and bun, with the habits of Heroku's and App Platform's Node buildpack.

mod dependencies;
mod manifest;
mod package_manager;

use std::collections::BTreeMap;

use mainstay_diagnosis::facts::BuildFault;

pub(crate) use self::package_manager::PRUNING;
use self::{
    manifest::Manifest,
    package_manager::{Kind, PackageManager},
};
use super::{Buildpack, Detection, USUAL_OUTPUT, add_procfile, detect_by_file, static_output};
use crate::{
    plan::{BuildPlan, PlanInputs, PlanStep, StepCondition, Tool, ToolCache, ToolchainNeed},
    source::SourceTree,
};

/// Where tools keep their downloads in a build container.
const CACHE: &str = "/cache/node";

#[derive(Debug)]
pub(super) struct NodeJs;

impl Buildpack for NodeJs {
    fn name(&self) -> &'static str {
        "node-js"
    }

    fn title(&self) -> &'static str {
        "Node.js"
    }

    fn about(&self) -> &'static str {
        "Installs the packages of a package.json by npm, yarn, pnpm or bun, and runs its build script."
    }

    fn version(&self) -> &'static str {
        "2"
    }

    /// Gatsby and Hexo are Node programs that write `public`.
    fn slugs(&self) -> &'static [&'static str] {
        &["node-js", "bun", "gatsby", "hexo"]
    }

    fn detect(&self, tree: &SourceTree, inputs: &PlanInputs<'_>) -> Detection {
        if inputs.environment_slug == Some("html") && inputs.is_static_site() {
            return Detection::refuse("environment_slug is html: the files are served as they are");
        }
        detect_by_file(tree, inputs, &["package.json"])
    }

    fn plan(&self, tree: &SourceTree, inputs: &PlanInputs<'_>) -> Result<BuildPlan, BuildFault> {
        let manifest = Manifest::read(tree);
        let manager = PackageManager::choose(tree, &manifest, inputs);
        let mut plan = BuildPlan {
            notes: notes(&manifest, &manager),
            toolchains: toolchains(&manifest, &manager),
            build_environment: build_environment(&manager),
            path: vec![inputs.in_app("node_modules/.bin")],
            dependencies: dependencies::layers(tree, &manifest, &manager, inputs),
            caches: vec![ToolCache {
                name: manager.kind.name().to_owned(),
                mounted_at: CACHE.to_owned(),
            }],
            steps: steps(&manifest, &manager, inputs),
            run_environment: BTreeMap::from([("NODE_ENV".to_owned(), "production".to_owned())]),
            static_output: static_output(inputs, USUAL_OUTPUT),
            ..BuildPlan::default()
        };
        add_start(&mut plan, tree, &manifest, &manager);
        add_procfile(&mut plan, tree);
        Ok(plan)
    }
}

fn notes(manifest: &Manifest, manager: &PackageManager) -> Vec<String> {
    let mut notes = vec![manager.reason.clone()];
    if let Some(problem) = &manifest.problem {
        notes.push(problem.clone());
    }
    if manifest.engine("node").is_none() {
        notes.push("package.json names no engines.node: the default version is used".to_owned());
    }
    notes
}

/// npm is there in any case: `npm start` is the default command, whatever installed the packages.
fn toolchains(manifest: &Manifest, manager: &PackageManager) -> Vec<ToolchainNeed> {
    let mut needs = vec![
        need(
            Tool::Node,
            manifest.engine("node"),
            "engines.node in package.json",
        ),
        need(Tool::Npm, manifest.engine("npm"), "engines.npm in package.json"),
    ];
    if manager.kind != Kind::Npm {
        needs.push(manager.toolchain.clone());
    } else if manager.toolchain.wanted.is_some() {
        needs[1] = manager.toolchain.clone();
    }
    needs
}

fn need(tool: Tool, wanted: Option<&str>, place: &str) -> ToolchainNeed {
    ToolchainNeed {
        tool,
        wanted: wanted.map(str::to_owned),
        declared_in: wanted.map(|_| place.to_owned()),
        at_run_time: true,
    }
}

/// `CI` is what App Platform sets too; some bundlers treat warnings as errors then.
fn build_environment(manager: &PackageManager) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = [
        ("CI", "true"),
        ("npm_config_cache", "/cache/node/npm"),
        ("npm_config_update_notifier", "false"),
        ("npm_config_fund", "false"),
        ("npm_config_audit", "false"),
        ("COREPACK_ENABLE_DOWNLOAD_PROMPT", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let own = manager.kind.environment();
    environment.extend(
        own.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    environment
}

/// Install (with development dependencies), build, prune when `NODE_ENV` is production: the order of the original.
fn steps(manifest: &Manifest, manager: &PackageManager, inputs: &PlanInputs<'_>) -> Vec<PlanStep> {
    let run = |heading: &str, script: &str| PlanStep::new(heading, [manager.kind.command(), "run", script]);
    let mut steps = Vec::new();
    if manifest.has_script("heroku-prebuild") {
        steps.push(run("Running heroku-prebuild", "heroku-prebuild"));
    }
    let production = inputs.is_production();
    steps.push(
        manager
            .install(production)
            .when(StepCondition::DependenciesInstalled),
    );
    for script in manifest.install_scripts() {
        steps.push(run("Running the app's install script", script).when(StepCondition::DependenciesReused));
    }
    for script in manifest.build_scripts() {
        steps.push(run("Building", script));
    }
    if production && manifest.has_development_dependencies() {
        steps.extend(manager.prune());
    }
    if manifest.has_script("heroku-cleanup") {
        steps.push(run("Cleaning up", "heroku-cleanup"));
    }
    steps
}

/// `npm start` is offered only where it can work: with a start script, or npm's own default, `server.js`.
fn add_start(plan: &mut BuildPlan, tree: &SourceTree, manifest: &Manifest, manager: &PackageManager) {
    plan.processes.looked_for = vec!["scripts.start in package.json".to_owned(), "server.js".to_owned()];
    let command = match (manifest.has_script("start"), manager.kind) {
        (true, Kind::Bun) => "bun run start",
        (true, _) => "npm start",
        (false, _) if tree.has_file("server.js") => "npm start",
        (false, _) => return,
    };
    plan.processes
        .declared
        .insert("web".to_owned(), command.to_owned());
}
