//! Facts of every kind, sensible and senseless ones alike: whatever is collected, the rules have to stay total.

mod builds;

use std::net::IpAddr;

use jiff::Timestamp;
use mainstay_diagnosis::facts::*;
use mainstay_spec::{JobKind, kind::ComponentKind};
use proptest::{collection::vec, option, prelude::*};

use self::builds::build;
use crate::world::at;

pub(crate) fn facts() -> impl Strategy<Value = Facts> {
    (subject(), kind(), log_lines(), changes()).prop_map(|(subject, kind, log_tail, changes)| Facts {
        component: "web".into(),
        kind,
        observed_at: at(5000),
        subject,
        log_tail,
        changes,
    })
}

/// Lines that the tables know stand beside harmless ones.
pub(crate) fn log_lines() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        Just("listening on port 8080".to_owned()),
        Just("Error: Cannot find module 'express'".to_owned()),
        Just("KeyError: 'DATABASE_URL'".to_owned()),
        Just("FATAL ERROR: JavaScript heap out of memory".to_owned()),
        Just("sh: 1: gunicorn: not found".to_owned()),
        Just("Killed".to_owned()),
        Just("exit status 137, out of memory, health check failed".to_owned()),
        Just("npm error code EUSAGE".to_owned()),
        Just("connect ECONNREFUSED 127.0.0.1:5432".to_owned()),
        Just("ValueError: ${db.DATABASE_URL}".to_owned()),
        Just("  Field required [type=missing]".to_owned()),
        Just("Invalid HTTP_HOST header: '10.0.0.1'".to_owned()),
        Just("bash: exec: x: Permission denied".to_owned()),
        "[ -~]{0,40}",
        "\\PC{0,20}",
    ];
    vec(line, 0..6)
}

pub(crate) fn changes() -> impl Strategy<Value = Changes> {
    let sentences = vec(
        prop_oneof![
            Just("services[web].envs[DATABASE_URL] was removed".to_owned()),
            Just("services[web].http_port changed from 3000 to 8080".to_owned()),
        ],
        0..3,
    );
    (option::of(Just("3f2a9c1e".to_owned())), sentences)
        .prop_map(|(since, sentences)| Changes { since, sentences })
}

pub(crate) fn variables() -> impl Strategy<Value = Vec<String>> {
    vec(
        prop_oneof![
            Just("DATABASE_URL".to_owned()),
            Just("PORT".to_owned()),
            "[A-Z_]{1,12}"
        ],
        0..4,
    )
}

pub(crate) fn outbound_failures() -> impl Strategy<Value = Vec<OutboundFailure>> {
    let result = prop_oneof![
        Just(OutboundResult::Refused),
        Just(OutboundResult::TimedOut),
        Just(OutboundResult::Unreachable)
    ];
    let failure = (
        address(),
        prop_oneof![Just(5432), Just(443), any::<u16>()],
        result,
        time(),
    )
        .prop_map(|(address, port, result, at)| OutboundFailure {
            address,
            port,
            result,
            at,
        });
    vec(failure, 0..3)
}

pub(crate) fn unknown_names() -> impl Strategy<Value = Vec<UnknownName>> {
    let name = ("[a-z.]{1,20}", time()).prop_map(|(name, at)| UnknownName { name, at });
    vec(name, 0..3)
}

fn kind() -> impl Strategy<Value = ComponentKind> {
    prop_oneof![
        Just(ComponentKind::Service),
        Just(ComponentKind::Worker),
        Just(ComponentKind::Job),
        Just(ComponentKind::StaticSite)
    ]
}

fn subject() -> impl Strategy<Value = Subject> {
    let internal = any::<u32>().prop_map(|attempts| {
        Subject::Internal(InternalFacts {
            incident_id: "3f2a9c1e".into(),
            operation: "starting the instance".into(),
            error_chain: Vec::new(),
            attempts,
        })
    });
    prop_oneof![
        // Boxed: the values of all strategies together are too large for a test's stack.
        6 => instance().prop_map(Subject::Instance).boxed(),
        4 => build().prop_map(Subject::Build).boxed(),
        1 => database().prop_map(Subject::Database).boxed(),
        1 => quota().prop_map(Subject::Quota).boxed(),
        1 => internal,
    ]
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0_i64..5000).prop_map(at)
}

