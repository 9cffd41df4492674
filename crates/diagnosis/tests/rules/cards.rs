//! The card of each code, as a terminal of 80 columns without colour shows it. `UPDATE=1` accepts what is printed now.

use mainstay_diagnosis::{Code, ReasonView, facts::*, render};
use mainstay_spec::kind::ComponentKind;

use crate::world::*;

fn golden(name: &str, facts: &Facts) -> Code {
    let reason = reason(facts);
    let card = render::card(&ReasonView::from(&reason));
    for line in card.lines() {
        let unbreakable = !line.trim_start().contains(' ');
        assert!(
            line.chars().count() <= 80 || unbreakable,
            "{} columns: {line}",
            line.chars().count()
        );
    }
    insta::with_settings!({
        snapshot_path => "../golden/cards",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, card);
    });
    reason.code
}

#[test]
fn every_code_has_a_card() {
    let cards = [
        golden("internal_error", &internal_error()),
        golden("build_job_failed", &build_job_failed()),
        golden("build_job_exit_non_zero", &build_job_exit_non_zero()),
        golden("build_job_timeout", &build_job_timeout()),
        golden("build_job_out_of_memory", &build_job_out_of_memory()),
        golden("previous_build_reused", &previous_build_reused()),
        golden("build_rate_limit", &build_rate_limit()),
        golden(
            "container_command_not_executable",
            &container_command_not_executable(),
        ),
        golden("container_exit_non_zero", &container_exit_non_zero()),
        golden(
            "container_health_checks_failed",
            &container_health_checks_failed(),
        ),
        golden("container_out_of_memory", &container_out_of_memory()),
        golden("database_not_available", &database_not_available()),
        golden("database_not_found", &database_not_found()),
        golden("database_limit_exceeded", &database_limit_exceeded()),
        golden("resource_exhausted", &resource_exhausted()),
    ];
    let without: Vec<_> = Code::ALL.iter().filter(|code| !cards.contains(code)).collect();
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn causes_that_people_meet_most_have_a_card() {
    golden(
        "bound_to_loopback_while_waiting",
        &bound_to_loopback_while_waiting(),
    );
    golden("health_path_not_found", &health_path_not_found());
    golden("exited_normally", &exited_normally());
    golden("killed_by_unknown", &killed_by_unknown());
    golden("child_killed_for_memory", &child_killed_for_memory());
    golden("crlf_in_script", &crlf_in_script());
    golden("platform_kill_after_probes", &platform_kill_after_probes());
    golden("termination_failed", &termination_failed());
    golden("nothing_detected", &nothing_detected());
}

fn internal_error() -> Facts {
    let internal = InternalFacts {
        incident_id: "3f2a9c1e".into(),
        operation: "starting the instance".into(),
        error_chain: vec!["mount overlay: EIO".into()],
        attempts: 3,
    };
    Facts {
        subject: Subject::Internal(internal),
        ..instance_facts(instance())
    }
}

fn build_job_failed() -> Facts {
    build_facts(refused_build(BuildFault::OutputDirMissing {
        output_dir: ".output/public".into(),
        written: vec![("dist".into(), 260), ("node_modules/.cache".into(), 12)],
    }))
}

fn nothing_detected() -> Facts {
    let mut build = refused_build(BuildFault::NothingDetected {
        source_dir: "/".into(),
        files: vec!["README.md".into(), "web".into()],
        manifests_elsewhere: vec!["web/package.json".into()],
    });
    build.builder = None;
    let verdict = |builder: &str, reason: &str| DetectionVerdict {
        builder: builder.into(),
        accepted: false,
        reason: reason.into(),
    };
    build.detection = vec![
        verdict("node-js", "no package.json in /"),
        verdict("python", "no requirements.txt or pyproject.toml in /"),
        verdict("go", "no go.mod in /"),
        verdict("html", "no index.html in /"),
    ];
    build_facts(build)
}

fn build_job_exit_non_zero() -> Facts {
    let mut build = failed_build(1);
    build.steps[1] = StepFacts {
        text: "npm ci".into(),
        ..step("npm ci", Some(1))
    };
    build.findings.push(ToolFinding {
        tool: "npm".into(),
        identifier: "EUSAGE".into(),
        cause: Some(mainstay_diagnosis::Cause::LockfileOutOfStep),
        line: "Missing: lodash@4.17.21 from lock file".into(),
        subject: Some("package-lock.json".into()),
        clue: None,
    });
    let mut facts = build_facts(build);
    facts.changes.sentences = vec!["commit changed from 77b0a1d2 to 3f2a9c1e".into()];
    facts.log_tail = vec![
        "npm error code EUSAGE".into(),
        "npm error `npm ci` can only install packages when your package.json and package-lock.json are in sync.".into(),
        "npm error Missing: lodash@4.17.21 from lock file".into(),
    ];
    facts
}

fn build_job_timeout() -> Facts {
    let mut build = build();
    build.outcome = BuildOutcome::TimedOut;
    build.ended_at = at(3600);
    build.steps[1] = StepFacts {
        elapsed_ms: 3_580_000,
        termination: None,
        last_output_at: Some(at(300)),
        ..step("npm run build", None)
    };
    build_facts(build)
}

fn build_job_out_of_memory() -> Facts {
    let mut build = failed_build(7);
    build.steps[1].memory = MemoryRecord {
        limit_bytes: Some(2048 * MIB),
        peak_bytes: Some(2048 * MIB),
        kills: vec![memory_kill(22, Some(false))],
    };
    build_facts(build)
}

fn previous_build_reused() -> Facts {
    let reused = ReusedBuild {
        commit: Some("3f2a9c1e77aa0b6f5d2c".into()),
        deployment_id: "0b7e6c1a-5a1e-4a52-9d7a-1a4c9d0e7f11".into(),
        built_at: at(0),
        key_parts: vec![
            ("source".into(), "tree 3f2a9c1e".into()),
            ("stack".into(), "debian-12 2026-11-22".into()),
        ],
    };
    build_facts(BuildFacts {
        outcome: BuildOutcome::Reused(reused),
        ..build()
    })
}

fn build_rate_limit() -> Facts {
    let position = QueuePosition {
        scope: QueueScope::Machine,
        limit: 2,
        running: 2,
        position: 3,
        since: at(0),
    };
    build_facts(BuildFacts {
        outcome: BuildOutcome::Waiting(position),
        ..build()
    })
}

fn container_command_not_executable() -> Facts {
    let mut fault = exec_fault(ExecFaultKind::NotFound);
    fault.close_matches = vec!["gunicorn3".into()];
    let mut instance = InstanceFacts {
        refused: Some(fault),
        probe: None,
        ..instance()
    };
    instance.command.argv = vec!["gunicorn".into(), "app:app".into()];
    instance.builder = Some(BuilderChoice::new("python", "requirements.txt was found in /"));
    instance_facts(instance)
}

fn crlf_in_script() -> Facts {
    let mut fault = exec_fault(ExecFaultKind::CarriageReturnInInterpreter {
        first_line: "#!/bin/sh\r\n".into(),
    });
    fault.argv = vec!["./entrypoint.sh".into()];
    fault.resolved_path = Some("/app/entrypoint.sh".into());
    instance_facts(InstanceFacts {
        refused: Some(fault),
        probe: None,
        ..instance()
    })
}

fn container_exit_non_zero() -> Facts {
    let exits = vec![exited(1), exited(1), exited(1)];
    let instance = InstanceFacts {
        exits,
        restarts: 2,
        sockets: None,
        probe: None,
        ..instance()
    };
    let mut facts = instance_facts(instance);
    facts.changes.sentences = vec!["services[web].envs[DATABASE_URL] was removed".into()];
    facts.log_tail = vec![
        "Traceback (most recent call last):".into(),
        "  File \"/workspace/app.py\", line 4, in <module>".into(),
        "    url = os.environ[\"DATABASE_URL\"]".into(),
        "KeyError: 'DATABASE_URL'".into(),
    ];
    facts
}

fn exited_normally() -> Facts {
    instance_facts(InstanceFacts {
        exits: vec![exited(0)],
        sockets: None,
        probe: None,
        ..instance()
    })
}

fn killed_by_unknown() -> Facts {
    instance_facts(InstanceFacts {
        exits: vec![signaled(9)],
        sockets: None,
        probe: None,
        ..instance()
    })
}

fn termination_failed() -> Facts {
    let exit = ExitRecord {
        stop: Some(stop(StopReason::Replaced, true)),
        ..signaled(9)
    };
    let instance = InstanceFacts {
        exits: vec![exit],
        sockets: None,
        probe: None,
        ..instance()
    };
    Facts {
        kind: ComponentKind::Worker,
        component: "mailer".into(),
        ..instance_facts(instance)
    }
}

fn container_health_checks_failed() -> Facts {
    let instance = InstanceFacts {
        probe: Some(failed(ProbeOutcome::Refused)),
        sockets: Some(vec![socket("0.0.0.0", 3000)]),
        ..instance()
    };
    let mut facts = instance_facts(instance);
    facts.log_tail = vec!["Server ready on http://0.0.0.0:3000".into()];
    facts
}

fn bound_to_loopback_while_waiting() -> Facts {
    let instance = InstanceFacts {
        probe: Some(probe(vec![ProbeOutcome::Refused; 2], false)),
        sockets: Some(vec![socket("127.0.0.1", 8080)]),
        ..instance()
    };
    instance_facts(instance)
}

fn health_path_not_found() -> Facts {
    let mut probe = failed(response(404, "Cannot GET /healthz\n"));
    probe.answering_paths = vec!["/health".into()];
    instance_facts(InstanceFacts {
        probe: Some(probe),
        ..instance()
    })
}

fn platform_kill_after_probes() -> Facts {
    let exit = ExitRecord {
        ended_at: at(95),
        stop: Some(StopRecord {
            asked_at: at(94),
            ..stop(StopReason::ProbesFailed, true)
        }),
        ..signaled(9)
    };
    let instance = InstanceFacts {
        exits: vec![exit],
        probe: Some(failed(ProbeOutcome::Refused)),
        sockets: Some(vec![socket("::1", 8080)]),
        ..instance()
    };
    instance_facts(instance)
}

fn container_out_of_memory() -> Facts {
    let mut exit = signaled(9);
    exit.memory.peak_bytes = Some(512 * MIB);
    exit.memory.kills.push(memory_kill(2, Some(true)));
    instance_facts(InstanceFacts {
        exits: vec![exit],
        sockets: None,
        probe: None,
        ..instance()
    })
}

fn child_killed_for_memory() -> Facts {
    let mut exit = exited(1);
    exit.memory.peak_bytes = Some(512 * MIB);
    exit.memory.kills.push(memory_kill(1, Some(false)));
    instance_facts(InstanceFacts {
        exits: vec![exit],
        sockets: None,
        probe: None,
        ..instance()
    })
}

fn database(outcome: DatabaseOutcome) -> Facts {
    let database = DatabaseFacts {
        name: "db".into(),
        engine: "PostgreSQL".into(),
        address: "db.internal:5432".into(),
        attempts: 4,
        deadline_passed: true,
        outcome,
    };
    Facts {
        subject: Subject::Database(database),
        ..instance_facts(instance())
    }
}

fn database_not_available() -> Facts {
    database(DatabaseOutcome::NotAvailable {
        problem: DatabaseProblem::LoginRefused,
        server_code: Some("28P01".into()),
        message: "password authentication failed for user \"shop\"".into(),
    })
}

fn database_not_found() -> Facts {
    database(DatabaseOutcome::NotFound {
        reference: "${db.DATABASE_URL}".into(),
        place: "services[web].envs[DATABASE_URL]".into(),
        existing: vec!["db-main".into()],
    })
}

fn database_limit_exceeded() -> Facts {
    database(DatabaseOutcome::LimitExceeded {
        limit: DatabaseLimit::Connections,
        maximum: 97,
        used: 97,
        asked: Some(20),
        users: vec![("web".into(), 60), ("worker".into(), 37)],
    })
}

fn resource_exhausted() -> Facts {
    let quota = QuotaFacts {
        resource: "memory".into(),
        scope: QuotaScope::Node,
        unit: QuotaUnit::Bytes,
        limit: 8192 * MIB,
        used: 7680 * MIB,
        asked: 1024 * MIB,
        biggest: vec![("shop/web".into(), 4096 * MIB), ("blog/web".into(), 2048 * MIB)],
        waiting: false,
    };
    Facts {
        subject: Subject::Quota(quota),
        ..instance_facts(instance())
    }
}
