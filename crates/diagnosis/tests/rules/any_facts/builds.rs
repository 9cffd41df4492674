//! Facts of builds.

use mainstay_diagnosis::{Cause, facts::*};
use proptest::{collection::vec, option, prelude::*};

use super::{memory, termination, text, texts, time, variables};
use crate::world::at;

fn step() -> impl Strategy<Value = StepFacts> {
    let origin = prop_oneof![
        Just(StepOrigin::Buildpack),
        Just(StepOrigin::BuildCommand),
        Just(StepOrigin::DockerfileRun),
        Just(StepOrigin::Platform),
    ];
    (
        text(),
        origin,
        option::of(any::<u32>()),
        time(),
        any::<u64>(),
        option::of(termination()),
        memory(),
        option::of(time()),
        any::<bool>(),
    )
        .prop_map(
            |(text, origin, line, started_at, elapsed_ms, termination, memory, last_output_at, disk_full)| {
                StepFacts {
                    text,
                    origin,
                    line,
                    started_at,
                    elapsed_ms,
                    termination,
                    memory,
                    last_output_at,
                    disk_full,
                    pids_limit_hits: Some(elapsed_ms % 2),
                }
            },
        )
}

fn finding() -> impl Strategy<Value = ToolFinding> {
    // Builders name causes of failed steps only.
    let cause = prop_oneof![
        Just(None),
        Just(Some(Cause::LockfileOutOfStep)),
        Just(Some(Cause::DevDependencyMissing)),
        Just(Some(Cause::FileNameCase)),
        Just(Some(Cause::FileMissing)),
        Just(Some(Cause::LockfileMissing)),
        Just(Some(Cause::DependencyNotCompilable)),
        Just(Some(Cause::RuntimeVersionMismatch)),
        Just(Some(Cause::OwnHeapLimit)),
        Just(Some(Cause::MissingBuildEnv)),
    ];
    (cause, text(), option::of(text()), option::of(clue())).prop_map(|(cause, line, subject, clue)| {
        ToolFinding {
            tool: "npm".into(),
            identifier: "EUSAGE".into(),
            cause,
            line,
            subject,
            clue,
        }
    })
}

fn clue() -> impl Strategy<Value = Clue> {
    prop_oneof![
        (text(), text()).prop_map(|(path, rule)| Clue::IgnoredBy { path, rule }),
        text().prop_map(|actual| Clue::SpeltAs { actual }),
        text().prop_map(|path| Clue::LiesAt { path }),
        (text(), text()).prop_map(|(path, source_dir)| Clue::OutsideOfSource { path, source_dir }),
        text().prop_map(|path| Clue::NotCopied { path }),
        texts().prop_map(|files| Clue::OtherLockFiles { files }),
        (text(), text()).prop_map(|(manifest, reason)| Clue::LeftOut { manifest, reason }),
        text().prop_map(|what| Clue::Needs { what }),
        (text(), 1..9_usize).prop_map(|(file, line)| Clue::ReadBy { file, line }),
    ]
}

pub(super) fn build() -> impl Strategy<Value = BuildFacts> {
    (
        vec(step(), 0..3),
        memory(),
        vec(finding(), 0..3),
        variables(),
        build_outcome(),
        any::<u64>(),
    )
        .prop_map(
            |(steps, memory, findings, variables, outcome, time_limit_seconds)| BuildFacts {
                source: None,
                builder: None,
                detection: Vec::new(),
                tools: Vec::new(),
                version_reasons: Vec::new(),
                steps,
                memory,
                started_at: at(0),
                ended_at: at(4000),
                time_limit_seconds,
                findings,
                variables,
                run_time_variables: Vec::new(),
                outcome,
            },
        )
}

fn build_outcome() -> impl Strategy<Value = BuildOutcome> {
    prop_oneof![
        1 => Just(BuildOutcome::Succeeded),
        4 => Just(BuildOutcome::StepFailed),
        1 => Just(BuildOutcome::TimedOut),
        1 => Just(BuildOutcome::Canceled),
        1 => Just(BuildOutcome::Reused(ReusedBuild {
            commit: None,
            deployment_id: "d1".into(),
            built_at: at(0),
            key_parts: Vec::new(),
        })),
        1 => Just(BuildOutcome::Waiting(QueuePosition { scope: QueueScope::App, limit: 1, running: 1, position: 1, since: at(0) })),
        4 => build_fault().prop_map(BuildOutcome::Failed),
    ]
}

fn build_fault() -> impl Strategy<Value = BuildFault> {
    prop_oneof![
        (text(), text(), any::<bool>(), any::<u32>()).prop_map(|(origin, message, network, attempts)| {
            BuildFault::SourceNotFetchable {
                origin,
                message,
                network,
                attempts,
            }
        }),
        (text(), text(), texts()).prop_map(|(origin, branch, existing)| BuildFault::BranchMissing {
            origin,
            branch,
            existing
        }),
        (text(), texts())
            .prop_map(|(source_dir, existing)| BuildFault::SourceDirMissing { source_dir, existing }),
        (text(), text()).prop_map(|(path, rule)| BuildFault::SourceRefused { path, rule }),
        (text(), text()).prop_map(|(url, rule)| BuildFault::CloneUrlRefused { url, rule }),
        (text(), texts(), texts()).prop_map(|(source_dir, files, manifests_elsewhere)| {
            BuildFault::NothingDetected {
                source_dir,
                files,
                manifests_elsewhere,
            }
        }),
        (text(), texts()).prop_map(|(path, existing)| BuildFault::DockerfileMissing { path, existing }),
        (text(), option::of(any::<u32>()), text())
            .prop_map(|(path, line, message)| BuildFault::DockerfileInvalid { path, line, message }),
        (
            text(),
            text(),
            option::of(text()),
            option::of(text()),
            option::of(clue())
        )
            .prop_map(|(path, instruction, missing, ignored_by, clue)| {
                BuildFault::DockerfileInstruction {
                    path,
                    line: None,
                    instruction,
                    message: String::new(),
                    missing,
                    ignored_by,
                    clue,
                }
            }),
        (text(), text(), option::of(any::<u16>()), any::<u32>()).prop_map(
            |(reference, host, status, attempts)| {
                BuildFault::BaseImageNotPullable {
                    reference,
                    host,
                    status,
                    message: String::new(),
                    attempts,
                }
            }
        ),
        (text(), texts()).prop_map(|(reference, available)| BuildFault::ImageArchitecture {
            reference,
            available,
            node: "linux/amd64".into(),
        }),
        (text(), option::of(text()), texts()).prop_map(|(wanted, declared_in, available)| {
            BuildFault::ToolchainUnavailable {
                tool: "node".into(),
                wanted,
                declared_in,
                available,
            }
        }),
        (text(), vec((text(), any::<u64>()), 0..3))
            .prop_map(|(output_dir, written)| BuildFault::OutputDirMissing { output_dir, written }),
        any::<(u64, u64)>().prop_map(|(limit_bytes, used_bytes)| BuildFault::DiskBudget {
            limit_bytes,
            used_bytes
        }),
        text().prop_map(|message| BuildFault::ExportFailed { message }),
        (text(), text()).prop_map(|(what, reason)| BuildFault::Unsupported { what, reason }),
        text().prop_map(|operation| BuildFault::Platform {
            operation,
            error_chain: Vec::new()
        }),
    ]
}
