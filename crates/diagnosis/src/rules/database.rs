//! Databases that the platform knows: its own probe decides.

use super::Finding;
use crate::{
    Cause, Code, Evidence, NextStep, Retry, Verdict,
    facts::{
        DatabaseFacts, DatabaseLimit, DatabaseOutcome, DatabaseProblem, Facts, InstanceFacts, SchemaRight,
        UsedDatabase,
    },
    words,
};

pub(super) fn diagnose(facts: &Facts, database: &DatabaseFacts) -> Verdict {
    let Some((finding, is_retried)) = finding(facts, database) else {
        return Verdict::NoFailure;
    };
    let goes_on = is_retried && !database.deadline_passed;
    let retry = if goes_on { Retry::UntilDeadline } else { Retry::No };
    let reason = finding.retry(retry).into_reason(facts);
    if goes_on {
        Verdict::Waiting(reason)
    } else {
        Verdict::Failure(reason)
    }
}

/// What kept an instance that ended from its database, where nothing that it said speaks of something else.
pub(super) fn behind_an_end(instance: &InstanceFacts, refined: Option<Cause>) -> Option<&UsedDatabase> {
    let may_be = refined.is_none_or(|cause| cause.is_of_databases() || cause.is_of_connections());
    let fails = |used: &&UsedDatabase| match &used.facts.outcome {
        DatabaseOutcome::Available => false,
        // A role that is meant to read only is no trouble of whoever only reads.
        DatabaseOutcome::NotAvailable {
            problem: DatabaseProblem::ReadOnlyRole,
            ..
        } => refined == Some(Cause::DatabaseReadOnly),
        _ => true,
    };
    instance.databases.iter().find(fails).filter(|_| may_be)
}

/// For an end by a right that is missing: the database whose role may not create in its own schema.
pub(super) fn without_right(instance: &InstanceFacts, cause: Cause) -> Option<(&UsedDatabase, &SchemaRight)> {
    let mut lacking = instance.databases.iter().filter_map(|used| {
        let right = used.schema_right.as_ref().filter(|right| !right.may_create)?;
        Some((used, right))
    });
    lacking.next().filter(|_| cause == Cause::DatabasePermission)
}

/// How its owner gives the right.
pub(super) fn grant(used: &UsedDatabase, right: &SchemaRight) -> NextStep {
    NextStep::new(format!(
        "As the owner of the schema, in database `{}`: GRANT CREATE ON SCHEMA {} TO \"{}\";",
        used.facts.name, right.schema, right.role
    ))
}

/// The failure of a database, with the database as evidence, and whether it may pass; `None` when it is available.
pub(super) fn finding(facts: &Facts, database: &DatabaseFacts) -> Option<(Finding, bool)> {
    let (finding, is_retried) = match &database.outcome {
        DatabaseOutcome::Available => return None,
        DatabaseOutcome::NotAvailable {
            problem,
            server_code,
            message,
        } => (
            not_available(facts, database, *problem, server_code.as_deref(), message),
            true,
        ),
        DatabaseOutcome::NotFound {
            reference,
            place,
            existing,
        } => (not_found(facts, database, reference, place, existing), false),
        DatabaseOutcome::LimitExceeded {
            limit,
            maximum,
            used,
            asked,
            users,
        } => (
            limit_exceeded(facts, database, *limit, (*maximum, *used, *asked), users),
            *limit == DatabaseLimit::Connections,
        ),
    };
    Some((finding.evidence(Evidence::Database(database.clone())), is_retried))
}

/// The cause and, to go on a sentence, the words for an address that is no database of the platform's.
pub(crate) fn of_unknown(database: &DatabaseFacts) -> Option<(Cause, String)> {
    let DatabaseOutcome::NotAvailable { problem, .. } = &database.outcome else {
        return None;
    };
    let wording = format!("; its database {} {}", database.address, problem_words(*problem));
    Some((problem_cause(*problem), wording))
}

fn not_available(
    facts: &Facts,
    database: &DatabaseFacts,
    problem: DatabaseProblem,
    server_code: Option<&str>,
    message: &str,
) -> Finding {
    let code = server_code.map_or(String::new(), |code| format!(", code {code}"));
    let said = words::excerpt(message, 120);
    let said = if said.is_empty() {
        String::new()
    } else {
        format!(" ({said}{code})")
    };
    let text = format!(
        "{} cannot use database `{}`: {} at {} {}{said}{}.",
        words::component_at_start(facts),
        database.name,
        database.engine,
        database.address,
        problem_words(problem),
        attempts(database),
    );
    Finding::new(Code::DatabaseNotAvailable, problem_cause(problem), text)
}

fn attempts(database: &DatabaseFacts) -> String {
    match database.attempts {
        0 | 1 => String::new(),
        several => format!(", after {several} attempts"),
    }
}

