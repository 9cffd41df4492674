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

#[test]
fn the_accounts_limit_on_databases_has_a_code_of_its_own() {
    let of_databases = |scope| {
        let mut facts = quota(scope, false);
        if let Subject::Quota(quota) = &mut facts.subject {
            quota.resource = "databases".into();
        }
        let reason = reason(&facts);
        (reason.code, reason.cause)
    };
    assert_eq!(
        of_databases(QuotaScope::Account),
        (Code::DatabaseLimitExceeded, Cause::DatabaseQuota)
    );
    assert_eq!(
        of_databases(QuotaScope::Node),
        (Code::ResourceExhausted, Cause::NodeCapacity)
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
        schema_right: None,
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

#[test]
fn each_problem_of_a_server_is_told_with_its_layer() {
    let problems = [
        (DatabaseProblem::Starting, Cause::DatabaseStarting, "login"),
        (DatabaseProblem::NotPermitted, Cause::DatabasePermission, "login"),
        (DatabaseProblem::ReadOnly, Cause::DatabaseReadOnly, "query"),
        (DatabaseProblem::StorageFull, Cause::DatabaseStorageFull, "query"),
        (DatabaseProblem::Ended, Cause::DatabaseServerEnded, "process"),
    ];
    for (problem, cause, layer) in problems {
        let reason = reason(&unavailable(problem, true));
        assert_eq!((reason.code, reason.cause), (Code::DatabaseNotAvailable, cause));
        assert_eq!(problem.layer(), layer);
    }
}

/// An end of which the log speaks so, of an app whose role may not create in its schema.
fn ended_without_right(log: &str) -> Facts {
    let mut facts = ended(true, &[log]);
    let Subject::Instance(instance) = &mut facts.subject else {
        unreachable!("made above")
    };
    let used = &mut instance.databases[0];
    used.facts.outcome = DatabaseOutcome::Available;
    used.schema_right = Some(SchemaRight {
        schema: "public".into(),
        role: "shop".into(),
        may_create: false,
    });
    facts
}

#[test]
fn a_right_that_is_missing_is_named_with_its_role_and_the_statement_that_gives_it() {
    let facts = ended_without_right("ERROR: permission denied for schema public");
    assert_eq!(
        verdict(&facts),
        (Code::ContainerExitNonZero, Cause::DatabasePermission)
    );
    let reason = reason(&facts);
    let fact = "role `shop` may not create in the schema `public` of database `db`";
    assert!(reason.message.contains(fact), "{}", reason.message);
    let grants =
        |step: &mainstay_diagnosis::NextStep| step.text.contains("GRANT CREATE ON SCHEMA public TO \"shop\"");
    assert!(reason.next_steps.iter().any(grants), "{:?}", reason.next_steps);
}

#[test]
fn a_role_that_never_has_to_create_is_no_cause() {
    let reason = reason(&ended_without_right("Error: Cannot find module 'express'"));
    assert_eq!(reason.cause, Cause::ModuleNotFound);
    assert!(!reason.message.contains("may not create"), "{}", reason.message);
}

#[test]
fn a_role_that_may_only_read_keeps_from_writing_and_from_nothing_else() {
    let ended_as_reader = |log: &str| {
        let mut facts = ended(true, &[log]);
        let Subject::Instance(instance) = &mut facts.subject else {
            unreachable!("made above")
        };
        instance.databases[0].facts.outcome = DatabaseOutcome::NotAvailable {
            problem: DatabaseProblem::ReadOnlyRole,
            server_code: None,
            message: String::new(),
        };
        facts
    };
    let writes = ended_as_reader("ERROR: cannot execute INSERT in a read-only transaction");
    assert_eq!(
        verdict(&writes),
        (Code::DatabaseNotAvailable, Cause::DatabaseReadOnly)
    );
    let otherwise = reason(&ended_as_reader("something went wrong"));
    assert_eq!(
        (otherwise.code, otherwise.cause),
        (Code::ContainerExitNonZero, Cause::ExitedWithError)
    );
}

#[test]
fn a_limit_whose_numbers_nobody_told_is_told_without_numbers() {
    let mut facts = unavailable(DatabaseProblem::Other, true);
    let Subject::Database(database) = &mut facts.subject else {
        unreachable!("made above")
    };
    database.outcome = DatabaseOutcome::LimitExceeded {
        limit: DatabaseLimit::Connections,
        maximum: 0,
        used: 0,
        asked: None,
        users: Vec::new(),
    };
    let message = reason(&facts).message;
    assert!(message.contains("all connections are in use"), "{message}");
}
