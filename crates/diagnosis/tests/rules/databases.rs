//! Databases and quotas: what still waits, and what is over.

use mainstay_diagnosis::{Cause, Code, Verdict, diagnose, facts::*};

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
