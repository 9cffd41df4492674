//! Dockerfile instructions that are no process, and programs of a `RUN` that could not be started.

use super::place;
use crate::{
    Cause, NextStep,
    facts::{BuildFault, Clue},
    words,
};

/// Where an instruction looks for what it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place<'a> {
    Context,
    /// `COPY --from=build`: an earlier stage or an image.
    Image(&'a str),
    /// `RUN ["/program"]`: the image that is being built.
    Program,
    /// `--from=` itself names nothing that exists.
    Stage,
}

fn looks_in<'a>(instruction: &'a str, missing: &str) -> Place<'a> {
    let from = instruction
        .split_whitespace()
        .find_map(|word| word.strip_prefix("--from="));
    match from {
        Some(name) if name == missing => Place::Stage,
        Some(name) => Place::Image(name),
        None if instruction.starts_with("RUN") && !instruction.contains("--mount") => Place::Program,
        None => Place::Context,
    }
}

pub(super) fn cause(fault: &BuildFault) -> Cause {
    let BuildFault::DockerfileInstruction {
        instruction,
        missing,
        ignored_by,
        clue,
        ..
    } = fault
    else {
        return Cause::DockerfileInstructionFailed;
    };
    match missing.as_deref().map(|missing| looks_in(instruction, missing)) {
        _ if ignored_by.is_some() => Cause::FileExcludedByIgnoreRule,
        Some(Place::Context) if matches!(clue, Some(Clue::SpeltAs { .. })) => Cause::FileNameCase,
        Some(Place::Context) => Cause::FileNotInBuildContext,
        Some(Place::Image(_)) => Cause::FileMissing,
        Some(Place::Program) => Cause::CommandNotFound,
        Some(Place::Stage) | None => Cause::DockerfileInstructionFailed,
    }
}

/// "Dockerfile line 5: `main.py` is not in the build context; `backend/main.py` is".
pub(super) fn wording(fault: &BuildFault) -> String {
    let BuildFault::DockerfileInstruction {
        path,
        line,
        instruction,
        message,
        missing,
        ignored_by,
        clue,
    } = fault
    else {
        return String::new();
    };
    let place = place(path, *line);
    let instruction_words = words::excerpt(instruction, 80);
    let missing = missing
        .as_deref()
        .map(|missing| (missing, looks_in(instruction, missing)));
    match (missing, ignored_by) {
        (Some((file, _)), Some(rule)) => {
            format!(
                "{place}: `{file}` is in the source, but the ignore rule `{rule}` keeps it out of the build context"
            )
        }
        (Some((file, Place::Context)), None) => format!(
            "{place}: `{file}` is not in the build context (`{instruction_words}`){}",
            clue.as_ref().map_or_else(String::new, where_instead)
        ),
        (Some((file, Place::Image(name))), None) => {
            format!("{place}: `{file}` does not exist in `{name}` (`{instruction_words}`)")
        }
        (Some((file, Place::Program)), None) => {
            format!("{place}: `{file}`, which `{instruction_words}` starts, does not exist in the image")
        }
        (Some((_, Place::Stage)) | None, _) => {
            format!(
                "{place}: `{instruction_words}` failed: {}",
                words::excerpt(message, 160)
            )
        }
    }
}

/// Continues "`x` is not in the build context".
fn where_instead(clue: &Clue) -> String {
    match clue {
        Clue::IgnoredBy { rule, .. } => format!(": it is not in the commit, because {rule} excludes it"),
        Clue::SpeltAs { actual } => format!("; `{actual}` is, which differs in letter case"),
        Clue::LiesAt { path } => format!("; `{path}` is"),
        Clue::OutsideOfSource { path, source_dir } => {
            format!("; `{path}` lives outside of it: the context is source_dir `{source_dir}`")
        }
        _ => String::new(),
    }
}

pub(super) fn next_steps(fault: &BuildFault) -> Vec<NextStep> {
    let BuildFault::DockerfileInstruction {
        instruction,
        missing: Some(file),
        ignored_by,
        clue,
        ..
    } = fault
    else {
        return Vec::new();
    };
    let text = match (ignored_by, looks_in(instruction, file), clue) {
        (Some(rule), _, _) => format!("Take the rule `{rule}` out, or add `!{file}` after it."),
        (None, Place::Context, Some(Clue::IgnoredBy { rule, .. })) => {
            format!("Take {rule} out and commit `{file}`, or make it in the build.")
        }
        (None, Place::Context, Some(Clue::SpeltAs { actual } | Clue::LiesAt { path: actual })) => {
            format!("Name it `{actual}`: paths count from source_dir, the root of the build context.")
        }
        (None, Place::Context, Some(Clue::OutsideOfSource { path, .. })) => {
            format!("Set source_dir to a directory above `{path}`, and dockerfile_path to this Dockerfile.")
        }
        (None, Place::Context, _) => {
            format!(
                "Commit `{file}`, or correct the path: it counts from source_dir, the root of the build context."
            )
        }
        (None, Place::Image(name), _) => {
            format!("Look where `{name}` has the file; the paths of `--from` count from its root.")
        }
        (None, Place::Program, _) => {
            format!("Install `{file}` in an instruction before, or correct its path.")
        }
        (None, Place::Stage, _) => return Vec::new(),
    };
    vec![NextStep::new(text)]
}
