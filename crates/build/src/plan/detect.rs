//! Which builder builds this tree. Every detector is asked, also after one was chosen: its verdict is evidence.
//!
//! 1. `dockerfile_path` is set → Dockerfile.
//! 2. No `environment_slug`, and a `Dockerfile` in the source directory → Dockerfile.
//! 3. The buildpack of `environment_slug`, when it accepts the files.
//! 4. The first buildpack that accepts them, in the order of [`crate::buildpacks::all`].

use mainstay_diagnosis::facts::{BuildFault, BuilderChoice, DetectionVerdict};

use super::PlanInputs;
use crate::{
    buildpacks::{self, Buildpack},
    manifests,
    source::SourceTree,
};

/// How a component is built.
#[derive(Debug, Clone, Copy)]
pub enum Strategy {
    /// By the Dockerfile of [`Chosen::dockerfile`].
    Dockerfile,
    Buildpack(&'static dyn Buildpack),
}

/// The choice and all that was considered.
#[derive(Debug)]
pub struct Chosen {
    pub strategy: Strategy,
    pub choice: BuilderChoice,
    /// Relative to the root of the source; empty for buildpacks.
    pub dockerfile: String,
    pub verdicts: Vec<DetectionVerdict>,
}

/// Nothing can build it.
#[derive(Debug)]
pub struct Refusal {
    pub fault: BuildFault,
    pub verdicts: Vec<DetectionVerdict>,
}

/// Chooses a builder. `repository` is the whole source, `tree` the source directory in it.
pub fn choose(
    repository: &SourceTree,
    tree: &SourceTree,
    inputs: &PlanInputs<'_>,
) -> Result<Chosen, Refusal> {
    let dockerfile = dockerfile_verdict(tree, inputs);
    let opinions = opinions(tree, inputs);
    let mut verdicts = vec![dockerfile.clone()];
    verdicts.extend(opinions.iter().map(|(_, verdict)| verdict.clone()));
    if dockerfile.accepted {
        return with_dockerfile(repository, inputs, dockerfile, verdicts);
    }
    match preferred(&opinions, inputs) {
        Some((buildpack, choice)) => Ok(Chosen {
            strategy: Strategy::Buildpack(buildpack),
            choice,
            dockerfile: String::new(),
            verdicts,
        }),
        None => Err(Refusal {
            fault: nothing_fits(repository, tree, inputs),
            verdicts,
        }),
    }
}

type Opinion = (&'static dyn Buildpack, DetectionVerdict);

fn opinions(tree: &SourceTree, inputs: &PlanInputs<'_>) -> Vec<Opinion> {
    buildpacks::all()
        .iter()
        .map(|buildpack| {
            let detection = buildpack.detect(tree, inputs);
            let verdict = DetectionVerdict {
                builder: buildpack.name().to_owned(),
                accepted: detection.accepted,
                reason: detection.reason,
            };
            (*buildpack, verdict)
        })
        .collect()
}

fn dockerfile_verdict(tree: &SourceTree, inputs: &PlanInputs<'_>) -> DetectionVerdict {
    let (accepted, reason) = match (inputs.dockerfile_path, inputs.environment_slug) {
        (Some(path), _) => (true, format!("dockerfile_path is {path}")),
        (None, Some(slug)) => (
            false,
            format!("environment_slug is {slug}, and dockerfile_path is not set"),
        ),
        (None, None) if tree.has_file("Dockerfile") => {
            (true, format!("Dockerfile was found in {}", inputs.source_dir))
        }
        (None, None) => (
            false,
            format!(
                "dockerfile_path is not set, and there is no Dockerfile in {}",
                inputs.source_dir
            ),
        ),
    };
    DetectionVerdict {
        builder: "dockerfile".to_owned(),
        accepted,
        reason,
    }
}

fn with_dockerfile(
    repository: &SourceTree,
    inputs: &PlanInputs<'_>,
    verdict: DetectionVerdict,
    verdicts: Vec<DetectionVerdict>,
) -> Result<Chosen, Refusal> {
    let path = match inputs.dockerfile_path {
        Some(path) => path.trim_start_matches("./").trim_matches('/').to_owned(),
        None => join(inputs.source_dir, "Dockerfile"),
    };
    if !repository.has_file(&path) {
        let fault = BuildFault::DockerfileMissing {
            path,
            existing: manifests::dockerfiles(repository),
        };
        return Err(Refusal { fault, verdicts });
    }
    Ok(Chosen {
        strategy: Strategy::Dockerfile,
        choice: BuilderChoice::new(verdict.builder, verdict.reason),
        dockerfile: path,
        verdicts,
    })
}

fn join(directory: &str, name: &str) -> String {
    match directory.trim_matches('/') {
        "" => name.to_owned(),
        directory => format!("{directory}/{name}"),
    }
}

/// The slug is a wish: where its buildpack finds nothing to do, the files decide, and the reason says so.
fn preferred(
    opinions: &[Opinion],
    inputs: &PlanInputs<'_>,
) -> Option<(&'static dyn Buildpack, BuilderChoice)> {
    let choice = |buildpack: &'static dyn Buildpack, reason: String| {
        (buildpack, BuilderChoice::new(buildpack.name(), reason))
    };
    let accepted = || opinions.iter().filter(|(_, verdict)| verdict.accepted);
    let slug = inputs.environment_slug;
    let by_slug = slug.and_then(|slug| accepted().find(|(buildpack, _)| buildpack.slugs().contains(&slug)));
    if let (Some((buildpack, verdict)), Some(slug)) = (by_slug, slug) {
        return Some(choice(
            *buildpack,
            format!("environment_slug is {slug}, and {}", verdict.reason),
        ));
    }
    let (buildpack, verdict) = accepted().next()?;
    let reason = match slug {
        Some(slug) => format!(
            "{}; nothing for environment_slug {slug} was found",
            verdict.reason
        ),
        None => verdict.reason.clone(),
    };
    Some(choice(*buildpack, reason))
}

fn nothing_fits(repository: &SourceTree, tree: &SourceTree, inputs: &PlanInputs<'_>) -> BuildFault {
    if let Some(unsupported) = manifests::unsupported_language(tree) {
        return unsupported;
    }
    BuildFault::NothingDetected {
        source_dir: inputs.source_dir.to_owned(),
        files: manifests::names(tree),
        manifests_elsewhere: manifests::elsewhere(repository, inputs.source_dir),
    }
}
