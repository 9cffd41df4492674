//! The built-in languages. Each is one implementation of [`Buildpack`]: a pure detector, and a plan for the files it accepted.

mod go;
mod html;
mod hugo;
mod node;
mod procfile;
mod python;

use std::fmt;

pub(crate) use node::PRUNING;

use mainstay_diagnosis::facts::BuildFault;

use crate::{
    plan::{BuildPlan, PlanInputs, Procfile, StaticOutput},
    source::SourceTree,
};

/// One way to build a tree.
pub trait Buildpack: fmt::Debug + Send + Sync {
    /// "node-js": as in `BuilderChoice`.
    fn name(&self) -> &'static str;

    /// "Node.js": for people.
    fn title(&self) -> &'static str;

    /// What it builds, in one sentence.
    fn about(&self) -> &'static str;

    /// Changes whenever the same tree would be built otherwise; part of the build key.
    fn version(&self) -> &'static str;

    /// The `environment_slug`s that ask for it.
    fn slugs(&self) -> &'static [&'static str];

    /// Whether the files are its business, and why.
    fn detect(&self, tree: &SourceTree, inputs: &PlanInputs<'_>) -> Detection;

    /// What to do with files that it accepted.
    fn plan(&self, tree: &SourceTree, inputs: &PlanInputs<'_>) -> Result<BuildPlan, BuildFault>;
}

/// A detector's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    pub accepted: bool,
    /// "package.json was found in /", "no package.json in api".
    pub reason: String,
}

impl Detection {
    fn accept(reason: impl Into<String>) -> Self {
        Self {
            accepted: true,
            reason: reason.into(),
        }
    }

    fn refuse(reason: impl Into<String>) -> Self {
        Self {
            accepted: false,
            reason: reason.into(),
        }
    }
}

/// All of them, in the order in which they are asked.
pub fn all() -> &'static [&'static dyn Buildpack] {
    &[
        &node::NodeJs,
        &python::Python,
        &go::Go,
        &hugo::Hugo,
        &html::Html,
        &procfile::ProcfileOnly,
    ]
}

/// Accepts when one of the files is there; says where it looked.
fn detect_by_file(tree: &SourceTree, inputs: &PlanInputs<'_>, files: &[&str]) -> Detection {
    let place = inputs.source_dir;
    match tree.first_file(files) {
        Some(file) => Detection::accept(format!("{file} was found in {place}")),
        None => Detection::refuse(format!("no {} in {place}", one_of(files))),
    }
}

/// "a, b or c".
fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// Process types of the Procfile, which win over a buildpack's own.
fn add_procfile(plan: &mut BuildPlan, tree: &SourceTree) {
    plan.processes
        .looked_for
        .insert(0, "the web line of a Procfile".to_owned());
    let Some(procfile) = Procfile::read(tree) else {
        return;
    };
    let processes = procfile.processes();
    let names: Vec<&str> = processes.keys().map(String::as_str).collect();
    plan.notes.push(format!(
        "Procfile declares {}",
        if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        }
    ));
    plan.processes.declared.extend(processes);
}

/// Where a static site's files are, unless the spec says it: the first of App Platform's usual directories.
fn static_output(inputs: &PlanInputs<'_>, usual: &[&str]) -> Option<StaticOutput> {
    inputs.is_static_site().then(|| match inputs.output_dir {
        Some(directory) => StaticOutput::Directory(directory.to_owned()),
        None => StaticOutput::FirstOf(usual.iter().map(|name| (*name).to_owned()).collect()),
    })
}

/// The directories that App Platform looks at, in its order.
pub(crate) const USUAL_OUTPUT: &[&str] = &["_static", "dist", "public", "build"];
