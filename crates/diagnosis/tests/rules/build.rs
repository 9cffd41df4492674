//! What builds end with: each borderline case of the reference, and the precedence between facts.

use mainstay_diagnosis::{Cause, Code, Retry, Verdict, diagnose, facts::*};

use crate::world::*;

fn check(build: BuildFacts, code: Code, cause: Cause) -> String {
    let reason = reason(&build_facts(build));
    assert_eq!((reason.code, reason.cause), (code, cause), "{}", reason.message);
    assert!(reason.message.contains("`web`"), "{}", reason.message);
    reason.message
}

#[test]
fn a_successful_or_canceled_build_has_no_reason() {
    assert_eq!(diagnose(&build_facts(build())), Verdict::NoFailure);
    let canceled = BuildFacts {
        outcome: BuildOutcome::Canceled,
        ..failed_build(1)
    };
    assert_eq!(diagnose(&build_facts(canceled)), Verdict::NoFailure);
}

#[test]
fn a_failed_step_is_named_with_its_exit_code() {
    let message = check(failed_build(7), Code::BuildJobExitNonZero, Cause::StepFailed);
    assert_eq!(
        message,
        "Build of service `web` failed: `npm run build` exited with code 7."
    );
}

#[test]
fn a_dockerfile_step_is_named_with_its_line() {
    let mut build = failed_build(125);
    build.steps[1].origin = StepOrigin::DockerfileRun;
    build.steps[1].text = "RUN exit 125".into();
    build.steps[1].line = Some(4);
    let message = check(build, Code::BuildJobExitNonZero, Cause::StepFailed);
    assert!(
        message.contains("`RUN exit 125` (Dockerfile line 4) exited with code 125"),
        "{message}"
    );
}

#[test]
fn a_tools_own_error_makes_the_cause_finer() {
    let mut build = failed_build(1);
    build.findings.push(ToolFinding {
        tool: "npm".into(),
        identifier: "EUSAGE".into(),
        cause: Some(Cause::LockfileOutOfStep),
        line: "Missing: lodash@4.17.21 from lock file".into(),
        subject: Some("lodash".into()),
        clue: None,
    });
    let message = check(build, Code::BuildJobExitNonZero, Cause::LockfileOutOfStep);
    assert!(message.contains("lodash@4.17.21"), "{message}");
}

#[test]
fn our_timer_wins_over_everything() {
    let mut build = failed_build(1);
    build.steps[1].termination = None;
    build.steps[1].memory.kills.push(memory_kill(21, Some(true)));
    build.outcome = BuildOutcome::TimedOut;
    let message = check(build, Code::BuildJobTimeout, Cause::BuildTimeLimit);
    assert!(
        message.contains("60 min") && message.contains("`npm run build` was running"),
        "{message}"
    );
}

#[test]
fn a_long_silence_before_the_limit_is_a_hang() {
    let mut build = build();
    build.outcome = BuildOutcome::TimedOut;
    build.ended_at = at(3600);
    check(build, Code::BuildJobTimeout, Cause::BuildStalled);
}

#[test]
fn a_memory_kill_during_the_failing_step_is_out_of_memory_even_behind_another_exit_code() {
    let mut build = failed_build(7);
    build.steps[1].memory.kills.push(memory_kill(22, Some(false)));
    let message = check(build, Code::BuildJobOutOfMemory, Cause::ChildKilledForMemory);
    assert!(message.contains("exited with code 7"), "{message}");
}

#[test]
fn a_kill_of_the_whole_build_counts_only_while_the_failing_step_ran() {
    let mut during = failed_build(137);
    during.memory.kills.push(memory_kill(22, None));
    check(during, Code::BuildJobOutOfMemory, Cause::MemoryLimit);
    let mut before = failed_build(137);
    before.memory.kills.push(memory_kill(10, None));
    check(before, Code::BuildJobExitNonZero, Cause::StepFailed);
}

#[test]
fn a_kill_that_an_earlier_step_survived_is_a_warning() {
    let mut build = failed_build(1);
    build.steps[0].memory.kills.push(memory_kill(5, Some(false)));
    let reason = reason(&build_facts(build));
    assert_eq!(reason.code, Code::BuildJobExitNonZero);
    assert!(reason.warnings[0].contains("`npm ci`"), "{:?}", reason.warnings);
}

#[test]
fn a_refused_clone_url_is_not_put_to_the_source() {
    let fault = BuildFault::CloneUrlRefused {
        url: "/srv/shop".into(),
        rule: "not from there".into(),
    };
    let reason = reason(&build_facts(refused_build(fault)));
    assert_eq!(
        (reason.code, reason.cause),
        (Code::BuildJobFailed, Cause::CloneUrlRefused)
    );
    assert!(
        reason
            .message
            .contains("the clone URL `/srv/shop` is refused: not from there")
    );
}

#[test]
fn a_missing_source_dir_proposes_the_closest_one() {
    let fault = BuildFault::SourceDirMissing {
        source_dir: "/site".into(),
        existing: vec!["docs".into(), "site-src".into()],
    };
    let reason = reason(&build_facts(refused_build(fault)));
    assert_eq!(
        (reason.code, reason.cause),
        (Code::BuildJobFailed, Cause::SourceDirMissing)
    );
    assert!(
        reason.next_steps[0]
            .spec
            .as_ref()
            .unwrap()
            .ends_with("source_dir: site-src")
    );
}

#[test]
fn only_network_faults_are_tried_again() {
    let fetch = |network| BuildFault::SourceNotFetchable {
        origin: "https://git.example/shop.git".into(),
        message: "could not resolve host".into(),
        network,
        attempts: 3,
    };
    assert_eq!(
        reason(&build_facts(refused_build(fetch(true)))).retry,
        Retry::Bounded
    );
    assert_eq!(reason(&build_facts(refused_build(fetch(false)))).retry, Retry::No);
}

#[test]
fn a_fault_of_ours_is_an_internal_error_without_its_chain() {
    let fault = BuildFault::Platform {
        operation: "preparing the workspace".into(),
        error_chain: vec!["mkdir /var/lib/x: EIO".into()],
    };
    let reason = reason(&build_facts(refused_build(fault)));
    assert_eq!(reason.code, Code::InternalError);
    assert!(!serde_json::to_string(&reason).unwrap().contains("EIO"));
}

#[test]
fn a_reused_build_is_a_note_and_a_waiting_one_waits() {
    let reused = ReusedBuild {
        commit: Some("3f2a9c1e77".into()),
        deployment_id: "d1".into(),
        built_at: at(0),
        key_parts: vec![("source".into(), "tree 3f2a".into())],
    };
    let note = diagnose(&build_facts(BuildFacts {
        outcome: BuildOutcome::Reused(reused),
        ..build()
    }));
    assert!(
        matches!(&note, Verdict::Note(reason) if reason.code == Code::PreviousBuildReused),
        "{note:?}"
    );
    let position = QueuePosition {
        scope: QueueScope::Machine,
        limit: 2,
        running: 2,
        position: 3,
        since: at(0),
    };
    let waiting = diagnose(&build_facts(BuildFacts {
        outcome: BuildOutcome::Waiting(position),
        ..build()
    }));
    assert!(
        matches!(&waiting, Verdict::Waiting(reason) if reason.code == Code::BuildRateLimit),
        "{waiting:?}"
    );
}

#[test]
fn contradictory_facts_are_never_blamed_on_the_app() {
    let mut build = build();
    build.outcome = BuildOutcome::StepFailed;
    check(build, Code::InternalError, Cause::ContradictoryFacts);
}
