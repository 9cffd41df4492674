//! The steps of a buildpack build, one after the other, and what is between them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use mainstay_diagnosis::facts::StepOrigin;
use mainstay_shim::log::LogSource;

use super::{
    buildpack::Site,
    describe,
    run::{Run, inputs, store_fault},
};
use crate::{
    buildpacks::PRUNING,
    execute::{BuildEnd, DiskWatch, Ending, Snapshot, StepCommand},
    findings::{Before, Findings, why_left_out},
    plan::{PlanStep, StepCondition},
    source::platform_fault,
    transcript::seconds,
};

/// What makes package managers leave development dependencies out.
const PRODUCTION: &str = "NODE_ENV=production in the build's variables";

impl Run<'_> {
    pub(super) async fn run_steps(&mut self, site: &mut Site) -> Result<(), BuildEnd> {
        self.transcript.section("build");
        let reused = site.dependencies.are_reused();
        if reused {
            self.transcript
                .done("dependencies have not changed: using those of an earlier build");
        }
        for step in site.plan.steps.clone() {
            if site.is_due(&step, reused) {
                self.before(site, &step)?;
                self.run_step(site, command_of(&step), &step.heading).await?;
            }
        }
        site.seal(self)?;
        if let Some(command) = self.request.build_command.clone() {
            let argv = ["bash", "-e", "-c", &command].map(str::to_owned).to_vec();
            let step = StepCommand {
                text: command,
                origin: StepOrigin::BuildCommand,
                argv,
                env: BTreeMap::new(),
                mounts: Vec::new(),
            };
            self.run_step(site, step, "Running the build command").await?;
        }
        self.note_left_out(site);
        Ok(())
    }

    /// Around installing steps the app's directory is looked at, and their result is sealed before anything else runs.
    fn before(&mut self, site: &mut Site, step: &PlanStep) -> Result<(), BuildEnd> {
        let installs = step.when == StepCondition::DependenciesInstalled;
        if installs && site.before_install.is_none() && !site.plan.dependencies.is_empty() {
            site.before_install = Some(site.snapshot()?);
        } else if !installs && site.before_install.is_some() {
            site.seal(self)?;
        }
        Ok(())
    }

    async fn run_step(
        &mut self,
        site: &mut Site,
        command: StepCommand,
        heading: &str,
    ) -> Result<(), BuildEnd> {
        self.transcript.step(heading);
        self.transcript.detail(&format!("$ {}", command.text));
        let fault = |error| BuildEnd::Failed(store_fault("preparing a build step", &error));
        let mut mounts = site.mounts.clone();
        mounts.extend(site.dependencies.mounts().map_err(fault)?);
        let mut growing = vec![site.workspace.draft_directory()];
        growing.extend(site.dependencies.growing());
        site.runner.disk = DiskWatch::new(growing, self.request.limits.disk_bytes);
        let findings = Findings::new(site.findings.leaving_out(self.left_out(&command)));
        let end = site.runner.run(StepCommand { mounts, ..command }, findings).await;
        let took = seconds(std::time::Duration::from_millis(end.facts.elapsed_ms));
        let how = describe::termination(end.facts.termination);
        if let Some(kills) = describe::kills(&end.facts.memory) {
            self.transcript.tool(LogSource::Platform, &kills);
        }
        self.record.step(end.facts, end.findings);
        match end.ending {
            Ending::Succeeded => {
                self.transcript.done(&took);
                Ok(())
            }
            Ending::Failed => {
                self.transcript.failed(&format!("{how} after {took}"));
                Err(BuildEnd::StepFailed)
            }
            Ending::TimedOut => Err(BuildEnd::TimedOut),
            Ending::Canceled => Err(BuildEnd::Canceled),
            Ending::Fault(fault) => Err(BuildEnd::Failed(fault)),
        }
    }

    /// Why this step may miss development dependencies.
    fn left_out(&self, command: &StepCommand) -> Option<String> {
        let is_production = inputs(&self.request, "", "").is_production();
        let steps = self.record.facts.steps.iter();
        let steps: Vec<String> = steps
            .filter(|step| step.origin != StepOrigin::Platform)
            .map(|step| step.text.clone())
            .collect();
        why_left_out(Before {
            steps: &steps,
            step: &command.text,
            production: is_production.then_some(PRODUCTION),
        })
    }

    /// What the image has not, and why. The plan's steps count also where an earlier build's dependencies were taken.
    fn note_left_out(&mut self, site: &Site) {
        let is_production = inputs(&self.request, "", "").is_production();
        let mut steps: Vec<String> = site.plan.steps.iter().map(PlanStep::text).collect();
        let why = |steps: &[String]| {
            why_left_out(Before {
                steps,
                step: "",
                production: is_production.then_some(PRODUCTION),
            })
        };
        let is_pruned = site.plan.steps.iter().any(|step| step.heading == PRUNING);
        let by_plan = why(&steps).filter(|_| is_pruned);
        steps.extend(self.request.build_command.clone());
        let reason = why(&steps).map(|reason| match by_plan {
            Some(by_plan) if by_plan == reason => format!("{reason}, because of {PRODUCTION}"),
            _ => reason,
        });
        if let Some(builder) = &mut self.record.facts.builder {
            builder.left_out = site.findings.all_left_out(reason);
        }
    }
}

