//! Static files as they are: nothing is built, unless a build command says so.

use mainstay_diagnosis::facts::BuildFault;

use super::{Buildpack, Detection};
use crate::{
    plan::{BuildPlan, PlanInputs, StaticOutput},
    source::SourceTree,
};

#[derive(Debug)]
pub(super) struct Html;

impl Buildpack for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn title(&self) -> &'static str {
        "Static HTML"
    }

    fn about(&self) -> &'static str {
        "Serves files as they are."
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn slugs(&self) -> &'static [&'static str] {
        &["html"]
    }

    /// A static site without a language is its own files, with or without an index.
    fn detect(&self, tree: &SourceTree, inputs: &PlanInputs<'_>) -> Detection {
        let place = inputs.source_dir;
        if !inputs.is_static_site() {
            return Detection::refuse(format!(
                "it is a {}; plain files are served for static sites only",
                inputs.kind.noun()
            ));
        }
        if tree.has_file("index.html") {
            return Detection::accept(format!("index.html was found in {place}"));
        }
        match tree.entries("").iter().find(|entry| has_html_ending(&entry.name)) {
            Some(page) => Detection::accept(format!("{} was found in {place}", page.name)),
            None if inputs.output_dir.is_some() || inputs.build_command.is_some() => {
                Detection::accept("output_dir or build_command says what is to be served")
            }
            None => Detection::refuse(format!("no HTML file in {place}")),
        }
    }

    fn plan(&self, _tree: &SourceTree, inputs: &PlanInputs<'_>) -> Result<BuildPlan, BuildFault> {
        let directory = inputs.output_dir.unwrap_or(".").to_owned();
        Ok(BuildPlan {
            notes: vec!["the files are served as they are".to_owned()],
            static_output: Some(StaticOutput::Directory(directory)),
            ..BuildPlan::default()
        })
    }
}

fn has_html_ending(name: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("html") || extension.eq_ignore_ascii_case("htm")
    })
}
