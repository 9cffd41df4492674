//! Hugo: static sites from templates and texts.

mod themes;

use std::collections::BTreeMap;

use mainstay_diagnosis::facts::BuildFault;

use super::{Buildpack, Detection, one_of, static_output};
use crate::{
    plan::{BuildPlan, PlanInputs, PlanStep, Tool, ToolCache, ToolchainNeed},
    source::SourceTree,
};

/// Where Hugo keeps what it fetched and computed, in a build container.
const CACHE: &str = "/cache/hugo";
const OWN_CONFIGURATION: &[&str] = &["hugo.toml", "hugo.yaml", "hugo.yml", "hugo.json"];
/// Names that other programs have for theirs as well.
const OLDER_CONFIGURATION: &[&str] = &["config.toml", "config.yaml", "config.yml", "config.json"];
/// What a site has beside its configuration.
const DIRECTORIES: &[&str] = &["content", "layouts", "archetypes", "themes"];

#[derive(Debug)]
pub(super) struct Hugo;

impl Buildpack for Hugo {
    fn name(&self) -> &'static str {
        "hugo"
    }

    fn title(&self) -> &'static str {
        "Hugo"
    }

    fn about(&self) -> &'static str {
        "Makes a static site of templates and texts by Hugo."
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn slugs(&self) -> &'static [&'static str] {
        &["hugo"]
    }

    fn detect(&self, tree: &SourceTree, inputs: &PlanInputs<'_>) -> Detection {
        let place = inputs.source_dir;
        if !inputs.is_static_site() {
            return Detection::refuse(format!("it is a {}; Hugo makes static sites", inputs.kind.noun()));
        }
        if let Some(file) = tree.first_file(OWN_CONFIGURATION) {
            return Detection::accept(format!("{file} was found in {place}"));
        }
        let older = tree
            .first_file(OLDER_CONFIGURATION)
            .or_else(|| tree.has_directory("config/_default").then_some("config/_default"));
        let directory = DIRECTORIES.iter().find(|name| tree.has_directory(name));
        match (older, directory) {
            (Some(file), Some(directory)) => {
                Detection::accept(format!("{file} and {directory} were found in {place}"))
            }
            _ => Detection::refuse(format!("no {} in {place}", one_of(OWN_CONFIGURATION))),
        }
    }

    fn plan(&self, tree: &SourceTree, inputs: &PlanInputs<'_>) -> Result<BuildPlan, BuildFault> {
        let wanted = inputs
            .variable("HUGO_VERSION")
            .map(|version| version.trim_start_matches('v').to_owned());
        Ok(BuildPlan {
            notes: vec!["the site is made by hugo, into public".to_owned()],
            warnings: themes::missing(tree),
            toolchains: vec![ToolchainNeed {
                tool: Tool::Hugo,
                declared_in: wanted.as_ref().map(|_| "the variable HUGO_VERSION".to_owned()),
                wanted,
                at_run_time: false,
            }],
            build_environment: BTreeMap::from([("HUGO_CACHEDIR".to_owned(), CACHE.to_owned())]),
            caches: vec![ToolCache {
                name: "hugo".to_owned(),
                mounted_at: CACHE.to_owned(),
            }],
            steps: vec![PlanStep::new("Making the site", ["hugo"])],
            static_output: static_output(inputs, &["public"]),
            ..BuildPlan::default()
        })
    }
}
