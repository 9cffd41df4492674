//! Connects that failed: what the kernel saw, and what the log says about them. A database is recognised by its port.

use std::net::{IpAddr, SocketAddr};

use super::Refinement;
use crate::{
    Cause, NextStep,
    facts::{ExitRecord, Facts, InstanceFacts, OutboundFailure, OutboundResult},
    words,
};

/// A connect that failed, where nothing better is known about the end.
pub(super) fn refinement(facts: &Facts, instance: &InstanceFacts, exit: &ExitRecord) -> Option<Refinement> {
    let failure = last_failure(instance, exit)?;
    let to = describe(failure.address, failure.port);
    let database = database_at(failure.port);
    let cause = cause(instance, failure, database);
    let wording = match cause {
        Cause::DatabaseNotConfigured => {
            format!("; its connection to {to} was refused, and no database variable is set on it")
        }
        _ => format!(
            "; its last connection that failed was to {to}: {}",
            failure.result.words()
        ),
    };
    Some(Refinement {
        cause,
        wording,
        hint: None,
        next_steps: next_steps(facts, cause),
    })
}

/// Where it went, for a line of the log that speaks of a connect and does not say so.
pub(super) fn destination(instance: &InstanceFacts, exit: &ExitRecord, line: &str) -> Option<String> {
    let failure = last_failure(instance, exit)?;
    let is_named = line.contains(&failure.port.to_string());
    (!is_named).then(|| {
        format!(
            "; its last connection that failed was to {}: {}",
            describe(failure.address, failure.port),
            failure.result.words()
        )
    })
}

fn last_failure<'a>(instance: &'a InstanceFacts, exit: &'a ExitRecord) -> Option<&'a OutboundFailure> {
    let own = exit.course.outbound_failures.iter();
    let failures: Vec<&OutboundFailure> = own.chain(&instance.outbound_failures).collect();
    let recent = |failure: &&&OutboundFailure| failure.is_shortly_before(exit.ended_at);
    failures.iter().rfind(recent).copied()
}

fn cause(instance: &InstanceFacts, failure: &OutboundFailure, database: Option<&str>) -> Cause {
    match (failure.result, database) {
        (_, Some(_)) if failure.address.is_loopback() && !has_database_variable(instance) => {
            Cause::DatabaseNotConfigured
        }
        (OutboundResult::Refused, Some(_)) => Cause::DatabaseRefused,
        (OutboundResult::TimedOut, Some(_)) => Cause::DatabaseTimedOut,
        (OutboundResult::Unreachable, Some(_)) => Cause::DatabaseUnreachable,
        (OutboundResult::Refused, None) => Cause::ConnectionRefused,
        (OutboundResult::TimedOut, None) => Cause::ConnectionTimedOut,
        (OutboundResult::Unreachable, None) => Cause::HostUnreachable,
    }
}

/// What a connection error in the log is, given where it went.
pub(super) fn of_log(instance: &InstanceFacts, cause: Cause, subject: Option<&str>, line: &str) -> Cause {
    let database = port_in(subject.unwrap_or(line)).is_some_and(|port| database_at(port).is_some())
        || speaks_of_database(instance, line) && cause != Cause::HostNotFound;
    if !database {
        return cause;
    }
    let local = ["127.0.0.1", "localhost", "::1"]
        .iter()
        .any(|host| line.contains(host));
    match cause {
        _ if local && !has_database_variable(instance) => Cause::DatabaseNotConfigured,
        Cause::ConnectionRefused => Cause::DatabaseRefused,
        Cause::ConnectionTimedOut => Cause::DatabaseTimedOut,
        Cause::HostUnreachable => Cause::DatabaseUnreachable,
        Cause::HostNotFound => Cause::DatabaseHostNotFound,
        other => other,
    }
}

/// Whether a line is about a database: it names a driver or server, or a connect to a database's port failed.
pub(super) fn speaks_of_database(instance: &InstanceFacts, line: &str) -> bool {
    const WORDS: [&str; 13] = [
        "postgres",
        "psycopg",
        "mysql",
        "mariadb",
        "mongo",
        "redis",
        "valkey",
        "sqlalchemy",
        "prisma",
        "sequelize",
        "database",
        "typeorm",
        "knex",
    ];
    let line = line.to_ascii_lowercase();
    WORDS.iter().any(|word| line.contains(word))
        || instance
            .outbound_failures
            .iter()
            .any(|failure| database_at(failure.port).is_some())
}

pub(super) fn next_steps(facts: &Facts, cause: Cause) -> Vec<NextStep> {
    match cause {
        Cause::DatabaseNotConfigured => vec![
            NextStep::new("Bind the database's URL on this component.").with_spec(words::spec_lines(
                facts,
                &["envs:\n- key: DATABASE_URL\n  scope: RUN_TIME\n  value: ${<database>.DATABASE_URL}"],
            )),
        ],
        _ => Vec::new(),
    }
}

/// "10.0.0.5:5432 (PostgreSQL's port)".
fn describe(address: IpAddr, port: u16) -> String {
    let place = SocketAddr::new(address, port);
    database_at(port).map_or_else(|| place.to_string(), |name| format!("{place} ({name}'s port)"))
}

fn database_at(port: u16) -> Option<&'static str> {
    Some(match port {
        5432 | 5433 | 6432 => "PostgreSQL",
        25060 | 25061 => "a managed database",
        3306 => "MySQL",
        1433 => "SQL Server",
        27017..=27019 => "MongoDB",
        6379 => "Redis",
        9042 => "Cassandra",
        9092 => "Kafka",
        9200 => "OpenSearch",
        _ => return None,
    })
}

/// The last number behind a colon: "connect to 10.0.0.5:5432" → 5432.
fn port_in(text: &str) -> Option<u16> {
    text.rsplit(':').find_map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}

fn has_database_variable(instance: &InstanceFacts) -> bool {
    instance.variables.iter().any(|name| names_database(name))
}

/// Whether a variable of this name holds the way to a database, as far as names tell.
pub(super) fn names_database(variable: &str) -> bool {
    const PARTS: [&str; 11] = [
        "DATABASE", "DB_", "_DB", "PGHOST", "PGURL", "POSTGRES", "MYSQL", "MONGO", "REDIS", "VALKEY", "DSN",
    ];
    PARTS.iter().any(|part| variable.contains(part))
}
