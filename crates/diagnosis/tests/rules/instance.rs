//! What instances end with: each borderline case of the reference, and the precedence between facts.

use mainstay_diagnosis::{Blame, Cause, Code, Evidence, Retry, Verdict, diagnose, facts::*};
use mainstay_spec::JobKind;

use crate::world::*;

pub(crate) fn check(instance: InstanceFacts, code: Code, cause: Cause) -> String {
    let reason = reason(&instance_facts(instance));
    assert_eq!((reason.code, reason.cause), (code, cause), "{}", reason.message);
    assert!(reason.message.contains("`web`"), "{}", reason.message);
    reason.message
}

pub(crate) fn with_exit(exit: ExitRecord) -> InstanceFacts {
    InstanceFacts {
        exits: vec![exit],
        sockets: None,
        probe: None,
        ..instance()
    }
}

#[test]
fn a_healthy_service_has_no_reason() {
    assert_eq!(diagnose(&instance_facts(instance())), Verdict::NoFailure);
}

#[test]
fn a_job_that_ended_well_has_no_reason_even_after_a_survived_memory_kill() {
    let mut exit = exited(0);
    exit.memory.kills.push(memory_kill(1, Some(false)));
    assert_eq!(diagnose(&job_facts(with_exit(exit))), Verdict::NoFailure);
}

// === Exits ===

#[test]
fn a_service_that_exits_with_0_failed() {
    let message = check(
        with_exit(exited(0)),
        Code::ContainerExitNonZero,
        Cause::ExitedNormally,
    );
    assert!(message.contains("code 0"), "{message}");
}

#[test]
fn an_exit_code_is_in_the_message() {
    let message = check(
        with_exit(exited(3)),
        Code::ContainerExitNonZero,
        Cause::ExitedWithError,
    );
    assert!(message.contains("exited with code 3 after 2.0 s"), "{message}");
}

#[test]
fn an_exit_of_137_by_itself_is_no_kill_and_no_memory() {
    let message = check(
        with_exit(exited(137)),
        Code::ContainerExitNonZero,
        Cause::ExitedWithError,
    );
    assert!(message.contains("exited by itself with code 137"), "{message}");
}

#[test]
fn a_sigkill_of_unknown_sender_says_that_it_is_unknown() {
    let message = check(
        with_exit(signaled(9)),
        Code::ContainerExitNonZero,
        Cause::KilledByUnknown,
    );
    assert!(message.contains("the sender was not seen"), "{message}");
}

#[test]
fn an_abort_and_a_crash_are_told_apart() {
    check(with_exit(signaled(6)), Code::ContainerExitNonZero, Cause::Aborted);
    check(
        with_exit(signaled(11)),
        Code::ContainerExitNonZero,
        Cause::Crashed,
    );
}

#[test]
fn an_exit_wins_over_failing_probes() {
    let mut instance = with_exit(exited(1));
    instance.probe = Some(failed(ProbeOutcome::Refused));
    check(instance, Code::ContainerExitNonZero, Cause::ExitedWithError);
}

#[test]
fn the_first_cause_is_kept_over_later_ends() {
    let mut instance = with_exit(exited(3));
    let mut later = signaled(9);
    later.memory.kills.push(memory_kill(2, Some(true)));
    instance.exits.push(later);
    check(instance, Code::ContainerExitNonZero, Cause::ExitedWithError);
}

#[test]
fn what_healed_long_ago_is_no_cause_of_todays_end() {
    let mut long_ago = signaled(9);
    long_ago.memory.kills.push(memory_kill(2, Some(true)));
    let today = ExitRecord {
        started_at: Some(at(3)),
        ended_at: at(86_400),
        ..exited(3)
    };
    let mut instance = with_exit(long_ago);
    instance.exits.push(today);
    check(instance, Code::ContainerExitNonZero, Cause::ExitedWithError);
}

#[test]
fn a_lost_exit_status_is_the_platforms_fault() {
    let exit = ExitRecord {
        termination: None,
        ..exited(0)
    };
    let reason = reason(&instance_facts(with_exit(exit)));
    assert_eq!(
        (reason.code, reason.cause),
        (Code::InternalError, Cause::ExitStatusLost)
    );
    assert_eq!(reason.blame, Blame::Platform);
}