fn problem_cause(problem: DatabaseProblem) -> Cause {
    match problem {
        DatabaseProblem::HostNotFound => Cause::DatabaseHostNotFound,
        DatabaseProblem::Refused => Cause::DatabaseRefused,
        DatabaseProblem::TimedOut => Cause::DatabaseTimedOut,
        DatabaseProblem::Unreachable => Cause::DatabaseUnreachable,
        DatabaseProblem::CertificateUntrusted => Cause::DatabaseTlsUntrusted,
        DatabaseProblem::TlsRequired => Cause::DatabaseTlsRequired,
        DatabaseProblem::LoginRefused => Cause::DatabaseAuth,
        DatabaseProblem::NotPermitted => Cause::DatabasePermission,
        DatabaseProblem::Starting => Cause::DatabaseStarting,
        DatabaseProblem::ReadOnly | DatabaseProblem::ReadOnlyRole => Cause::DatabaseReadOnly,
        DatabaseProblem::StorageFull => Cause::DatabaseStorageFull,
        DatabaseProblem::Ended => Cause::DatabaseServerEnded,
        DatabaseProblem::VolumeLost => Cause::DatabaseVolumeLost,
        DatabaseProblem::Other => Cause::NotDetermined,
    }
}

fn problem_words(problem: DatabaseProblem) -> &'static str {
    match problem {
        DatabaseProblem::HostNotFound => "has a host name that does not resolve",
        DatabaseProblem::Refused => "refuses the connection",
        DatabaseProblem::TimedOut => "does not answer the connection",
        DatabaseProblem::Unreachable => "cannot be reached from here",
        DatabaseProblem::CertificateUntrusted => "shows a certificate that is not trusted",
        DatabaseProblem::TlsRequired => "takes connections over TLS only, and none was asked for",
        DatabaseProblem::LoginRefused => "refuses the login",
        DatabaseProblem::NotPermitted => "does not let this user in",
        DatabaseProblem::Starting => "is still starting",
        DatabaseProblem::ReadOnly => "is read-only",
        DatabaseProblem::ReadOnlyRole => "lets this role read only",
        DatabaseProblem::StorageFull => "has no space left",
        DatabaseProblem::Ended => "does not run",
        DatabaseProblem::VolumeLost => "is not started, for its data is not where it was",
        DatabaseProblem::Other => "answers with an error",
    }
}

fn not_found(
    facts: &Facts,
    database: &DatabaseFacts,
    reference: &str,
    place: &str,
    existing: &[String],
) -> Finding {
    let names = if existing.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there are {}", words::quoted_list(existing, 5))
    };
    let text = format!(
        "{} asks for database `{}`, which does not exist: `{reference}` in {place}; {names}.",
        words::component_at_start(facts),
        database.name,
    );
    let closest = words::nearest(&database.name, existing);
    let step = match closest {
        Some(name) => NextStep::new(format!("If `{name}` is meant, write it in {place}.")),
        None => NextStep::new("Add the database to the spec, or correct the reference.")
            .with_spec(format!("databases:\n- name: {}\n  engine: PG", database.name)),
    };
    Finding::new(Code::DatabaseNotFound, Cause::DatabaseMissing, text).next(step)
}

/// `numbers` are the maximum, what is used, and what was asked for.
fn limit_exceeded(
    facts: &Facts,
    database: &DatabaseFacts,
    limit: DatabaseLimit,
    numbers: (u64, u64, Option<u64>),
    users: &[(String, u64)],
) -> Finding {
    let (maximum, used, asked) = numbers;
    let show = |amount: u64| {
        if limit == DatabaseLimit::StorageBytes {
            words::bytes(amount)
        } else {
            amount.to_string()
        }
    };
    let (what, cause) = match limit {
        DatabaseLimit::Databases => ("databases of the account", Cause::DatabaseQuota),
        DatabaseLimit::Connections => ("connections", Cause::DatabaseConnectionsExhausted),
        DatabaseLimit::StorageBytes => ("storage", Cause::DatabaseStorageFull),
        DatabaseLimit::Users => ("users", Cause::DatabaseQuota),
    };
    let asked = asked.map_or(String::new(), |asked| format!(", {} more asked for", show(asked)));
    let who: Vec<String> = users
        .iter()
        .map(|(name, amount)| format!("{name} {}", show(*amount)))
        .collect();
    let who = if who.is_empty() {
        String::new()
    } else {
        format!(" (used by {})", words::list(&who, 4))
    };
    // Who is let in by nobody knows no numbers.
    let numbers = match maximum {
        0 => format!("all {what} are in use"),
        _ => format!("{} of {} {what} are in use", show(used), show(maximum)),
    };
    let text = format!(
        "{} met a limit of database `{}`: {numbers}{who}{asked}.",
        words::component_at_start(facts),
        database.name,
    );
    Finding::new(Code::DatabaseLimitExceeded, cause, text)
}
