//! Probes that fail: what the socket table and the answers say about it.

use mainstay_diagnosis::{Cause, Code, Verdict, diagnose, facts::*};

use crate::{instance::check, world::*};

fn with_probe(probe: ProbeFacts, sockets: Vec<ListeningSocket>) -> InstanceFacts {
    InstanceFacts {
        probe: Some(probe),
        sockets: Some(sockets),
        ..instance()
    }
}

#[test]
fn another_port_is_named_with_the_spec_line_that_mends_it() {
    let instance = with_probe(failed(ProbeOutcome::Refused), vec![socket("0.0.0.0", 3000)]);
    let reason = reason(&instance_facts(instance));
    assert_eq!(reason.cause, Cause::ListensOnOtherPort);
    assert!(
        reason
            .message
            .contains("`node` (pid 7) listens on 0.0.0.0:3000, the probe asks port 8080"),
        "{}",
        reason.message
    );
    assert_eq!(
        reason.next_steps[0].spec.as_deref(),
        Some("services:\n- name: web\n  http_port: 3000")
    );
}

#[test]
fn the_cause_is_known_before_the_threshold_and_says_that_it_is_not_over() {
    let instance = with_probe(
        probe(vec![ProbeOutcome::Refused], false),
        vec![socket("127.0.0.1", 8080)],
    );
    let Verdict::Waiting(reason) = diagnose(&instance_facts(instance)) else {
        panic!("waiting")
    };
    assert_eq!(
        (reason.code, reason.cause),
        (Code::ContainerHealthChecksFailed, Cause::BoundToLoopback)
    );
    assert!(
        reason.message.starts_with("Service `web` is not answering yet: "),
        "{}",
        reason.message
    );
}

#[test]
fn no_socket_means_starting_before_the_threshold_and_never_listened_after() {
    let silent = |probe| InstanceFacts {
        first_listen_at: None,
        ..with_probe(probe, Vec::new())
    };
    check(
        silent(probe(vec![ProbeOutcome::Refused], false)),
        Code::ContainerHealthChecksFailed,
        Cause::StillStarting,
    );
    check(
        silent(failed(ProbeOutcome::Refused)),
        Code::ContainerHealthChecksFailed,
        Cause::NeverListened,
    );
}

#[test]
fn no_socket_at_the_cpu_limit_is_too_busy() {
    let instance = InstanceFacts {
        first_listen_at: None,
        cpu_share: Some(0.99),
        ..with_probe(failed(ProbeOutcome::Refused), Vec::new())
    };
    check(instance, Code::ContainerHealthChecksFailed, Cause::TooBusy);
}

#[test]
fn sockets_that_were_not_seen_leave_the_cause_open() {
    let instance = InstanceFacts {
        sockets: None,
        ..with_probe(failed(ProbeOutcome::Refused), Vec::new())
    };
    let message = check(instance, Code::ContainerHealthChecksFailed, Cause::NotDetermined);
    assert!(message.contains("not determined"), "{message}");
}

#[test]
fn each_status_is_its_own_cause() {
    let causes = [
        (400, Cause::HealthBadRequest),
        (401, Cause::HealthUnauthorized),
        (403, Cause::HealthForbidden),
        (404, Cause::HealthPathNotFound),
        (405, Cause::HealthStatusUnexpected),
        (500, Cause::HealthServerError),
        (502, Cause::HealthBadGateway),
        (503, Cause::HealthUnavailable),
        (504, Cause::HealthGatewayTimeout),
    ];
    for (status, cause) in causes {
        let message = check(
            with_probe(failed(response(status, "")), vec![socket("0.0.0.0", 8080)]),
            Code::ContainerHealthChecksFailed,
            cause,
        );
        assert!(
            message.contains(&status.to_string()) && message.contains("9 of 9 times"),
            "{message}"
        );
    }
}

#[test]
fn a_path_that_answers_is_proposed() {
    let mut probe = failed(response(404, "Cannot GET /healthz"));
    probe.answering_paths = vec!["/health".into()];
    let reason = reason(&instance_facts(with_probe(probe, vec![socket("0.0.0.0", 8080)])));
    assert!(
        reason.message.contains("/health answers 200"),
        "{}",
        reason.message
    );
    assert!(
        reason.next_steps[0]
            .spec
            .as_ref()
            .unwrap()
            .ends_with("health_check:\n    http_path: /health")
    );
}

#[test]
fn a_refused_host_header_is_recognised_by_the_apps_words() {
    let mut facts = instance_facts(with_probe(
        failed(response(400, "")),
        vec![socket("0.0.0.0", 8080)],
    ));
    facts.log_tail =
        vec!["Invalid HTTP_HOST header: '10.42.0.7:8080'. You may need to add it to ALLOWED_HOSTS.".into()];
    assert_eq!(reason(&facts).cause, Cause::HostHeaderRefused);
}

#[test]
fn redirects_are_healthy() {
    let instance = with_probe(
        probe(vec![response(302, "")], false),
        vec![socket("0.0.0.0", 8080)],
    );
    assert_eq!(diagnose(&instance_facts(instance)), Verdict::NoFailure);
}

/// A server lives, and its workers never do: the kernel's word comes before that of the probes.
#[test]
fn workers_that_are_killed_for_memory_again_and_again_are_no_slow_answer() {
    let kill = |second| MemoryKill {
        at: at(second),
        main_process: Some(false),
        process: Some("gunicorn".into()),
    };
    let mut instance = with_probe(failed(ProbeOutcome::TimedOut), vec![socket("0.0.0.0", 8080)]);
    instance.memory.kills = vec![kill(80), kill(85), kill(89)];
    instance.memory.peak_bytes = Some(512 * MIB);
    let told = reason(&instance_facts(instance.clone()));
    assert_eq!(
        (told.code, told.cause),
        (Code::ContainerOutOfMemory, Cause::ChildKilledForMemory)
    );
    assert!(told.message.contains("`gunicorn`"), "{}", told.message);
    // One that is long over only gets a word.
    instance.memory.kills = vec![kill(10)];
    let told = reason(&instance_facts(instance));
    assert_eq!(told.cause, Cause::HealthTimeout);
    assert!(told.warnings[0].contains("`gunicorn`"), "{:?}", told.warnings);
}