#[test]
fn a_machine_that_went_down_is_no_failure_of_a_service_and_ends_a_job_without_its_fault() {
    let exit = || ExitRecord {
        termination: None,
        stop: Some(stop(StopReason::MachineRestarted, false)),
        ..exited(0)
    };
    assert_eq!(diagnose(&instance_facts(with_exit(exit()))), Verdict::NoFailure);
    let reason = reason(&job_facts(with_exit(exit())));
    assert_eq!(
        (reason.code, reason.cause),
        (Code::InternalError, Cause::ExitStatusLost)
    );
    assert!(reason.message.contains("machine went down"), "{}", reason.message);
}

// === Stops that the platform asked for ===

#[test]
fn a_graceful_stop_is_no_failure() {
    let exit = ExitRecord {
        stop: Some(stop(StopReason::Replaced, false)),
        ..signaled(15)
    };
    assert_eq!(diagnose(&instance_facts(with_exit(exit))), Verdict::NoFailure);
}

#[test]
fn a_kill_after_the_grace_period_is_a_note_with_145() {
    let exit = ExitRecord {
        stop: Some(stop(StopReason::Replaced, true)),
        ..signaled(9)
    };
    let Verdict::Note(reason) = diagnose(&instance_facts(with_exit(exit))) else {
        panic!("a note")
    };
    assert_eq!(reason.cause, Cause::TerminationFailed);
    assert!(reason.message.contains("145"), "{}", reason.message);
}

#[test]
fn a_kill_after_failed_probes_is_a_failed_health_check_and_says_that_it_was_not_memory() {
    let exit = ExitRecord {
        stop: Some(stop(StopReason::ProbesFailed, true)),
        ..signaled(9)
    };
    let mut instance = with_exit(exit);
    instance.probe = Some(failed(ProbeOutcome::Refused));
    instance.sockets = Some(vec![socket("::1", 8080)]);
    let message = check(
        instance,
        Code::ContainerHealthChecksFailed,
        Cause::BoundToLoopback,
    );
    assert!(message.contains("exit code 137"), "{message}");
    assert!(message.contains("not out of memory"), "{message}");
}

#[test]
fn a_job_that_ran_into_its_time_limit_says_so() {
    let exit = ExitRecord {
        stop: Some(stop(StopReason::TimeLimit, true)),
        ..signaled(9)
    };
    let reason = reason(&job_facts(with_exit(exit)));
    assert_eq!(
        (reason.code, reason.cause),
        (Code::ContainerExitNonZero, Cause::JobTimeLimit)
    );
    assert!(
        reason.message.contains("30 min") && reason.message.contains("145"),
        "{}",
        reason.message
    );
    assert_eq!(reason.retry, Retry::No);
}

#[test]
fn a_failed_job_says_what_it_blocks() {
    let mut facts = job_facts(with_exit(exited(1)));
    let message = reason(&facts).message;
    assert!(
        message.ends_with("so `web` and `mailer` were not started."),
        "{message}"
    );
    let Subject::Instance(instance) = &mut facts.subject else {
        panic!("an instance")
    };
    instance.job.as_mut().unwrap().kind = JobKind::PostDeploy;
    let message = reason(&facts).message;
    assert!(message.ends_with("which was therefore taken back."), "{message}");
}

// === Memory ===

#[test]
fn a_memory_kill_of_the_main_process_names_limit_and_peak() {
    let mut exit = signaled(9);
    exit.memory.peak_bytes = Some(512 * MIB);
    exit.memory.kills.push(memory_kill(2, Some(true)));
    let message = check(with_exit(exit), Code::ContainerOutOfMemory, Cause::MemoryLimit);
    assert!(message.contains("peak 512 MiB of 512 MiB"), "{message}");
}

#[test]
fn a_killed_child_counts_when_the_instance_ends_within_ten_seconds() {
    let mut exit = ExitRecord {
        ended_at: at(12),
        ..exited(1)
    };
    exit.memory.kills.push(memory_kill(2, Some(false)));
    check(
        with_exit(exit.clone()),
        Code::ContainerOutOfMemory,
        Cause::ChildKilledForMemory,
    );
    exit.ended_at = at(13);
    let reason = reason(&instance_facts(with_exit(exit)));
    assert_eq!(reason.code, Code::ContainerExitNonZero);
    assert!(
        reason.warnings.iter().any(|warning| warning.contains("survived")),
        "{:?}",
        reason.warnings
    );
}

