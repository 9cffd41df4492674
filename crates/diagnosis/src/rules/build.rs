//! Builds: our timer first, then memory kills, then the user's step; what could not be carried out at all is in `build_fault.rs`.

use jiff::{SignedDuration, Timestamp};

use super::{Finding, build_fault, internal, variables};
use crate::{
    Cause, Code, Evidence, MemoryEvidence, NextStep, StepTime, TimeLimitEvidence, Verdict, exit_codes,
    facts::{
        BuildFacts, BuildOutcome, BuilderChoice, Facts, MemoryKill, MemoryRecord, QueuePosition, ReusedBuild,
        StepFacts, StepOrigin, Termination,
    },
    refine,
    rules::memory,
    words,
};

/// A step that printed nothing for this long before the time limit counts as stalled.
const STALLED_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// The kill counter may be read this much after the step's end.
const COUNTER_LAG_MAX: SignedDuration = SignedDuration::from_secs(2);

pub(super) fn diagnose(facts: &Facts, build: &BuildFacts) -> Verdict {
    match &build.outcome {
        BuildOutcome::Succeeded | BuildOutcome::Canceled => Verdict::NoFailure,
        BuildOutcome::Reused(reused) => Verdict::Note(self::reused(facts, build, reused).into_reason(facts)),
        BuildOutcome::Waiting(position) => Verdict::Waiting(waiting(facts, position).into_reason(facts)),
        BuildOutcome::TimedOut => Verdict::Failure(timed_out(facts, build).into_reason(facts)),
        BuildOutcome::StepFailed => Verdict::Failure(step_failed(facts, build).into_reason(facts)),
        BuildOutcome::Failed(fault) => Verdict::Failure(
            with_context(build_fault::finding(facts, build, fault), build).into_reason(facts),
        ),
    }
}

/// What every failed build shows behind the decisive evidence.
fn with_context(finding: Finding, build: &BuildFacts) -> Finding {
    let times = build.steps.iter().map(|step| StepTime {
        text: step.text.clone(),
        elapsed_ms: step.elapsed_ms,
    });
    let times: Vec<StepTime> = times.collect();
    let doubts = build
        .builder
        .iter()
        .flat_map(|builder| builder.doubts.iter().cloned());
    finding
        .warn_all(doubts.collect::<Vec<_>>())
        .evidence_if(build.builder.clone().map(BuilderChoice::into_evidence))
        .evidence_if(build.source.clone().map(Evidence::Source))
        .evidence_if(
            (!build.tools.is_empty() || !build.version_reasons.is_empty()).then(|| Evidence::ToolVersions {
                tools: build.tools.clone(),
                reasons: build.version_reasons.clone(),
            }),
        )
        .evidence_if((times.len() > 1).then_some(Evidence::StepTimes { steps: times }))
        .evidence_if(variables(&build.variables))
}

fn step_failed(facts: &Facts, build: &BuildFacts) -> Finding {
    let Some(step) = build.steps.last() else {
        return internal::contradiction(
            facts,
            "its build ended in a failed step, and no step was recorded",
        );
    };
    let finding = match (step.termination, decisive_kill(build, step)) {
        (Some(end), _) if end.is_success() => {
            internal::contradiction(facts, "its build ended in a failed step, and that step succeeded")
        }
        (_, Some(kill)) => out_of_memory(facts, build, step, kill),
        (None, None) => internal::contradiction(facts, "the exit status of the failed build step was lost"),
        (Some(end), None) if step.origin == StepOrigin::Platform => platform_step(facts, step, end),
        (Some(end), None) => exit_non_zero(facts, build, step, end),
    };
    with_context(finding, build)
}

/// The kill that was counted while the failing step ran.
fn decisive_kill<'a>(build: &'a BuildFacts, step: &'a StepFacts) -> Option<&'a MemoryKill> {
    let elapsed = SignedDuration::from_millis(i64::try_from(step.elapsed_ms).unwrap_or(i64::MAX));
    let end = step
        .started_at
        .checked_add(elapsed + COUNTER_LAG_MAX)
        .unwrap_or(Timestamp::MAX);
    let during = |kill: &&MemoryKill| kill.at >= step.started_at && kill.at <= end;
    step.memory
        .kills
        .first()
        .or_else(|| build.memory.kills.iter().find(during))
}

