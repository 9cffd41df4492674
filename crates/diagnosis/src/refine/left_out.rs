//! What a run misses because its build left development dependencies out.

use crate::{
    Cause, NextStep,
    facts::{ExecFault, ExecFaultKind, Facts, InstanceFacts, LeftOut},
    words,
};

/// Whether a module or program of this name belongs to such a package.
pub(super) fn is_of(instance: &InstanceFacts, name: Option<&str>) -> bool {
    name.is_some_and(|name| found(instance, name).is_some())
}

/// Continues "… exited with code 1".
pub(super) fn wording(instance: &InstanceFacts, name: &str) -> String {
    let why = why(instance, name).map_or(String::new(), |why| format!(": {why}"));
    format!(": `{name}` is not in the image{why}")
}

pub(super) fn next_steps(facts: &Facts, instance: &InstanceFacts, name: &str) -> Vec<NextStep> {
    let Some((left_out, package, manifest)) = found(instance, name) else {
        return Vec::new();
    };
    let mut steps = vec![NextStep::new(format!(
        "Move `{package}` to the dependencies of {manifest}."
    ))];
    let by_buildpack = instance
        .builder
        .as_ref()
        .is_some_and(|builder| builder.builder == "node-js");
    if by_buildpack && left_out.reason.contains("NODE_ENV") {
        steps.push(
            NextStep::new("Or set NODE_ENV for the run alone: then the build keeps them.").with_spec(
                words::spec_lines(
                    facts,
                    &["envs:\n- key: NODE_ENV\n  scope: RUN_TIME\n  value: production"],
                ),
            ),
        );
    }
    steps
}

/// A command whose program belongs to such a package: the cause, what completes "… cannot start: ", and the next steps.
pub(crate) fn of_command(
    facts: &Facts,
    instance: &InstanceFacts,
    fault: &ExecFault,
) -> Option<(Cause, String, Vec<NextStep>)> {
    let program = fault
        .argv
        .first()
        .filter(|_| fault.kind == ExecFaultKind::NotFound)?;
    let why = why(instance, program)?;
    Some((
        Cause::DevDependencyMissing,
        format!("`{program}` is not in the image (exit code 127): {why}"),
        next_steps(facts, instance, program),
    ))
}

/// "package.json declares it for development, and `npm prune --omit=dev` removed them in the build".
fn why(instance: &InstanceFacts, name: &str) -> Option<String> {
    let (left_out, package, manifest) = found(instance, name)?;
    let it = if name == package || name.starts_with(&format!("{package}/")) {
        "it".to_owned()
    } else {
        format!("`{package}`")
    };
    Some(format!(
        "{manifest} declares {it} for development, and {}",
        left_out.reason
    ))
}

fn found<'a>(instance: &'a InstanceFacts, name: &str) -> Option<(&'a LeftOut, &'a str, &'a str)> {
    let left_out = instance.builder.as_ref()?.left_out.as_ref()?;
    let (package, manifest) = left_out.find(name)?;
    Some((left_out, package, manifest))
}
