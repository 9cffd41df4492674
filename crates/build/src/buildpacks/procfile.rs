//! Only a Procfile: the files and the processes, no language. For scripts and programs that are committed as they run.

use mainstay_diagnosis::facts::BuildFault;

use super::{Buildpack, Detection, add_procfile};
use crate::{
    plan::{BuildPlan, PlanInputs},
    source::SourceTree,
};

#[derive(Debug)]
pub(super) struct ProcfileOnly;

impl Buildpack for ProcfileOnly {
    fn name(&self) -> &'static str {
        "procfile"
    }

    fn title(&self) -> &'static str {
        "Procfile"
    }

    fn about(&self) -> &'static str {
        "Runs the command of a Procfile in files that no other buildpack accepts."
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn slugs(&self) -> &'static [&'static str] {
        &[]
    }

    fn detect(&self, tree: &SourceTree, inputs: &PlanInputs<'_>) -> Detection {
        if inputs.is_static_site() {
            return Detection::refuse("a static site has no processes");
        }
        super::detect_by_file(tree, inputs, &["Procfile"])
    }

    fn plan(&self, tree: &SourceTree, _inputs: &PlanInputs<'_>) -> Result<BuildPlan, BuildFault> {
        let mut plan = BuildPlan::default();
        add_procfile(&mut plan, tree);
        Ok(plan)
    }
}
