//! What holds for every set of facts.

use mainstay_diagnosis::{Blame, Code, Evidence, Reason, ReasonView, Verdict, diagnose, facts::*, render};
use proptest::prelude::*;

use crate::any_facts;

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_set_of_facts_has_one_verdict_that_can_be_read(facts in any_facts::facts()) {
        let verdict = diagnose(&facts);
        prop_assert_eq!(&verdict, &diagnose(&facts));
        if let Some(reason) = verdict.reason() {
            can_be_read(reason)?;
        }
    }

    #[test]
    fn the_code_follows_the_observed_fact(facts in any_facts::facts()) {
        if let Some(reason) = diagnose(&facts).reason() {
            follows_from(reason, &facts)?;
        }
    }

    #[test]
    fn unrelated_facts_never_change_the_code(
        facts in any_facts::facts(),
        log_tail in any_facts::log_lines(),
        changes in any_facts::changes(),
        variables in any_facts::variables(),
        outbound in any_facts::outbound_failures(),
        unknown_names in any_facts::unknown_names(),
    ) {
        let mut other = Facts { log_tail, changes, ..facts.clone() };
        match &mut other.subject {
            Subject::Instance(instance) => {
                instance.variables = variables;
                instance.outbound_failures = outbound;
                instance.unknown_names = unknown_names;
            }
            Subject::Build(build) => {
                build.variables = variables;
                build.findings.clear();
            }
            Subject::Internal(_) | Subject::Database(_) | Subject::Quota(_) => {}
        }
        prop_assert_eq!(outline(&diagnose(&facts)), outline(&diagnose(&other)));
    }

    #[test]
    fn a_stop_that_was_asked_for_is_no_failure(facts in any_facts::facts()) {
        let mut facts = facts;
        if let Subject::Instance(instance) = &mut facts.subject {
            instance.refused = None;
            instance.probe = None;
            for exit in &mut instance.exits {
                exit.exec_fault = None;
                exit.memory.kills.clear();
                let killed_at = exit.stop.as_ref().and_then(|stop| stop.killed_at);
                exit.stop = Some(StopRecord { reason: StopReason::Replaced, asked_at: exit.ended_at, grace_period_seconds: 1, killed_at });
            }
            prop_assert!(!diagnose(&facts).is_failure());
        }
    }
}

fn can_be_read(reason: &Reason) -> Result<(), TestCaseError> {
    prop_assert!(
        reason.message.contains("`web`"),
        "the component is named: {}",
        reason.message
    );
    prop_assert!(reason.message.ends_with('.'), "{}", reason.message);
    prop_assert!(!reason.title.is_empty());
    prop_assert!(!reason.next_steps.is_empty());
    prop_assert!(
        reason.code.causes().contains(&reason.cause),
        "{} does not list {}",
        reason.code,
        reason.cause
    );
    for evidence in &reason.evidence {
        prop_assert!(!evidence.lines().is_empty(), "{evidence:?}");
        let wire = serde_json::to_value(evidence).expect("evidence can be written");
        prop_assert_eq!(wire["type"].as_str(), Some(evidence.kind()));
    }
    let written = serde_json::to_string(reason).expect("a reason can be written");
    let read: Reason = serde_json::from_str(&written).expect("a reason can be read");
    prop_assert_eq!(&read.message, &reason.message);
    let card = render::card(&ReasonView::from(reason));
    prop_assert!(card.contains(reason.code.as_str()) && card.contains("What to do"));
    prop_assert!(
        card.chars()
            .all(|character| character == '\n' || !character.is_control()),
        "{card:?}"
    );
    Ok(())
}

/// The code is allowed by a fact; no word of a log is looked at here.
fn follows_from(reason: &Reason, facts: &Facts) -> Result<(), TestCaseError> {
    let has = |code: Code| reason.code == code;
    match &facts.subject {
        Subject::Instance(instance) => {
            let kills = instance.exits.iter().any(|exit| !exit.memory.kills.is_empty());
            let ended = !instance.exits.is_empty();
            let not_executed = instance.refused.is_some()
                || instance.exits.iter().any(|exit| {
                    exit.exec_fault.is_some()
                        || matches!(exit.termination, Some(Termination::Exited { code: 126 | 127 }))
                });
            let stopped_by_probes = instance.exits.iter().any(|exit| {
                exit.stop
                    .as_ref()
                    .is_some_and(|stop| stop.reason == StopReason::ProbesFailed)
            });
            prop_assert!(!has(Code::ContainerOutOfMemory) || kills);
            prop_assert!(!has(Code::ContainerExitNonZero) || ended);
            prop_assert!(!has(Code::ContainerCommandNotExecutable) || not_executed);
            prop_assert!(
                !has(Code::ContainerHealthChecksFailed) || instance.probe.is_some() || stopped_by_probes
            );
            prop_assert!(
                !has(Code::InternalError) || instance.exits.iter().any(|exit| exit.termination.is_none())
            );
        }
        Subject::Build(build) => {
            let kills = !build.memory.kills.is_empty()
                || build.steps.iter().any(|step| !step.memory.kills.is_empty());
            prop_assert!(!has(Code::BuildJobOutOfMemory) || kills);
            prop_assert_eq!(
                has(Code::BuildJobTimeout),
                build.outcome == BuildOutcome::TimedOut
            );
            prop_assert!(!has(Code::BuildJobExitNonZero) || build.outcome == BuildOutcome::StepFailed);
        }
        Subject::Internal(_) => prop_assert!(has(Code::InternalError)),
        Subject::Database(database) => prop_assert!(database.outcome != DatabaseOutcome::Available),
        Subject::Quota(_) => prop_assert!(has(Code::ResourceExhausted)),
    }
    prop_assert!(!has(Code::InternalError) || reason.blame == Blame::Platform);
    let internals = reason
        .evidence
        .iter()
        .any(|evidence| matches!(evidence, Evidence::BuildFault(BuildFault::Platform { .. })));
    prop_assert!(!internals, "the platform's own error chain is never shown");
    Ok(())
}

fn outline(verdict: &Verdict) -> (&'static str, Option<Code>) {
    let name = match verdict {
        Verdict::NoFailure => "no failure",
        Verdict::Note(_) => "note",
        Verdict::Waiting(_) => "waiting",
        Verdict::Failure(_) => "failure",
    };
    (name, verdict.reason().map(|reason| reason.code))
}