#[test]
fn a_runtimes_own_heap_limit_is_no_memory_kill() {
    let mut facts = instance_facts(with_exit(signaled(6)));
    facts.log_tail =
        vec!["FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory".into()];
    let reason = reason(&facts);
    assert_eq!(
        (reason.code, reason.cause),
        (Code::ContainerExitNonZero, Cause::OwnHeapLimit)
    );
}

// === Commands that cannot be executed ===

#[test]
fn a_refused_command_names_program_and_close_match() {
    let mut fault = exec_fault(ExecFaultKind::NotFound);
    fault.close_matches = vec!["gunicorn3".into()];
    let instance = InstanceFacts {
        refused: Some(fault),
        ..instance()
    };
    let message = check(
        instance,
        Code::ContainerCommandNotExecutable,
        Cause::CommandNotFound,
    );
    assert!(
        message.contains("`gunicorn`") && message.contains("127") && message.contains("gunicorn3"),
        "{message}"
    );
}

#[test]
fn exit_127_before_readiness_is_a_command_that_cannot_be_executed() {
    let mut facts = instance_facts(with_exit(exited(127)));
    facts.log_tail = vec!["sh: 1: gunicorn: not found".into()];
    let reason = reason(&facts);
    assert_eq!(
        (reason.code, reason.cause),
        (Code::ContainerCommandNotExecutable, Cause::CommandNotFound)
    );
    assert!(reason.message.contains("`gunicorn`"), "{}", reason.message);
}

#[test]
fn exit_127_of_a_loader_is_a_missing_library() {
    let mut facts = instance_facts(with_exit(exited(127)));
    facts.log_tail = vec![
        "./app: error while loading shared libraries: libGL.so.1: cannot open shared object file".into(),
    ];
    let reason = reason(&facts);
    assert_eq!(
        (reason.code, reason.cause),
        (Code::ContainerCommandNotExecutable, Cause::SharedLibraryMissing)
    );
    assert!(reason.message.contains("`libGL.so.1`"), "{}", reason.message);
}

#[test]
fn exit_127_after_readiness_is_an_exit() {
    let mut instance = with_exit(exited(127));
    instance.was_ready = true;
    check(instance, Code::ContainerExitNonZero, Cause::ExitedWithError);
}

#[test]
fn no_command_at_all_is_190() {
    let fault = exec_fault(ExecFaultKind::NoRunCommand {
        looked_for: vec!["run_command".into(), "Procfile".into()],
    });
    let instance = InstanceFacts {
        refused: Some(fault),
        ..instance()
    };
    let message = check(instance, Code::ContainerCommandNotExecutable, Cause::NoRunCommand);
    assert!(message.contains("190"), "{message}");
}

// === Refinement ===

#[test]
fn a_connect_that_failed_long_before_the_end_explains_nothing() {
    let mut exit = exited(1);
    exit.ended_at = at(300);
    exit.course.outbound_failures = vec![OutboundFailure {
        address: "10.0.0.9".parse().unwrap(),
        port: 5432,
        result: OutboundResult::Refused,
        at: at(1),
    }];
    check(
        with_exit(exit.clone()),
        Code::ContainerExitNonZero,
        Cause::ExitedWithError,
    );
    exit.course.outbound_failures[0].at = at(299);
    check(
        with_exit(exit),
        Code::ContainerExitNonZero,
        Cause::DatabaseRefused,
    );
}

