//! Faults as one line of the build log. The diagnosis says more, and with evidence.

use mainstay_diagnosis::facts::{BuildFault, MemoryRecord, Termination};

#[expect(clippy::too_many_lines, reason = "one flat table")]
pub(super) fn fault(fault: &BuildFault) -> String {
    match fault {
        BuildFault::SourceNotFetchable {
            origin,
            message,
            attempts,
            ..
        } => {
            format!("{origin} could not be fetched in {attempts} attempts: {message}")
        }
        BuildFault::BranchMissing {
            origin,
            branch,
            existing,
        } => {
            format!("{origin} has no branch {branch}; it has {}", list(existing))
        }
        BuildFault::SourceDirMissing { source_dir, existing } => {
            format!(
                "there is no directory {source_dir} in the source; it has {}",
                list(existing)
            )
        }
        BuildFault::SourceRefused { path, rule } => format!("{path}: {rule}"),
        BuildFault::CloneUrlRefused { url, rule } => format!("{url}: {rule}"),
        BuildFault::NothingDetected {
            source_dir,
            files,
            manifests_elsewhere,
        } => format!(
            "nothing to build was found in {source_dir} ({}); elsewhere: {}",
            list(files),
            list(manifests_elsewhere)
        ),
        BuildFault::DockerfileMissing { path, existing } => {
            format!(
                "there is no file {path} in the source; Dockerfiles: {}",
                list(existing)
            )
        }
        BuildFault::DockerfileInvalid { path, line, message } => format!("{path}{}: {message}", at(*line)),
        BuildFault::DockerfileInstruction {
            path,
            line,
            instruction,
            message,
            ..
        } => {
            format!("{path}{}: {instruction}: {message}", at(*line))
        }
        BuildFault::BaseImageNotPullable {
            reference, message, ..
        } => format!("{reference} could not be pulled: {message}"),
        BuildFault::ImageArchitecture {
            reference,
            available,
            node,
        } => {
            format!("{reference} is for {}; this machine is {node}", list(available))
        }
        BuildFault::ToolchainUnavailable {
            tool,
            wanted,
            available,
            ..
        } => {
            format!(
                "{tool} {wanted} cannot be had here; available: {}",
                list(available)
            )
        }
        BuildFault::OutputDirMissing { output_dir, written } => {
            let written: Vec<String> = written
                .iter()
                .map(|(path, files)| format!("{path} ({files} files)"))
                .collect();
            format!(
                "there is no directory {output_dir} after the build; it wrote {}",
                list(&written)
            )
        }
        BuildFault::DiskBudget {
            limit_bytes,
            used_bytes,
        } => {
            format!(
                "the build wrote {} MB; its disk budget is {} MB",
                used_bytes >> 20,
                limit_bytes >> 20
            )
        }
        BuildFault::ExportFailed { message } => format!("the result could not be kept: {message}"),
        BuildFault::Unsupported { what, reason } => format!("{what}: {reason}"),
        // The chain is for the platform's own log.
        BuildFault::Platform { operation, .. } => {
            format!("the platform failed while {operation}; this is not your code")
        }
    }
}

pub(super) fn termination(termination: Option<Termination>) -> String {
    match termination {
        Some(Termination::Exited { code }) => format!("exited with code {code}"),
        Some(Termination::Signaled { signal, .. }) => format!("was ended by signal {signal}"),
        None => "was ended".to_owned(),
    }
}

/// Whether the step survived them or not.
pub(super) fn kills(memory: &MemoryRecord) -> Option<String> {
    let first = memory.kills.first()?;
    let limit = memory.limit_bytes.unwrap_or_default() >> 20;
    let victim = first.process.as_deref().unwrap_or("a process of it");
    Some(format!(
        "warning: the step reached the build's memory limit of {limit} MiB and the kernel killed {victim}"
    ))
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

fn at(line: Option<u32>) -> String {
    line.map_or(String::new(), |line| format!(" line {line}"))
}