impl Site {
    fn is_due(&self, step: &PlanStep, reused: bool) -> bool {
        match &step.when {
            StepCondition::Always => true,
            StepCondition::DependenciesInstalled => !reused,
            StepCondition::DependenciesReused => reused,
            StepCondition::PathExists(pattern) => self.path_exists(pattern),
        }
    }

    /// Looks in the app, and where the path lies in a dependency layer, there.
    fn path_exists(&self, pattern: &str) -> bool {
        let path = format!("{}/{pattern}", self.workspace.app_directory());
        let in_dependencies = self
            .dependencies
            .directories()
            .into_iter()
            .find_map(|(target, directory)| {
                let rest = path.strip_prefix(&target)?.strip_prefix('/')?;
                Some(exists(&directory, rest))
            });
        in_dependencies.unwrap_or_else(|| exists(&self.workspace.app(), pattern))
    }

    fn snapshot(&self) -> Result<Snapshot, BuildEnd> {
        let app = self.workspace.app();
        let left_out: Vec<PathBuf> = self
            .plan
            .dependencies
            .iter()
            .map(|layer| app.join(&layer.path))
            .collect();
        Snapshot::take(&app, &left_out)
            .map_err(|error| BuildEnd::Failed(platform_fault("looking at the source", &error)))
    }

    /// Makes what was installed a layer; one that later builds may use, if nothing was written beside it.
    fn seal(&mut self, run: &Run<'_>) -> Result<(), BuildEnd> {
        let Some(before) = self.before_install.take() else {
            return Ok(());
        };
        let after = self.snapshot()?;
        let changed = before.first_change(&after);
        if let Some(path) = changed {
            let path = path.strip_prefix(self.workspace.app()).unwrap_or(path);
            run.transcript.detail(&format!(
                "the installation also wrote {}: it is done again in every build",
                path.display()
            ));
        }
        self.dependencies
            .seal(changed.is_none())
            .map_err(|error| BuildEnd::Failed(store_fault("keeping the dependencies", &error)))
    }
}

fn command_of(step: &PlanStep) -> StepCommand {
    StepCommand {
        text: step.text(),
        origin: StepOrigin::Buildpack,
        argv: step.argv.clone(),
        env: step.environment.clone(),
        mounts: Vec::new(),
    }
}

/// Whether a path exists below a directory; each `*` stands for any one name.
fn exists(directory: &Path, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('/') else {
        return directory.join(pattern).exists();
    };
    if first != "*" {
        return exists(&directory.join(first), rest);
    }
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| exists(&entry.path(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_one_name_per_star() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("lib/python3.11/site-packages/django")).unwrap();
        assert!(exists(root.path(), "lib/*/site-packages/django"));
        assert!(!exists(root.path(), "lib/*/django"));
        assert!(!exists(root.path(), "nowhere/*/x"));
    }
}
