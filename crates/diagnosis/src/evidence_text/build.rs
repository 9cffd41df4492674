//! Evidence about a build.

use super::{clock, count};
use crate::{
    TimeLimitEvidence, exit_codes,
    facts::{
        BuildFault, BuilderChoice, Clue, DetectionVerdict, QueuePosition, ReusedBuild, SourceFacts,
        StepFacts, StepOrigin, ToolFinding,
    },
    words,
};

pub(super) fn step_lines(step: &StepFacts) -> Vec<String> {
    let origin = match step.origin {
        StepOrigin::Buildpack => "a step of the buildpack",
        StepOrigin::BuildCommand => "the spec's build_command",
        StepOrigin::DockerfileRun => "a RUN instruction",
        StepOrigin::Platform => "a step of the platform",
    };
    let line = step
        .line
        .map_or(String::new(), |line| format!(", Dockerfile line {line}"));
    let end = step.termination.map_or("was still running".to_owned(), |end| {
        exit_codes::termination_story(Some(end))
    });
    let mut lines = vec![
        format!("{} ({origin}{line})", step.text),
        format!("{end}, after {}", words::duration(step.elapsed_ms)),
    ];
    if let (Some(peak), Some(limit)) = (step.memory.peak_bytes, step.memory.limit_bytes) {
        lines.push(format!(
            "memory: peak {}, limit {}",
            words::bytes(peak),
            words::bytes(limit)
        ));
    }
    if step.disk_full {
        lines.push("its disk ran full".to_owned());
    }
    lines
}

pub(super) fn time_limit_lines(limit: &TimeLimitEvidence) -> Vec<String> {
    let mut lines = vec![format!(
        "limit {}",
        words::duration(limit.limit_seconds.saturating_mul(1000))
    )];
    lines.extend(
        limit
            .elapsed_ms
            .map(|elapsed| format!("ended after {}", words::duration(elapsed))),
    );
    lines.extend(
        limit
            .last_output_age_ms
            .map(|age| format!("last output {} before the end", words::duration(age))),
    );
    lines
}

/// What the message has no room for: the paths or references tried, and what exists.
#[expect(clippy::too_many_lines, reason = "one flat table")]
pub(super) fn build_fault_lines(fault: &BuildFault) -> Vec<String> {
    let named = |name: &str, values: &[String]| {
        format!(
            "{name}: {}",
            if values.is_empty() {
                "none".to_owned()
            } else {
                values.join(", ")
            }
        )
    };
    match fault {
        BuildFault::SourceNotFetchable {
            origin,
            message,
            attempts,
            ..
        } => {
            vec![
                format!("{origin}, {}", count(u64::from(*attempts), "attempt")),
                message.clone(),
            ]
        }
        BuildFault::BranchMissing {
            origin,
            branch,
            existing,
        } => {
            vec![
                format!("branch {branch} of {origin}"),
                named("branches there", existing),
            ]
        }
        BuildFault::SourceDirMissing { source_dir, existing } => {
            vec![
                format!("directory {source_dir}"),
                named("directories there", existing),
            ]
        }
        BuildFault::SourceRefused { path, rule } => vec![format!("{path}: {rule}")],
        BuildFault::CloneUrlRefused { url, rule } => vec![format!("{url}: {rule}")],
        BuildFault::NothingDetected {
            source_dir,
            files,
            manifests_elsewhere,
        } => vec![
            format!("directory {source_dir}"),
            named("files there", files),
            named("manifests elsewhere", manifests_elsewhere),
        ],
        BuildFault::DockerfileMissing { path, existing } => {
            vec![format!("file {path}"), named("Dockerfiles there", existing)]
        }
        BuildFault::DockerfileInvalid { path, line, message } => {
            vec![with_line(path, *line), message.clone()]
        }
        BuildFault::DockerfileInstruction {
            path,
            line,
            instruction,
            message,
            clue,
            ..
        } => {
            let mut lines = vec![with_line(path, *line), instruction.clone(), message.clone()];
            lines.extend(clue.as_ref().map(clue_words));
            lines
        }
        BuildFault::BaseImageNotPullable {
            reference,
            host,
            message,
            attempts,
            ..
        } => {
            vec![
                format!(
                    "{reference} from {host}, {}",
                    count(u64::from(*attempts), "attempt")
                ),
                message.clone(),
            ]
        }
        BuildFault::ImageArchitecture {
            reference,
            available,
            node,
        } => {
            vec![
                reference.clone(),
                named("platforms of the image", available),
                format!("platform of this node: {node}"),
            ]
        }
        BuildFault::ToolchainUnavailable {
            tool,
            wanted,
            available,
            ..
        } => {
            vec![format!("{tool} {wanted}"), named("available", available)]
        }
        BuildFault::OutputDirMissing { output_dir, written } => {
            let mut lines = vec![format!("directory {output_dir}")];
            lines.extend(
                written
                    .iter()
                    .map(|(path, files)| format!("written: {path}, {}", count(*files, "file"))),
            );
            lines
        }
        BuildFault::DiskBudget {
            limit_bytes,
            used_bytes,
        } => {
            vec![format!(
                "used {}, limit {}",
                words::bytes(*used_bytes),
                words::bytes(*limit_bytes)
            )]
        }
        BuildFault::ExportFailed { message } => vec![message.clone()],
        BuildFault::Unsupported { what, reason } => vec![format!("{what}: {reason}")],
        BuildFault::Platform { operation, .. } => vec![operation.clone()],
    }
}

