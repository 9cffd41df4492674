//! Builds that could not be carried out for another reason than a user's command ending non-zero.

mod instruction;

use super::{Finding, internal};
use crate::{
    Blame, Cause, Code, Evidence, NextStep, Retry,
    facts::{BuildFacts, BuildFault, Facts},
    words,
};

/// How many names a sentence lists.
const NAMES_MAX: usize = 5;

pub(super) fn finding(facts: &Facts, build: &BuildFacts, fault: &BuildFault) -> Finding {
    if let BuildFault::Platform { operation, .. } = fault {
        return internal::during_build(facts, operation);
    }
    let message = format!(
        "Build of {} could not be carried out: {}.",
        words::component(facts),
        wording(fault)
    );
    let detection = matches!(fault, BuildFault::NothingDetected { .. });
    let verdicts = (detection && !build.detection.is_empty()).then(|| Evidence::Detection {
        verdicts: build.detection.clone(),
    });
    let finding = Finding::new(Code::BuildJobFailed, cause(fault), message)
        .evidence(Evidence::BuildFault(fault.clone()))
        .evidence_if(verdicts)
        .next_all(next_steps(facts, fault));
    match fault {
        BuildFault::SourceNotFetchable { network: true, .. } => {
            finding.blame(Blame::Upstream).retry(Retry::Bounded)
        }
        BuildFault::BaseImageNotPullable { .. } if is_transient(fault) => finding.retry(Retry::Bounded),
        _ => finding,
    }
}

/// Worth another try: the registry was not reached, is overloaded, or limits the rate.
fn is_transient(fault: &BuildFault) -> bool {
    matches!(
        fault,
        BuildFault::BaseImageNotPullable {
            status: None | Some(429 | 500..=599),
            ..
        }
    )
}

fn cause(fault: &BuildFault) -> Cause {
    match fault {
        BuildFault::SourceNotFetchable { .. } => Cause::SourceNotFetchable,
        BuildFault::BranchMissing { .. } => Cause::BranchMissing,
        BuildFault::SourceDirMissing { .. } => Cause::SourceDirMissing,
        BuildFault::SourceRefused { .. } => Cause::SourceRefused,
        BuildFault::CloneUrlRefused { .. } => Cause::CloneUrlRefused,
        BuildFault::NothingDetected { .. } => Cause::NothingDetected,
        BuildFault::DockerfileMissing { .. } => Cause::DockerfileMissing,
        BuildFault::DockerfileInvalid { .. } => Cause::DockerfileInvalid,
        BuildFault::DockerfileInstruction { .. } => instruction::cause(fault),
        BuildFault::BaseImageNotPullable {
            status: Some(401 | 403),
            ..
        } => Cause::BaseImageRefused,
        BuildFault::BaseImageNotPullable {
            status: Some(404), ..
        } => Cause::BaseImageNotFound,
        BuildFault::BaseImageNotPullable {
            status: Some(429), ..
        } => Cause::BaseImageRateLimited,
        BuildFault::BaseImageNotPullable { .. } => Cause::BaseImageNotPullable,
        BuildFault::ImageArchitecture { .. } => Cause::WrongArchitecture,
        BuildFault::ToolchainUnavailable { .. } => Cause::ToolchainUnavailable,
        BuildFault::OutputDirMissing { .. } => Cause::OutputDirMissing,
        BuildFault::DiskBudget { .. } => Cause::DiskBudget,
        BuildFault::ExportFailed { .. } => Cause::ExportFailed,
        BuildFault::Unsupported { .. } => Cause::Unsupported,
        BuildFault::Platform { .. } => Cause::PlatformFault,
    }
}

/// What exactly could not be done; holds the decisive fact.
fn wording(fault: &BuildFault) -> String {
    match fault {
        BuildFault::SourceNotFetchable {
            origin,
            message,
            attempts,
            ..
        } => {
            format!(
                "the source {origin} could not be fetched ({}){}",
                words::excerpt(message, 160),
                tries(*attempts)
            )
        }
        BuildFault::BranchMissing {
            origin,
            branch,
            existing,
        } => {
            format!("{origin} has no branch `{branch}`{}", closest(branch, existing))
        }
        BuildFault::SourceDirMissing { source_dir, existing } => format!(
            "source_dir `{source_dir}` does not exist in the source; directories there: {}",
            words::list(existing, NAMES_MAX)
        ),
        BuildFault::SourceRefused { path, rule } => {
            format!("the source holds `{path}`, which is refused: {rule}")
        }
        BuildFault::CloneUrlRefused { url, rule } => clone_url_refused(url, rule),
        BuildFault::NothingDetected {
            source_dir,
            files,
            manifests_elsewhere,
        } => nothing_detected(source_dir, files, manifests_elsewhere),
        BuildFault::DockerfileMissing { path, existing } => format!(
            "dockerfile_path `{path}` does not exist in the source; Dockerfiles there: {}",
            words::list(existing, NAMES_MAX)
        ),
        BuildFault::DockerfileInvalid { path, line, message } => {
            format!("{}: {}", place(path, *line), words::excerpt(message, 160))
        }
        BuildFault::DockerfileInstruction { .. } => instruction::wording(fault),
        BuildFault::BaseImageNotPullable { .. } => not_pullable(fault),
        BuildFault::ImageArchitecture {
            reference,
            available,
            node,
        } => format!(
            "the image `{reference}` is for {} only; this node is {node}",
            words::list(available, NAMES_MAX)
        ),
        BuildFault::ToolchainUnavailable {
            tool,
            wanted,
            declared_in,
            available,
        } => {
            let declared = declared_in
                .as_ref()
                .map_or(String::new(), |file| format!(" (declared in {file})"));
            if available.is_empty() {
                format!("`{wanted}`{declared} is no version or range of {tool} that can be asked for")
            } else {
                format!(
                    "{tool} {wanted}{declared} cannot be had; available: {}",
                    words::list(available, NAMES_MAX)
                )
            }
        }
        BuildFault::OutputDirMissing { output_dir, written } => output_dir_missing(output_dir, written),
        BuildFault::DiskBudget {
            limit_bytes,
            used_bytes,
        } => format!(
            "it used {} of disk, and its limit is {}",
            words::bytes(*used_bytes),
            words::bytes(*limit_bytes)
        ),
        BuildFault::ExportFailed { message } => {
            format!(
                "the steps succeeded, but storing the image failed ({})",
                words::excerpt(message, 160)
            )
        }
        BuildFault::Platform { operation, .. } => format!("Mainstay itself failed while {operation}"),
        BuildFault::Unsupported { what, reason } => {
            format!("{what} cannot be built by this version: {reason}")
        }
    }
}

