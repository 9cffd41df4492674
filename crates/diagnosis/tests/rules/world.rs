//! Builders of facts: a healthy service or a successful build, to be broken by each test.

use jiff::{Timestamp, ToSpan};
use mainstay_diagnosis::{Reason, Verdict, diagnose, facts::*};
use mainstay_spec::{JobKind, kind::ComponentKind};

pub(crate) const MIB: u64 = 1 << 20;

/// Seconds after a fixed start.
pub(crate) fn at(second: i64) -> Timestamp {
    "2026-11-22T12:00:00Z".parse::<Timestamp>().expect("a time") + second.seconds()
}

pub(crate) fn instance_facts(instance: InstanceFacts) -> Facts {
    Facts {
        component: "web".into(),
        kind: ComponentKind::Service,
        observed_at: at(90),
        subject: Subject::Instance(instance),
        log_tail: Vec::new(),
        changes: Changes::default(),
    }
}

pub(crate) fn build_facts(build: BuildFacts) -> Facts {
    Facts {
        subject: Subject::Build(build),
        ..instance_facts(instance())
    }
}

pub(crate) fn job_facts(mut instance: InstanceFacts) -> Facts {
    instance.job = Some(JobFacts {
        kind: JobKind::PreDeploy,
        time_limit_seconds: 1800,
        blocks: vec!["web".into(), "mailer".into()],
    });
    instance.probe = None;
    Facts {
        component: "migrate".into(),
        kind: ComponentKind::Job,
        ..instance_facts(instance)
    }
}

/// A healthy service: started, listening, probed.
pub(crate) fn instance() -> InstanceFacts {
    InstanceFacts {
        command: CommandFacts {
            argv: vec!["node".into(), "server.js".into()],
            source: Some(CommandSource::RunCommand),
            working_dir: Some("/workspace".into()),
            user: Some("app".into()),
        },
        size: SizeFacts {
            slug: "apps-s-1vcpu-0.5gb".into(),
            memory_bytes: 512 * MIB,
            cpu_millis: 1000,
        },
        refused: None,
        exits: Vec::new(),
        restarts: 0,
        was_ready: false,
        started_at: Some(at(0)),
        first_listen_at: Some(at(1)),
        sockets: Some(vec![socket("0.0.0.0", 8080)]),
        outbound_failures: Vec::new(),
        unknown_names: Vec::new(),
        memory: MemoryRecord {
            limit_bytes: Some(512 * MIB),
            peak_bytes: Some(60 * MIB),
            kills: Vec::new(),
        },
        memory_course: Vec::new(),
        cpu_share: Some(0.02),
        cpu_throttled_share: None,
        probe: Some(probe(vec![ProbeOutcome::Connected], false)),
        variables: vec!["PATH".into(), "PORT".into()],
        job: None,
        builder: None,
        databases: Vec::new(),
    }
}

pub(crate) fn socket(address: &str, port: u16) -> ListeningSocket {
    ListeningSocket {
        address: address.parse().expect("an address"),
        port,
        pid: Some(7),
        program: Some("node".into()),
    }
}

pub(crate) fn probe(outcomes: Vec<ProbeOutcome>, threshold_reached: bool) -> ProbeFacts {
    let attempts = u32::try_from(outcomes.len()).expect("few");
    let attempt = |(second, outcome)| ProbeAttempt {
        at: at(second * 10_i64 + 10),
        target: "http://10.42.0.7:8080/".into(),
        elapsed_ms: 1,
        outcome,
    };
    ProbeFacts {
        definition: ProbeDefinition {
            http_path: Some("/healthz".into()),
            port: 8080,
            initial_delay_seconds: 0,
            period_seconds: 10,
            timeout_seconds: 1,
            success_threshold: 1,
            failure_threshold: 9,
        },
        transcript: (0..).zip(outcomes).map(attempt).collect(),
        attempts,
        threshold_reached,
        through_router: false,
        liveness: false,
        answering_paths: Vec::new(),
    }
}

/// Nine times the same, to the threshold.
pub(crate) fn failed(outcome: ProbeOutcome) -> ProbeFacts {
    probe(vec![outcome; 9], true)
}