fn with_line(path: &str, line: Option<u32>) -> String {
    line.map_or_else(|| path.to_owned(), |line| format!("{path}, line {line}"))
}

pub(super) fn source_line(source: &SourceFacts) -> String {
    let branch = source
        .branch
        .as_ref()
        .map_or(String::new(), |branch| format!(", branch {branch}"));
    let commit = source.commit.as_ref().map_or(String::new(), |commit| {
        format!(", commit {}", commit.get(..12).unwrap_or(commit))
    });
    let directory = if matches!(source.source_dir.as_str(), "" | "/" | ".") {
        String::new()
    } else {
        format!(", source_dir {}", source.source_dir)
    };
    format!("{}{branch}{commit}{directory}", source.origin)
}

pub(super) fn verdict_line(verdict: &DetectionVerdict) -> String {
    format!(
        "{}: {} ({})",
        verdict.builder,
        if verdict.accepted { "yes" } else { "no" },
        verdict.reason
    )
}

pub(super) fn finding_line(finding: &ToolFinding) -> String {
    let identifier = if finding.identifier.is_empty() {
        String::new()
    } else {
        format!(" {}", finding.identifier)
    };
    let clue = finding
        .clue
        .as_ref()
        .map_or(String::new(), |clue| format!("; {}", clue_words(clue)));
    format!("{}{identifier}: {}{clue}", finding.tool, finding.line)
}

/// What the source says, as a remark behind a tool's line.
fn clue_words(clue: &Clue) -> String {
    match clue {
        Clue::IgnoredBy { path, rule } => format!("{path} is excluded by {rule}"),
        Clue::SpeltAs { actual } => format!("the source spells it {actual}"),
        Clue::LiesAt { path } => format!("the source has {path}"),
        Clue::OutsideOfSource { path, source_dir } => {
            format!("{path} lies outside of source_dir {source_dir}")
        }
        Clue::NotCopied { path } => format!("{path} is in the source"),
        Clue::OtherLockFiles { files } => format!("the source has {}", files.join(", ")),
        Clue::LeftOut { manifest, reason } => format!("{manifest} declares it for development; {reason}"),
        Clue::Needs { what } => format!("{what} is missing"),
        Clue::ReadBy { file, line } => format!("{file} line {line} reads it"),
    }
}

pub(super) fn builder_lines(choice: &BuilderChoice) -> Vec<String> {
    let mut lines = vec![format!("{}, because {}", choice.builder, choice.reason)];
    lines.extend(choice.doubts.iter().cloned());
    let programs = choice.programs.iter();
    lines.extend(programs.map(|(program, directory)| format!("made {program} of {directory}")));
    let left_out = choice.left_out.as_ref();
    lines.extend(left_out.map(|left_out| format!("without development dependencies: {}", left_out.reason)));
    lines
}

/// "node 22.11.0", and below why.
pub(super) fn tool_lines(tools: &[(String, String)], reasons: &[(String, String)]) -> Vec<String> {
    let versions: Vec<String> = tools
        .iter()
        .map(|(tool, version)| format!("{tool} {version}"))
        .collect();
    let mut lines = vec![versions.join(", ")];
    lines.extend(reasons.iter().map(|(tool, reason)| format!("{tool}: {reason}")));
    lines.retain(|line| !line.is_empty());
    lines
}

pub(super) fn reused_lines(reused: &ReusedBuild) -> Vec<String> {
    let commit = reused.commit.as_ref().map_or(String::new(), |commit| {
        format!(", commit {}", commit.get(..12).unwrap_or(commit))
    });
    let mut lines = vec![format!(
        "built in deployment {}{commit}, {}",
        reused.deployment_id,
        reused.built_at.strftime("%Y-%m-%d %H:%M UTC")
    )];
    lines.extend(
        reused
            .key_parts
            .iter()
            .map(|(part, value)| format!("{part}: {value}")),
    );
    lines
}

pub(super) fn queue_line(position: &QueuePosition) -> String {
    format!(
        "number {} in the queue since {}; {}",
        position.position,
        clock(position.since),
        position.busy()
    )
}