fn tries(attempts: u32) -> String {
    if attempts > 1 {
        format!(", {attempts} attempts")
    } else {
        String::new()
    }
}

pub(super) fn place(path: &str, line: Option<u32>) -> String {
    line.map_or_else(|| path.to_owned(), |line| format!("{path} line {line}"))
}

/// The most similar name, or a few of those that exist.
fn closest(wanted: &str, existing: &[String]) -> String {
    match words::nearest(wanted, existing) {
        Some(name) => format!("; did you mean `{name}`?"),
        None if existing.is_empty() => String::new(),
        None => format!("; it has {}", words::quoted_list(existing, NAMES_MAX)),
    }
}

fn nothing_detected(source_dir: &str, files: &[String], elsewhere: &[String]) -> String {
    let found = if files.is_empty() {
        "it is empty".to_owned()
    } else {
        format!("it holds {}", words::list(files, NAMES_MAX))
    };
    let other = match elsewhere {
        [] => String::new(),
        [one] => format!("; `{one}` exists"),
        several => format!("; {} exist", words::quoted_list(several, 3)),
    };
    format!("there is nothing to build in source_dir `{source_dir}`: {found}{other}")
}

fn not_pullable(fault: &BuildFault) -> String {
    let BuildFault::BaseImageNotPullable {
        reference,
        host,
        status,
        message,
        attempts,
    } = fault
    else {
        return String::new();
    };
    let answer = match status {
        Some(status) => format!("was refused with {}", words::http_status(*status)),
        None => format!("failed ({})", words::excerpt(message, 120)),
    };
    format!(
        "pulling `{reference}` from {host} {answer}{}; this is not the app's code",
        tries(*attempts)
    )
}

fn output_dir_missing(output_dir: &str, written: &[(String, u64)]) -> String {
    let wrote = match written {
        [] => "the build wrote no directory".to_owned(),
        several => {
            let places: Vec<String> = several
                .iter()
                .map(|(path, files)| format!("`{path}` ({files} files)"))
                .collect();
            format!("the build wrote {}", words::list(&places, 3))
        }
    };
    format!("the build succeeded, but output_dir `{output_dir}` does not exist; {wrote}")
}

fn clone_url_refused(url: &str, rule: &str) -> String {
    if url.is_empty() {
        format!("the clone URL is refused: {rule}")
    } else {
        format!("the clone URL `{url}` is refused: {rule}")
    }
}

fn next_steps(facts: &Facts, fault: &BuildFault) -> Vec<NextStep> {
    let set = |text: String, field: String| {
        vec![NextStep::new(text).with_spec(words::spec_lines(facts, &[&field]))]
    };
    match fault {
        BuildFault::BranchMissing { branch, existing, .. } => words::nearest(branch, existing)
            .or(existing.first())
            .map_or_else(Vec::new, |name| {
                set(
                    "Use a branch that exists.".to_owned(),
                    format!("git:\n  branch: {name}"),
                )
            }),
        BuildFault::SourceDirMissing { source_dir, existing } => words::nearest(source_dir, existing)
            .or(existing.first())
            .map_or_else(Vec::new, |name| {
                set(
                    "Point source_dir to a directory that exists.".to_owned(),
                    format!("source_dir: {name}"),
                )
            }),
        BuildFault::NothingDetected {
            manifests_elsewhere, ..
        } => nothing_detected_steps(facts, manifests_elsewhere),
        BuildFault::DockerfileMissing { path, existing } => words::nearest(path, existing)
            .or(existing.first())
            .map_or_else(Vec::new, |name| {
                set(
                    "Point dockerfile_path to a file that exists.".to_owned(),
                    format!("dockerfile_path: {name}"),
                )
            }),
        BuildFault::OutputDirMissing { written, .. } => written
            .iter()
            .max_by_key(|(_, files)| *files)
            .map_or_else(Vec::new, |(path, _)| {
                set(
                    format!("Set output_dir to `{path}`."),
                    format!("output_dir: {path}"),
                )
            }),
        BuildFault::DockerfileInstruction { .. } => instruction::next_steps(fault),
        _ => Vec::new(),
    }
}

fn nothing_detected_steps(facts: &Facts, elsewhere: &[String]) -> Vec<NextStep> {
    let mut steps = Vec::new();
    if let Some((directory, _)) = elsewhere.first().and_then(|path| path.rsplit_once('/')) {
        steps.push(
            NextStep::new(format!("Set source_dir to `{directory}`."))
                .with_spec(words::spec_lines(facts, &[&format!("source_dir: {directory}")])),
        );
    }
    let begin = if steps.is_empty() { "Add" } else { "Or add" };
    steps.push(NextStep::new(format!(
        "{begin} what a builder recognises: package.json, requirements.txt (which may be empty), pyproject.toml, go.mod, index.html, a Procfile or a Dockerfile."
    )));
    steps
}