fn address() -> impl Strategy<Value = IpAddr> {
    let fixed = |text: &'static str| Just(text.parse::<IpAddr>().expect("an address"));
    prop_oneof![
        fixed("0.0.0.0"),
        fixed("127.0.0.1"),
        fixed("::"),
        fixed("::1"),
        fixed("::ffff:127.0.0.1"),
        fixed("10.0.0.9")
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[ -~]{1,30}", "\\PC{0,10}"]
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..4)
}

fn termination() -> impl Strategy<Value = Termination> {
    let code = prop_oneof![Just(0), Just(1), Just(126), Just(127), Just(137), 0..256];
    let signal = prop_oneof![Just(6), Just(9), Just(11), Just(15), 1..65];
    prop_oneof![
        code.prop_map(|code| Termination::Exited { code }),
        (signal, any::<bool>())
            .prop_map(|(signal, core_dumped)| Termination::Signaled { signal, core_dumped }),
    ]
}

fn memory() -> impl Strategy<Value = MemoryRecord> {
    let kill =
        (time(), option::of(any::<bool>()), option::of(text())).prop_map(|(at, main_process, process)| {
            MemoryKill {
                at,
                main_process,
                process,
            }
        });
    let kills = prop_oneof![3 => Just(Vec::new()), 1 => vec(kill, 1..3)];
    (option::of(any::<u64>()), option::of(any::<u64>()), kills).prop_map(
        |(limit_bytes, peak_bytes, kills)| MemoryRecord {
            limit_bytes,
            peak_bytes,
            kills,
        },
    )
}

fn stop() -> impl Strategy<Value = StopRecord> {
    let reason = prop_oneof![
        Just(StopReason::Replaced),
        Just(StopReason::DeploymentEnded),
        Just(StopReason::ProbesFailed),
        Just(StopReason::TimeLimit),
        Just(StopReason::Requested),
        Just(StopReason::Shutdown),
    ];
    (reason, time(), any::<u32>(), option::of(time())).prop_map(
        |(reason, asked_at, grace_period_seconds, killed_at)| StopRecord {
            reason,
            asked_at,
            grace_period_seconds,
            killed_at,
        },
    )
}

fn exit() -> impl Strategy<Value = ExitRecord> {
    let stop = prop_oneof![2 => Just(None), 1 => stop().prop_map(Some)];
    let fault = prop_oneof![6 => Just(None), 1 => exec_fault().prop_map(Some)];
    (
        option::weighted(0.9, termination()),
        option::of(time()),
        time(),
        stop,
        memory(),
        option::of(0_u64..3),
        fault,
    )
        .prop_map(
            |(termination, started_at, ended_at, stop, memory, pids_limit_hits, exec_fault)| ExitRecord {
                termination,
                started_at,
                ended_at,
                stop,
                memory,
                cpu_usage_micros: None,
                cpu_throttled_micros: None,
                pids_limit_hits,
                exec_fault,
                course: Course::default(),
            },
        )
}