/// Glibc's sentence does not say which name it was.
#[test]
fn a_name_that_does_not_exist_is_named_although_the_log_does_not_say_it() {
    let unknown = |second| UnknownName {
        name: "cache.internal.example".to_owned(),
        at: at(second),
    };
    let mut exit = exited(1);
    exit.ended_at = at(300);
    exit.course.unknown_names = vec![unknown(299)];
    let told = |exit: &ExitRecord, line: &str| {
        let mut facts = instance_facts(with_exit(exit.clone()));
        facts.log_tail = vec![line.to_owned()];
        reason(&facts)
    };
    let silent = "socket.gaierror: [Errno -2] Name or service not known";
    let named = told(&exit, silent);
    assert_eq!(named.cause, Cause::HostNotFound);
    assert!(
        named.message.contains("does not exist: cache.internal.example"),
        "{}",
        named.message
    );
    let said = told(&exit, "Error: getaddrinfo ENOTFOUND cache.internal.example");
    assert_eq!(
        said.message.matches("cache.internal.example").count(),
        1,
        "{}",
        said.message
    );
    exit.course.unknown_names = vec![unknown(1)];
    let long_ago = told(&exit, silent);
    assert!(
        !long_ago.message.contains("cache.internal.example"),
        "{}",
        long_ago.message
    );
    // A look-up alone is no cause: many libraries ask for names that are not everywhere.
    exit.course.unknown_names = vec![unknown(299)];
    assert_eq!(told(&exit, "Traceback").cause, Cause::ExitedWithError);
}

#[test]
fn a_memory_kill_tells_how_it_grew_and_what_would_have_fit() {
    let mut exit = signaled(9);
    exit.memory.kills = vec![memory_kill(2, Some(true))];
    exit.memory.peak_bytes = Some(512 * MIB);
    exit.course.memory = (0..20)
        .map(|step| MemorySample {
            at: at(0) + jiff::SignedDuration::from_millis(step * 100),
            bytes: u64::try_from(step).unwrap() * 25 * MIB,
        })
        .collect();
    let told = reason(&instance_facts(with_exit(exit)));
    assert_eq!(told.code, Code::ContainerOutOfMemory);
    let Some(Evidence::Memory(memory)) = told
        .evidence
        .iter()
        .find(|piece| matches!(piece, Evidence::Memory(_)))
    else {
        panic!("no memory in {:?}", told.evidence)
    };
    let ends = (memory.growth.first().unwrap(), memory.growth.last().unwrap());
    assert_eq!((ends.0.after_ms, ends.0.bytes), (0, 0));
    assert_eq!((ends.1.after_ms, ends.1.bytes), (1900, 475 * MIB));
    assert_eq!(memory.fitting_size.as_deref(), Some("apps-s-1vcpu-1gb"));
}

#[test]
fn localhost_without_a_database_variable_is_no_database_configured() {
    let mut instance = with_exit(exited(1));
    instance.outbound_failures = vec![OutboundFailure {
        address: "127.0.0.1".parse().unwrap(),
        port: 5432,
        result: OutboundResult::Refused,
        at: at(1),
    }];
    let message = check(instance, Code::ContainerExitNonZero, Cause::DatabaseNotConfigured);
    assert!(message.contains("127.0.0.1:5432"), "{message}");
}

#[test]
fn shell_syntax_without_a_shell_is_seen_in_the_command_alone() {
    let mut instance = with_exit(exited(2));
    instance.command.argv = ["python", "a.py", "&&", "python", "b.py"]
        .map(str::to_owned)
        .to_vec();
    let message = check(
        instance,
        Code::ContainerExitNonZero,
        Cause::ShellSyntaxWithoutShell,
    );
    assert!(message.contains("`&&`"), "{message}");
}

#[test]
fn several_programs_without_a_run_command_are_named() {
    let fault = exec_fault(ExecFaultKind::NoRunCommand {
        looked_for: Vec::new(),
    });
    let program = |name: &str| (format!("bin/{name}"), format!("cmd/{name}"));
    let instance = InstanceFacts {
        refused: Some(fault),
        builder: Some(BuilderChoice {
            programs: vec![program("api"), program("worker")],
            ..build().builder.expect("one")
        }),
        ..instance()
    };
    let message = check(
        instance.clone(),
        Code::ContainerCommandNotExecutable,
        Cause::NoRunCommand,
    );
    assert!(
        message.contains("`bin/api` (cmd/api) and `bin/worker` (cmd/worker)"),
        "{message}"
    );
    let next = reason(&instance_facts(instance)).next_steps;
    assert!(
        next[0]
            .spec
            .as_deref()
            .is_some_and(|spec| spec.contains("run_command: bin/api"))
    );
    assert!(
        next[1].text.contains("GO_INSTALL_PACKAGE_SPEC"),
        "{}",
        next[1].text
    );
}
