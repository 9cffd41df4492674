//! Ends of a process that should have gone on (or, for a job, should have ended well).

use super::{
    Finding, command, database, decisive_exit, internal, memory, outbound_failures, unknown_names, variables,
};
use crate::{
    Cause, Code, Evidence, ExitEvidence, NextStep, Retry,
    exit_codes::{self, EndedBy, signal_name},
    facts::{BuilderChoice, ExitRecord, Facts, InstanceFacts, StopReason, Termination},
    refine, words,
};

/// A job's time limit fired.
pub(super) fn time_limit(facts: &Facts, instance: &InstanceFacts) -> Option<Finding> {
    let exit = decisive_exit(facts, instance)?;
    exit.stop
        .as_ref()
        .filter(|stop| stop.reason == StopReason::TimeLimit && stop.asked_at <= exit.ended_at)?;
    let limit_seconds = instance.job.as_ref().map(|job| job.time_limit_seconds);
    let limit = limit_seconds.map_or("its time limit".to_owned(), |seconds| {
        format!(
            "its time limit of {}",
            words::duration(seconds.saturating_mul(1000))
        )
    });
    let ending = exit_codes::ending(exit);
    let message = format!(
        "{} was ended by Mainstay because {limit} passed (exit code {}); it had not ended by itself.",
        words::component_at_start(facts),
        ending.shown_code,
    );
    let evidence_of_limit = limit_seconds.map(|limit_seconds| {
        Evidence::TimeLimit(crate::TimeLimitEvidence {
            limit_seconds,
            elapsed_ms: uptime_ms(exit),
            last_output_age_ms: None,
        })
    });
    let finding = Finding::new(Code::ContainerExitNonZero, Cause::JobTimeLimit, message)
        .evidence_if(evidence_of_limit)
        .evidence(evidence(instance, exit))
        .evidence_if(command(instance))
        .evidence_if(outbound_failures(instance))
        .evidence_if(unknown_names(instance))
        .retry(Retry::No);
    Some(finding)
}

/// The process ended by itself or by a signal of unknown sender.
pub(super) fn instance(facts: &Facts, instance: &InstanceFacts) -> Option<Finding> {
    let exit = decisive_exit(facts, instance)?;
    let ending = exit_codes::ending(exit);
    match ending.ended_by {
        EndedBy::FailedProbes => None,
        EndedBy::Unknown => Some(lost_status(facts, instance, exit, "its supervisor ended first")),
        EndedBy::MachineRestart => Some(lost_status(facts, instance, exit, "the machine went down")),
        _ => Some(ended(facts, instance, exit)),
    }
}

/// A stop that was asked for and needed a kill: nothing failed, but it is worth knowing.
pub(super) fn killed_after_grace(facts: &Facts, instance: &InstanceFacts) -> Option<Finding> {
    let exit = instance
        .exits
        .iter()
        .find(|exit| exit_codes::ending(exit).ended_by == EndedBy::GracePeriodPassed)?;
    let message = format!(
        "{} {}.",
        words::component_at_start(facts),
        exit_codes::ending(exit).story
    );
    let finding = Finding::new(Code::ContainerExitNonZero, Cause::TerminationFailed, message)
        .evidence(evidence(instance, exit))
        .evidence_if(command(instance))
        .retry(Retry::No)
        .next(NextStep::new(
            "Handle SIGTERM: stop accepting work, finish what is open, and exit.",
        ))
        .next(
            NextStep::new("If it needs longer, raise the grace period.").with_spec(words::spec_lines(
                facts,
                &["termination:\n  grace_period_seconds: 300"],
            )),
        );
    Some(finding)
}

/// How it ended, as evidence.
pub(super) fn evidence(instance: &InstanceFacts, exit: &ExitRecord) -> Evidence {
    let ending = exit_codes::ending(exit);
    let (signal, core_dumped) = match exit.termination {
        Some(Termination::Signaled { signal, core_dumped }) => (Some(signal_name(signal)), core_dumped),
        _ => (None, false),
    };
    Evidence::Exit(ExitEvidence {
        shown_code: ending.shown_code,
        story: ending.story,
        ended_by: ending.ended_by,
        signal,
        core_dumped,
        uptime_ms: uptime_ms(exit),
        ended_at: exit.ended_at,
        restarts: instance.restarts,
        same_ends: exit_codes::same_ends(&instance.exits),
    })
}

/// Jobs run once; everything else is restarted with back-off until the deployment's deadline.
pub(super) fn retry(instance: &InstanceFacts) -> Retry {
    if instance.job.is_some() {
        Retry::No
    } else {
        Retry::UntilDeadline
    }
}

/// " after 0.4 s", or nothing when the start is not known.
pub(super) fn after(exit: &ExitRecord) -> String {
    uptime_ms(exit).map_or(String::new(), |uptime| {
        format!(" after {}", words::duration(uptime))
    })
}

fn uptime_ms(exit: &ExitRecord) -> Option<u64> {
    exit.started_at
        .map(|started| words::milliseconds_between(started, exit.ended_at))
}

fn lost_status(facts: &Facts, instance: &InstanceFacts, exit: &ExitRecord, why: &str) -> Finding {
    let message = format!(
        "{} ended{}, and Mainstay lost its exit status ({why}); this is not the app's fault, and deploying again is safe.",
        words::component_at_start(facts),
        after(exit),
    );
    Finding::new(Code::InternalError, Cause::ExitStatusLost, message).evidence(evidence(instance, exit))
}