fn exec_fault() -> impl Strategy<Value = ExecFault> {
    let kind = prop_oneof![
        texts().prop_map(|looked_for| ExecFaultKind::NoRunCommand { looked_for }),
        Just(ExecFaultKind::NotFound),
        option::of(any::<u32>()).prop_map(|mode| ExecFaultKind::NotExecutable { mode }),
        Just(ExecFaultKind::IsDirectory),
        text().prop_map(|interpreter| ExecFaultKind::InterpreterMissing { interpreter }),
        text().prop_map(|first_line| ExecFaultKind::CarriageReturnInInterpreter { first_line }),
        (text(), text()).prop_map(|(machine, node)| ExecFaultKind::WrongArchitecture { machine, node }),
        text().prop_map(|first_bytes| ExecFaultKind::UnknownFormat { first_bytes }),
        text().prop_map(|path| ExecFaultKind::WorkingDirectoryMissing { path }),
        text().prop_map(|user| ExecFaultKind::UserUnknown { user }),
        text().prop_map(|message| ExecFaultKind::Other { message }),
    ];
    (
        texts(),
        kind,
        option::of(text()),
        option::of(any::<i32>()),
        option::of(text()),
        texts(),
        any::<bool>(),
    )
        .prop_map(
            |(argv, kind, resolved_path, errno, search_path, close_matches, preflight)| ExecFault {
                argv,
                kind,
                resolved_path,
                errno,
                search_path,
                close_matches,
                preflight,
            },
        )
}

fn outcome() -> impl Strategy<Value = ProbeOutcome> {
    prop_oneof![
        Just(ProbeOutcome::Connected),
        Just(ProbeOutcome::Refused),
        Just(ProbeOutcome::TimedOut),
        Just(ProbeOutcome::Unreachable),
        text().prop_map(|message| ProbeOutcome::Broken { message }),
        (100_u16..600, text()).prop_map(|(status, body_start)| ProbeOutcome::Response {
            status,
            headers: vec![("location".into(), "/login".into())],
            body_start,
        }),
    ]
}

fn probe() -> impl Strategy<Value = ProbeFacts> {
    let attempt = (time(), text(), outcome()).prop_map(|(at, target, outcome)| ProbeAttempt {
        at,
        target,
        elapsed_ms: 1,
        outcome,
    });
    let definition = (
        option::of(Just("/healthz".to_owned())),
        prop_oneof![Just(8080), any::<u16>()],
        any::<u32>(),
        any::<u32>(),
    )
        .prop_map(|(http_path, port, delay, threshold)| ProbeDefinition {
            http_path,
            port,
            initial_delay_seconds: delay,
            period_seconds: threshold,
            timeout_seconds: delay,
            success_threshold: 1,
            failure_threshold: threshold,
        });
    (
        definition,
        vec(attempt, 0..5),
        any::<u32>(),
        any::<bool>(),
        any::<bool>(),
        texts(),
    )
        .prop_map(
            |(definition, transcript, attempts, threshold_reached, liveness, answering_paths)| ProbeFacts {
                definition,
                transcript,
                attempts,
                threshold_reached,
                through_router: false,
                liveness,
                answering_paths,
            },
        )
}

fn sockets() -> impl Strategy<Value = Vec<ListeningSocket>> {
    let socket = (
        address(),
        prop_oneof![Just(8080), any::<u16>()],
        option::of(any::<i32>()),
        option::of(text()),
    )
        .prop_map(|(address, port, pid, program)| ListeningSocket {
            address,
            port,
            pid,
            program,
        });
    vec(socket, 0..3)
}

fn command() -> impl Strategy<Value = CommandFacts> {
    let word = prop_oneof![
        Just("node".to_owned()),
        Just("&&".to_owned()),
        Just("$PORT".to_owned()),
        text()
    ];
    vec(word, 0..4).prop_map(|argv| CommandFacts {
        argv,
        source: Some(CommandSource::RunCommand),
        working_dir: None,
        user: None,
    })
}

fn job() -> impl Strategy<Value = JobFacts> {
    let kind = prop_oneof![
        Just(JobKind::PreDeploy),
        Just(JobKind::PostDeploy),
        Just(JobKind::FailedDeploy),
        Just(JobKind::Scheduled),
    ];
    (kind, any::<u64>(), vec("[a-z]{2,6}", 0..3)).prop_map(|(kind, time_limit_seconds, blocks)| JobFacts {
        kind,
        time_limit_seconds,
        blocks,
    })
}

