//! Databases and quotas: what still waits, and what is over.

use mainstay_diagnosis::{Cause, Code, Evidence, Verdict, diagnose, facts::*};

use crate::world::*;

fn unavailable(problem: DatabaseProblem, deadline_passed: bool) -> Facts {
    let database = DatabaseFacts {
        name: "db".into(),
        engine: "PostgreSQL".into(),
        address: "db.internal:5432".into(),
        attempts: 4,
        deadline_passed,
        outcome: DatabaseOutcome::NotAvailable {
            problem,
            server_code: None,
            message: String::new(),
        },
    };
    Facts {
        subject: Subject::Database(database),
        ..instance_facts(instance())
    }
}

fn quota(scope: QuotaScope, waiting: bool) -> Facts {
    let quota = QuotaFacts {
        resource: "memory".into(),
        scope,
        unit: QuotaUnit::Bytes,
        limit: 1024 * MIB,
        used: 1000 * MIB,
        asked: 512 * MIB,
        biggest: Vec::new(),
        waiting,
    };
    Facts {
        subject: Subject::Quota(quota),
        ..instance_facts(instance())
    }
}

#[test]
fn a_database_that_starts_is_waited_for_until_the_deadline() {
    let Verdict::Waiting(reason) = diagnose(&unavailable(DatabaseProblem::Starting, false)) else {
        panic!("waiting")
    };
    assert_eq!(
        (reason.code, reason.cause),
        (Code::DatabaseNotAvailable, Cause::DatabaseStarting)
    );
    assert!(diagnose(&unavailable(DatabaseProblem::Starting, true)).is_failure());
}

#[test]
fn room_on_the_machine_is_waited_for_and_a_quota_is_not() {
    assert!(matches!(
        diagnose(&quota(QuotaScope::Node, true)),
        Verdict::Waiting(_)
    ));
    assert!(diagnose(&quota(QuotaScope::Node, false)).is_failure());
    assert!(diagnose(&quota(QuotaScope::Account, true)).is_failure());
    let reason = reason(&quota(QuotaScope::Account, true));
    assert!(
        reason.message.contains("512 MiB") && reason.message.contains("1000 MiB"),
        "{}",
        reason.message
    );
}

/// An instance that exited with 1, whose database refuses the login.
fn ended(is_known: bool, log: &[&str]) -> Facts {
    let Subject::Database(database) = unavailable(DatabaseProblem::LoginRefused, true).subject else {
        unreachable!("made above")
    };
    let used = UsedDatabase {
        is_known,
        facts: database,
    };
    let instance = InstanceFacts {
        databases: vec![used],
        ..crate::instance::with_exit(exited(1))
    };
    Facts {
        log_tail: log.iter().map(|line| (*line).to_owned()).collect(),
        ..instance_facts(instance)
    }
}

fn verdict(facts: &Facts) -> (Code, Cause) {
    let reason = reason(facts);
    let shown = reason
        .evidence
        .iter()
        .any(|evidence| matches!(evidence, Evidence::Database(_)));
    assert_eq!(
        shown,
        reason.cause != Cause::ModuleNotFound,
        "{:?}",
        reason.evidence
    );
    (reason.code, reason.cause)
}

#[test]
fn an_end_that_a_known_database_explains_has_the_databases_code() {
    let facts = ended(true, &["something went wrong"]);
    assert_eq!(verdict(&facts), (Code::DatabaseNotAvailable, Cause::DatabaseAuth));
    let message = reason(&facts).message;
    assert!(
        message.contains("refuses the login") && message.contains("exited with code 1"),
        "{message}"
    );
}

#[test]
fn an_address_in_a_variable_explains_but_keeps_the_code() {
    let facts = ended(false, &["something went wrong"]);
    assert_eq!(verdict(&facts), (Code::ContainerExitNonZero, Cause::DatabaseAuth));
    let mut facts = ended(false, &["OSError: [Errno -2] Name or service not known"]);
    let Subject::Instance(instance) = &mut facts.subject else {
        unreachable!("made above")
    };
    instance.databases[0].facts.outcome = DatabaseOutcome::NotAvailable {
        problem: DatabaseProblem::HostNotFound,
        server_code: None,
        message: "Name or service not known".into(),
    };
    assert_eq!(
        verdict(&facts),
        (Code::ContainerExitNonZero, Cause::DatabaseHostNotFound)
    );
}

#[test]
fn an_end_that_speaks_of_something_else_is_not_the_databases() {
    let facts = ended(true, &["Error: Cannot find module 'express'"]);
    assert_eq!(
        verdict(&facts),
        (Code::ContainerExitNonZero, Cause::ModuleNotFound)
    );
    let mut normal = ended(true, &[]);
    let Subject::Instance(instance) = &mut normal.subject else {
        unreachable!("made above")
    };
    instance.exits = vec![exited(0)];
    assert_eq!(reason(&normal).cause, Cause::ExitedNormally);
}
