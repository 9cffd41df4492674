//! Detect → plan: from a file tree to what has to be done, without running anything.
//!
//! ```text
//!  source tree ─┬─▶ detect   every detector says yes or no, and why
//!  inputs      ─┘      │
//!                      ▼
//!                    plan    toolchains, dependency layers, caches, steps, processes: data for the executor
//! ```
//!
//! Pure on the tree: no clock, no network, about a millisecond. The same tree and inputs give the same plan.

mod detect;
mod doubts;
mod inputs;
mod procfile;

use std::collections::BTreeMap;

use serde::Serialize;

pub use detect::{Chosen, Refusal, Strategy, choose};
pub(crate) use doubts::doubts;
pub use inputs::PlanInputs;
pub use procfile::{ProcessLine, Procfile};

/// What has to be done for one component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BuildPlan {
    /// Findings for the log, one sentence each: "yarn.lock was found: dependencies are installed with yarn".
    pub notes: Vec<String>,
    /// What will go on, and hardly as it is meant; for the log, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    pub toolchains: Vec<ToolchainNeed>,
    /// Environment of every step, below the component's own variables.
    pub build_environment: BTreeMap<String, String>,
    /// Directories put before PATH, in build and run.
    pub path: Vec<String>,
    pub dependencies: Vec<DependencyLayer>,
    pub caches: Vec<ToolCache>,
    /// In order. The component's build command follows the last one.
    pub steps: Vec<PlanStep>,
    /// Environment of the image, below the component's own variables.
    pub run_environment: BTreeMap<String, String>,
    pub processes: Processes,
    /// Where a static site's files may be after the build.
    pub static_output: Option<StaticOutput>,
}

/// A tool in a version that the app or the buildpack asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ToolchainNeed {
    pub tool: Tool,
    /// A range in the tool's own language; `None`: the platform's default.
    pub wanted: Option<String>,
    /// "engines.node in package.json".
    pub declared_in: Option<String>,
    /// Whether the running app needs it too.
    pub at_run_time: bool,
}

impl ToolchainNeed {
    /// The tool, and why its version is the one that is used.
    pub fn reason(&self) -> (String, String) {
        let reason = match (&self.wanted, &self.declared_in) {
            (Some(wanted), Some(place)) => format!("{place} asks for {wanted}"),
            (Some(wanted), None) => format!("{wanted} was asked for"),
            (None, _) => format!(
                "the source names no version ({}), so the default was taken",
                self.tool.named_in()
            ),
        };
        (self.tool.name().to_owned(), reason)
    }
}

/// Tools that buildpacks ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    Node,
    Npm,
    Yarn,
    /// Yarn 2 and later, another package than Yarn 1.
    YarnBerry,
    Pnpm,
    Bun,
    Python,
    Uv,
    Go,
    Hugo,
}

impl Tool {
    /// As users call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Npm => "npm",
            Self::Yarn | Self::YarnBerry => "yarn",
            Self::Pnpm => "pnpm",
            Self::Bun => "bun",
            Self::Python => "python",
            Self::Uv => "uv",
            Self::Go => "go",
            Self::Hugo => "hugo",
        }
    }

    /// Where an app says which version it needs.
    fn named_in(self) -> &'static str {
        match self {
            Self::Node => "engines.node in package.json",
            Self::Npm | Self::Yarn | Self::YarnBerry | Self::Pnpm => "packageManager in package.json",
            Self::Bun => ".bun-version or packageManager in package.json",
            Self::Python => ".python-version or runtime.txt",
            Self::Go => "the go line of go.mod",
            Self::Hugo => "the variable HUGO_VERSION",
            Self::Uv => "nothing does",
        }
    }
}

/// A directory of the app that a tool fills from a lock file. While the key stays the same the layer of an earlier build is shown there,
/// under a writable layer, and the installing steps are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DependencyLayer {
    /// Relative to the app's directory: "node_modules".
    pub path: String,
    /// Named contents that decide what an installation gives, hashed: ("package-lock.json", "9f2c…").
    pub key: Vec<(String, String)>,
    /// Names at its top that tools write at build time and that do not make it another layer: ".cache".
    pub ignored: Vec<String>,
}

/// A directory that a tool keeps between builds of one app; never part of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ToolCache {
    /// "npm"; caches of one name are shared between the builds of one app.
    pub name: String,
    /// Where the tool finds it.
    pub mounted_at: String,
}

/// One command, run in the app's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanStep {
    /// "Installing dependencies".
    pub heading: String,
    pub argv: Vec<String>,
    /// Below the component's variables, above the plan's environment.
    pub environment: BTreeMap<String, String>,
    pub when: StepCondition,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepCondition {
    Always,
    /// Only when the dependencies are not taken from an earlier build.
    DependenciesInstalled,
    /// Only when they are: what an installation would also have done outside of them.
    DependenciesReused,
    /// Only when this path, relative to the app's directory, exists by then; each `*` stands for one name.
    PathExists(String),
}

impl PlanStep {
    pub fn new<S: Into<String>>(heading: &str, argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            heading: heading.to_owned(),
            argv: argv.into_iter().map(Into::into).collect(),
            environment: BTreeMap::new(),
            when: StepCondition::Always,
        }
    }

    #[must_use]
    pub fn when(mut self, condition: StepCondition) -> Self {
        self.when = condition;
        self
    }

    /// As one would type it.
    pub fn text(&self) -> String {
        shlex::try_join(self.argv.iter().map(String::as_str)).unwrap_or_else(|_| self.argv.join(" "))
    }
}

/// What the image can start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Processes {
    /// Process type → command line for a shell.
    pub declared: BTreeMap<String, String>,
    /// When `web` is not declared: the only program in this directory becomes it.
    pub only_program_in: Option<OnlyProgram>,
    /// Where a start command was looked for; evidence when there is none.
    pub looked_for: Vec<String>,
}

/// Programs that the build makes; which ones is known only afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OnlyProgram {
    /// Relative to the app's directory: "bin".
    pub directory: String,
    /// Taken when there are several.
    pub preferred: Option<String>,
}

/// Where a static site's files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StaticOutput {
    /// `output_dir` of the spec, or the app's own directory (".").
    Directory(String),
    /// The first of these that exists after the build.
    FirstOf(Vec<String>),
}