fn instance() -> impl Strategy<Value = InstanceFacts> {
    let ends = (
        prop_oneof![5 => Just(None), 1 => exec_fault().prop_map(Some)],
        vec(exit(), 0..4),
        any::<bool>(),
        option::of(job()),
    );
    let life = (
        option::of(time()),
        option::of(time()),
        option::of(sockets()),
        (outbound_failures(), unknown_names()),
        memory(),
    );
    let rest = (
        option::of(0.0..1.0_f64),
        option::of(probe()),
        variables(),
        command(),
        any::<u64>(),
    );
    (ends, life, rest).prop_map(|(ends, life, rest)| InstanceFacts {
        command: rest.3,
        size: SizeFacts {
            slug: "apps-s-1vcpu-0.5gb".into(),
            memory_bytes: rest.4,
            cpu_millis: 1000,
        },
        refused: ends.0,
        exits: ends.1,
        restarts: 0,
        was_ready: ends.2,
        started_at: life.0,
        first_listen_at: life.1,
        sockets: life.2,
        outbound_failures: life.3.0,
        unknown_names: life.3.1,
        memory: life.4,
        memory_course: Vec::new(),
        cpu_share: rest.0,
        cpu_throttled_share: None,
        probe: rest.1,
        variables: rest.2,
        job: ends.3,
        builder: None,
        databases: Vec::new(),
    })
}

fn database() -> impl Strategy<Value = DatabaseFacts> {
    let problem = prop_oneof![
        Just(DatabaseProblem::HostNotFound),
        Just(DatabaseProblem::Refused),
        Just(DatabaseProblem::CertificateUntrusted),
        Just(DatabaseProblem::LoginRefused),
        Just(DatabaseProblem::NotPermitted),
        Just(DatabaseProblem::Starting),
        Just(DatabaseProblem::ReadOnly),
        Just(DatabaseProblem::ReadOnlyRole),
        Just(DatabaseProblem::StorageFull),
        Just(DatabaseProblem::TlsRequired),
        Just(DatabaseProblem::Ended),
        Just(DatabaseProblem::VolumeLost),
        Just(DatabaseProblem::Other),
    ];
    let limit = prop_oneof![
        Just(DatabaseLimit::Databases),
        Just(DatabaseLimit::Connections),
        Just(DatabaseLimit::StorageBytes),
        Just(DatabaseLimit::Users),
    ];
    let outcome = prop_oneof![
        Just(DatabaseOutcome::Available),
        (problem, option::of(text()), text()).prop_map(|(problem, server_code, message)| {
            DatabaseOutcome::NotAvailable {
                problem,
                server_code,
                message,
            }
        }),
        (text(), text(), texts()).prop_map(|(reference, place, existing)| DatabaseOutcome::NotFound {
            reference,
            place,
            existing
        }),
        (limit, any::<u64>(), any::<u64>(), option::of(any::<u64>())).prop_map(
            |(limit, maximum, used, asked)| DatabaseOutcome::LimitExceeded {
                limit,
                maximum,
                used,
                asked,
                users: Vec::new()
            }
        ),
    ];
    (outcome, any::<u32>(), any::<bool>()).prop_map(|(outcome, attempts, deadline_passed)| DatabaseFacts {
        name: "db".into(),
        engine: "PostgreSQL".into(),
        address: "db.internal:5432".into(),
        attempts,
        deadline_passed,
        outcome,
    })
}

fn quota() -> impl Strategy<Value = QuotaFacts> {
    let scope = prop_oneof![Just(QuotaScope::Account), Just(QuotaScope::Node)];
    let unit = prop_oneof![
        Just(QuotaUnit::Count),
        Just(QuotaUnit::Bytes),
        Just(QuotaUnit::CpuMillis)
    ];
    (scope, unit, any::<(u64, u64, u64)>(), any::<bool>()).prop_map(
        |(scope, unit, (limit, used, asked), waiting)| QuotaFacts {
            resource: "memory".into(),
            scope,
            unit,
            limit,
            used,
            asked,
            biggest: Vec::new(),
            waiting,
        },
    )
}