fn ended(facts: &Facts, instance: &InstanceFacts, exit: &ExitRecord) -> Finding {
    let Some(termination) = exit.termination else {
        return internal::contradiction(facts, "it ended without a status");
    };
    let mut refined = refine::exit(facts, instance, exit);
    let behind = matches!(termination, Termination::Exited { code } if code != 0)
        .then(|| database::behind_an_end(instance, refined.as_ref().map(|refined| refined.cause)))
        .flatten();
    if let Some(used) = behind {
        if used.is_known
            && let Some((finding, _)) = database::finding(facts, &used.facts)
        {
            return kept_from_database(facts, instance, exit, finding);
        }
        refined = refine::with_database(refined, &used.facts);
    }
    let cause = refined
        .as_ref()
        .map_or_else(|| plain_cause(termination), |refined| refined.cause);
    let lacking = database::without_right(instance, cause);
    let right = lacking.map_or(String::new(), |(used, right)| {
        format!(
            "; role `{}` may not create in the schema `{}` of database `{}`",
            right.role, right.schema, used.facts.name
        )
    });
    let message = format!(
        "{} {}{}{}{right}.",
        words::component_at_start(facts),
        exit_codes::ending(exit).story,
        after(exit),
        refined.as_ref().map_or_else(
            || plain_clause(facts, instance, exit, termination),
            |refined| refined.wording.clone()
        ),
    );
    let mut finding = Finding::new(Code::ContainerExitNonZero, cause, message)
        .evidence(evidence(instance, exit))
        .retry(retry(instance))
        .warn_all(memory::survived(exit))
        .warn_all(process_limit(exit).filter(|_| cause != Cause::ProcessLimit));
    if let Some(refined) = refined {
        finding = finding
            .evidence_if(refined.hint.map(Evidence::LogHint))
            .next_all(refined.next_steps);
    }
    let database = behind.or(lacking.map(|(used, _)| used));
    finding
        .evidence_if(database.map(|used| Evidence::Database(used.facts.clone())))
        .next_all(lacking.map(|(used, right)| database::grant(used, right)))
        .evidence_if(outbound_failures(instance))
        .evidence_if(unknown_names(instance))
        .evidence_if(command(instance))
        .evidence_if(instance.builder.clone().map(BuilderChoice::into_evidence))
        .evidence_if(variables(&instance.variables))
        .next_all(plain_next_steps(facts, instance, cause))
}

/// The platform knows the database, and met what the instance met.
fn kept_from_database(
    facts: &Facts,
    instance: &InstanceFacts,
    exit: &ExitRecord,
    finding: Finding,
) -> Finding {
    let sentence = format!(
        "{} {}{}.",
        words::component_at_start(facts),
        exit_codes::ending(exit).story,
        after(exit)
    );
    finding
        .consequence(Some(sentence))
        .evidence(evidence(instance, exit))
        .retry(retry(instance))
        .evidence_if(outbound_failures(instance))
        .evidence_if(unknown_names(instance))
        .evidence_if(command(instance))
        .evidence_if(variables(&instance.variables))
}

fn plain_cause(termination: Termination) -> Cause {
    match termination {
        Termination::Exited { code: 0 } => Cause::ExitedNormally,
        Termination::Exited { .. } => Cause::ExitedWithError,
        Termination::Signaled { signal: 6, .. } => Cause::Aborted,
        Termination::Signaled {
            signal: 4 | 7 | 8 | 11,
            ..
        } => Cause::Crashed,
        Termination::Signaled { signal: 9, .. } => Cause::KilledByUnknown,
        Termination::Signaled { .. } => Cause::EndedBySignal,
    }
}

fn plain_clause(
    facts: &Facts,
    instance: &InstanceFacts,
    exit: &ExitRecord,
    termination: Termination,
) -> String {
    match termination {
        Termination::Exited { code: 0 } => format!(", but a {} has to keep running", facts.kind.noun()),
        Termination::Exited { code } if (129..=192).contains(&code) => format!(
            "; no signal reached it, but a shell reports {code} when its child was ended by {}",
            signal_name(code - 128)
        ),
        Termination::Signaled { signal: 9, .. } => {
            let memory = memory::against_limit(&exit.memory, Some(instance.size.memory_bytes));
            format!(
                "; neither the kernel for memory ({memory}) nor Mainstay sent it, the sender was not seen"
            )
        }
        Termination::Exited { .. } => {
            refine::last_complaint(facts).map_or(String::new(), |line| format!("; its log says: {line}"))
        }
        Termination::Signaled { .. } => String::new(),
    }
}

fn process_limit(exit: &ExitRecord) -> Option<String> {
    let hits = exit.pids_limit_hits.filter(|hits| *hits > 0)?;
    Some(format!(
        "It reached its limit of processes; the kernel refused to make another one {hits} times."
    ))
}

fn plain_next_steps(facts: &Facts, instance: &InstanceFacts, cause: Cause) -> Vec<NextStep> {
    match cause {
        Cause::ExitedNormally => vec![
            NextStep::new(format!(
                "If it is meant to keep running, start it in the foreground; `{}` came back.",
                words::excerpt(&words::command(&instance.command.argv), 60)
            )),
            NextStep::new("If it is meant to run once, make it a job.")
                .with_spec(format!("jobs:\n- name: {}\n  kind: POST_DEPLOY", facts.component)),
        ],
        Cause::KilledByUnknown => vec![NextStep::new(
            "Look for `kill -9` in the app's own scripts and supervisors; a process inside the instance can send it.",
        )],
        _ => Vec::new(),
    }
}