fn out_of_memory(facts: &Facts, build: &BuildFacts, step: &StepFacts, kill: &MemoryKill) -> Finding {
    let memory = better_record(&step.memory, &build.memory);
    let hidden = hidden_by_shell(step);
    let victim = kill
        .process
        .as_ref()
        .map_or("a process".to_owned(), |name| format!("`{name}`"));
    let afterwards = match (hidden, step.termination) {
        (true, Some(end)) => format!(
            "; the step itself then {}",
            exit_codes::termination_story(Some(end))
        ),
        _ => String::new(),
    };
    let message = format!(
        "Build of {} failed: the kernel killed {victim} for memory ({}) while {} ran{afterwards}.",
        words::component(facts),
        memory::against_limit(&memory, None),
        step_words(step),
    );
    let cause = if hidden {
        Cause::ChildKilledForMemory
    } else {
        Cause::MemoryLimit
    };
    Finding::new(Code::BuildJobOutOfMemory, cause, message)
        .evidence(Evidence::Memory(MemoryEvidence {
            limit_bytes: memory.limit_bytes,
            peak_bytes: memory.peak_bytes,
            size_slug: String::new(),
            kills: if step.memory.kills.is_empty() {
                build.memory.kills.clone()
            } else {
                step.memory.kills.clone()
            },
            hidden_by_shell: hidden,
            growth: Vec::new(),
            fitting_size: None,
        }))
        .evidence(Evidence::Step(step.clone()))
        .next(NextStep::new(
            "Let the step do less at once: fewer parallel workers or jobs, no source maps, a smaller bundle.",
        ))
        .next(NextStep::new(
            "Or raise the build's memory limit in the platform's settings.",
        ))
}

/// The step's own numbers where it has them, else the whole build's.
fn better_record(step: &MemoryRecord, build: &MemoryRecord) -> MemoryRecord {
    MemoryRecord {
        limit_bytes: step.limit_bytes.or(build.limit_bytes),
        peak_bytes: step.peak_bytes.or(build.peak_bytes),
        kills: Vec::new(),
    }
}

/// A step that was killed itself ends by SIGKILL, or its shell passes 137 on; any other end hides the kill.
fn hidden_by_shell(step: &StepFacts) -> bool {
    step.termination.is_some_and(|end| end.shell_code() != 137)
}

fn exit_non_zero(facts: &Facts, build: &BuildFacts, step: &StepFacts, end: Termination) -> Finding {
    let refined = refine::step(facts, build, step);
    let cause = refined
        .as_ref()
        .map_or_else(|| plain_cause(step, end), |refined| refined.cause);
    let wording = refined.as_ref().map_or_else(
        || plain_clause(facts, build, cause),
        |refined| refined.wording.clone(),
    );
    let message = format!(
        "Build of {} failed: {} {}{wording}.",
        words::component(facts),
        step_words(step),
        exit_codes::termination_story(Some(end)),
    );
    let mut finding = Finding::new(Code::BuildJobExitNonZero, cause, message)
        .evidence(Evidence::Step(step.clone()))
        .evidence_if(findings(build))
        .warn_all(survived_kills(build))
        .warn_all(run_time_only(build).filter(|_| cause == Cause::StepFailed));
    if let Some(refined) = refined {
        finding = finding
            .evidence_if(refined.hint.map(Evidence::LogHint))
            .next_all(refined.next_steps);
    }
    finding
}

/// "`npm ci`", "`RUN make` (Dockerfile line 7)".
fn step_words(step: &StepFacts) -> String {
    let text = words::excerpt(&step.text, 80);
    match (step.origin, step.line) {
        (StepOrigin::DockerfileRun, Some(line)) => format!("`{text}` (Dockerfile line {line})"),
        (StepOrigin::BuildCommand, _) => format!("the build command `{text}`"),
        _ => format!("`{text}`"),
    }
}

fn findings(build: &BuildFacts) -> Option<Evidence> {
    (!build.findings.is_empty()).then(|| Evidence::ToolFindings {
        findings: build.findings.clone(),
    })
}

fn plain_cause(step: &StepFacts, end: Termination) -> Cause {
    match end {
        _ if step.disk_full => Cause::DiskFull,
        _ if step.pids_limit_hits.is_some_and(|hits| hits > 0) => Cause::ProcessLimit,
        Termination::Exited { code: 126 } => Cause::NotExecutable,
        Termination::Exited { code: 127 } => Cause::CommandNotFound,
        Termination::Exited { .. } => Cause::StepFailed,
        Termination::Signaled { signal: 6, .. } => Cause::Aborted,
        Termination::Signaled {
            signal: 4 | 7 | 8 | 11,
            ..
        } => Cause::Crashed,
        Termination::Signaled { signal: 9, .. } => Cause::KilledByUnknown,
        Termination::Signaled { .. } => Cause::EndedBySignal,
    }
}

/// What a run has and the build does not may be why; whether it is, was not seen.
fn run_time_only(build: &BuildFacts) -> Option<String> {
    let names: Vec<&String> = build
        .run_time_variables
        .iter()
        .filter(|variable| variable.database.is_some() || !build.variables.contains(&variable.name))
        .map(|variable| &variable.name)
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "The build does not see the values of {}: they exist at run time only.",
            words::quoted_list(&names, 5)
        )
    })
}