pub(crate) fn response(status: u16, body_start: &str) -> ProbeOutcome {
    ProbeOutcome::Response {
        status,
        headers: Vec::new(),
        body_start: body_start.into(),
    }
}

pub(crate) fn exited(code: i32) -> ExitRecord {
    ended(Termination::Exited { code })
}

pub(crate) fn signaled(signal: i32) -> ExitRecord {
    ended(Termination::Signaled {
        signal,
        core_dumped: false,
    })
}

/// Ended 2 s after its start.
pub(crate) fn ended(termination: Termination) -> ExitRecord {
    ExitRecord {
        termination: Some(termination),
        started_at: Some(at(0)),
        ended_at: at(2),
        stop: None,
        memory: MemoryRecord {
            limit_bytes: Some(512 * MIB),
            peak_bytes: Some(60 * MIB),
            kills: Vec::new(),
        },
        cpu_usage_micros: Some(400_000),
        cpu_throttled_micros: Some(0),
        pids_limit_hits: Some(0),
        exec_fault: None,
        course: Course::default(),
    }
}

pub(crate) fn stop(reason: StopReason, killed: bool) -> StopRecord {
    StopRecord {
        reason,
        asked_at: at(1),
        grace_period_seconds: 1,
        killed_at: killed.then(|| at(2)),
    }
}

pub(crate) fn memory_kill(second: i64, main_process: Option<bool>) -> MemoryKill {
    MemoryKill {
        at: at(second),
        main_process,
        process: Some("node".into()),
    }
}

pub(crate) fn exec_fault(kind: ExecFaultKind) -> ExecFault {
    ExecFault {
        argv: vec!["gunicorn".into(), "app:app".into()],
        kind,
        resolved_path: None,
        errno: Some(2),
        search_path: Some("/usr/local/bin:/usr/bin:/bin".into()),
        close_matches: Vec::new(),
        preflight: true,
    }
}

/// A successful build of two steps.
pub(crate) fn build() -> BuildFacts {
    BuildFacts {
        source: Some(SourceFacts {
            origin: "https://git.example/shop.git".into(),
            branch: Some("main".into()),
            commit: Some("3f2a9c1e77aa0b6f5d2c".into()),
            source_dir: "/".into(),
        }),
        builder: Some(BuilderChoice::new("node-js", "package.json was found in /")),
        detection: Vec::new(),
        tools: vec![("node".into(), "22.11.0".into()), ("npm".into(), "10.9.0".into())],
        version_reasons: Vec::new(),
        steps: vec![step("npm ci", Some(0)), step("npm run build", Some(0))],
        memory: MemoryRecord {
            limit_bytes: Some(2048 * MIB),
            peak_bytes: Some(300 * MIB),
            kills: Vec::new(),
        },
        started_at: at(0),
        ended_at: at(40),
        time_limit_seconds: 3600,
        findings: Vec::new(),
        variables: vec!["CI".into(), "PATH".into()],
        run_time_variables: Vec::new(),
        outcome: BuildOutcome::Succeeded,
    }
}

pub(crate) fn step(text: &str, code: Option<i32>) -> StepFacts {
    StepFacts {
        text: text.into(),
        origin: StepOrigin::Buildpack,
        line: None,
        started_at: at(20),
        elapsed_ms: 4200,
        termination: code.map(|code| Termination::Exited { code }),
        memory: MemoryRecord::default(),
        last_output_at: Some(at(24)),
        disk_full: false,
        pids_limit_hits: None,
    }
}

/// The second step ended with this code.
pub(crate) fn failed_build(code: i32) -> BuildFacts {
    let mut build = build();
    build.steps[1] = step("npm run build", Some(code));
    build.outcome = BuildOutcome::StepFailed;
    build
}

pub(crate) fn refused_build(fault: BuildFault) -> BuildFacts {
    let mut build = build();
    build.steps.clear();
    build.outcome = BuildOutcome::Failed(fault);
    build
}

pub(crate) fn reason(facts: &Facts) -> Reason {
    match diagnose(facts) {
        Verdict::NoFailure => panic!("no reason for {facts:#?}"),
        Verdict::Note(reason) | Verdict::Waiting(reason) | Verdict::Failure(reason) => *reason,
    }
}