fn plain_clause(facts: &Facts, build: &BuildFacts, cause: Cause) -> String {
    match cause {
        Cause::StepFailed => {
            let named = build.findings.iter().find(|finding| finding.cause.is_none());
            let line = named.map(|finding| words::excerpt(&finding.line, 160));
            line.or_else(|| refine::last_complaint(facts))
                .map_or(String::new(), |line| format!("; its log says: {line}"))
        }
        Cause::DiskFull => ": no space was left on the build's disk".to_owned(),
        Cause::KilledByUnknown => "; the kernel counted no memory kill, the sender was not seen".to_owned(),
        _ => String::new(),
    }
}

/// Kills that an earlier step survived are worth a warning.
fn survived_kills(build: &BuildFacts) -> Vec<String> {
    let earlier = build
        .steps
        .iter()
        .rev()
        .skip(1)
        .filter(|step| !step.memory.kills.is_empty());
    earlier
        .map(|step| {
            format!(
                "The kernel killed {} for memory during the earlier step `{}`, which ended well all the same ({}).",
                memory::victims(&step.memory.kills),
                words::excerpt(&step.text, 60),
                memory::against_limit(&step.memory, None),
            )
        })
        .collect()
}

fn platform_step(facts: &Facts, step: &StepFacts, end: Termination) -> Finding {
    let message = format!(
        "Build of {} could not be carried out: the platform's own step `{}` {}.",
        words::component(facts),
        words::excerpt(&step.text, 80),
        exit_codes::termination_story(Some(end)),
    );
    Finding::new(Code::BuildJobFailed, Cause::PlatformStepFailed, message)
        .evidence(Evidence::Step(step.clone()))
}

fn timed_out(facts: &Facts, build: &BuildFacts) -> Finding {
    let step = build.steps.last();
    let silent_ms = step
        .and_then(|step| step.last_output_at)
        .map(|last| words::milliseconds_between(last, build.ended_at));
    let stalled =
        silent_ms.is_some_and(|silent| u128::from(silent) >= STALLED_AFTER.as_millis().unsigned_abs());
    let running = step.map_or("no step was running".to_owned(), |step| {
        format!(
            "{} was running (for {})",
            step_words(step),
            words::duration(step.elapsed_ms)
        )
    });
    let silence = silent_ms.map_or(String::new(), |silent| {
        format!("; its last output was {} before", words::duration(silent))
    });
    let message = format!(
        "Build of {} was ended by Mainstay when its limit of {} passed: {running}{silence}.",
        words::component(facts),
        words::duration(build.time_limit_seconds.saturating_mul(1000)),
    );
    let cause = if stalled {
        Cause::BuildStalled
    } else {
        Cause::BuildTimeLimit
    };
    let finding = Finding::new(Code::BuildJobTimeout, cause, message)
        .evidence(Evidence::TimeLimit(TimeLimitEvidence {
            limit_seconds: build.time_limit_seconds,
            elapsed_ms: Some(words::milliseconds_between(build.started_at, build.ended_at)),
            last_output_age_ms: silent_ms,
        }))
        .evidence_if(step.cloned().map(Evidence::Step));
    with_context(finding, build)
}

fn reused(facts: &Facts, build: &BuildFacts, reused: &ReusedBuild) -> Finding {
    let commit = reused
        .commit
        .as_ref()
        .map_or(String::new(), |commit| format!(" of commit {}", short(commit)));
    let message = format!(
        "{} needed no new build: nothing that goes into it changed, so the build{commit} from deployment {} ({}) was reused.",
        words::component_at_start(facts),
        reused.deployment_id,
        reused.built_at.strftime("%Y-%m-%d %H:%M UTC"),
    );
    Finding::new(Code::PreviousBuildReused, Cause::BuildKeyUnchanged, message)
        .evidence(Evidence::ReusedBuild(reused.clone()))
        .evidence_if(build.source.clone().map(Evidence::Source))
        .next(
            NextStep::new("To build all the same, deploy with force_build.")
                .with_command("mainstay deploy --force-build"),
        )
}

fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}

fn waiting(facts: &Facts, position: &QueuePosition) -> Finding {
    let message = format!(
        "Build of {} waits for its turn: {}, and it is number {} in the queue (since {}).",
        words::component(facts),
        position.busy(),
        position.position,
        position.since.strftime("%H:%M:%S UTC"),
    );
    Finding::new(Code::BuildRateLimit, Cause::BuildQueueFull, message)
        .evidence(Evidence::Queue(position.clone()))
}
