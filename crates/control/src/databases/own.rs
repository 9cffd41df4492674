//! Asks a database that the platform runs, at the address of its instance, up to a query. What the server tells nobody but its operator, the
//! platform's own role asks.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use mainstay_diagnosis::facts::{
    DatabaseFacts, DatabaseLimit, DatabaseOutcome, DatabaseProblem, SchemaRight,
};
use mainstay_engine::InstanceOwner;
use mainstay_store::DatabaseRow;
use tokio::time::{Instant, sleep, timeout};

use super::{
    engines::{self, Engine, Meaning, Purpose, Usage},
    login::{Login, Trouble},
    logins,
    probe::{ASKED_WITHIN, facts, not_available, uncounted_connections},
    running,
    target::Target,
    tls::Encryption,
};
use crate::platform::{Platform, PlatformError};

/// A server whose last process is killed is over by then.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
const ENDS_LOOKED_AT_EVERY: Duration = Duration::from_millis(50);
const COUNTED_AGAIN_AFTER: Duration = Duration::from_millis(50);
const DOES_NOT_RUN: &str = "its server does not run";

/// One session with the component's own credentials, and what it is asked.
pub(super) async fn ask(
    platform: &Platform,
    row: &DatabaseRow,
    target: &Target,
    purpose: Purpose,
) -> Result<(DatabaseFacts, Option<SchemaRight>), PlatformError> {
    let engine = engines::of_row(row)?;
    let mut schema_right = None;
    let outcome = match running(platform, row).await? {
        None => not_available(Trouble::new(DatabaseProblem::Ended, DOES_NOT_RUN)),
        Some(address) => {
            let own = logins(platform, row, engine, address);
            let login = Login {
                address: SocketAddr::from((address, target.port)),
                encryption: if target.without_tls {
                    Encryption::None
                } else {
                    own.app.encryption
                },
                user: &target.user,
                password: &target.password,
                database: &target.database,
                ..own.app
            };
            match engine.ask(&login, purpose).await {
                Ok(right) => {
                    schema_right = right;
                    DatabaseOutcome::Available
                }
                Err(trouble) if ends(platform, row, engine, target, &trouble).await? => {
                    not_available(Trouble {
                        problem: DatabaseProblem::Ended,
                        ..trouble
                    })
                }
                Err(trouble) => explained(platform, row, (engine, &own.admin), target, trouble).await,
            }
        }
    };
    Ok((facts(&row.name, engine.title(), target, outcome), schema_right))
}

/// Whether the server that did not answer at its own port is ending: its socket closes a moment before the engine knows that it is over.
async fn ends(
    platform: &Platform,
    row: &DatabaseRow,
    engine: &dyn Engine,
    target: &Target,
    trouble: &Trouble,
) -> Result<bool, PlatformError> {
    let is_silent = matches!(
        trouble.problem,
        DatabaseProblem::Refused | DatabaseProblem::TimedOut | DatabaseProblem::Other
    );
    if !is_silent || trouble.server_code.is_some() || target.port != engine.port() {
        return Ok(false);
    }
    let deadline = Instant::now() + ENDS_WITHIN;
    loop {
        // The keeper may have begun another instance in between.
        let now = platform.store.database(row.id).await?;
        let is_same = now.as_ref().is_some_and(|now| now.instance == row.instance);
        if !is_same || running(platform, row).await?.is_none() {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        sleep(ENDS_LOOKED_AT_EVERY).await;
    }
}

/// What the server's code stands for, with what only the server knows.
async fn explained(
    platform: &Platform,
    row: &DatabaseRow,
    (engine, admin): (&dyn Engine, &Login<'_>),
    target: &Target,
    trouble: Trouble,
) -> DatabaseOutcome {
    match engine.meaning(&trouble) {
        Meaning::NoSuchDatabase | Meaning::NotThisDatabase => {
            let names = timeout(ASKED_WITHIN, engine.database_names(admin)).await;
            let existing = names.ok().and_then(Result::ok).unwrap_or_default();
            if existing.contains(&target.database) {
                return not_available(trouble);
            }
            DatabaseOutcome::NotFound {
                reference: format!("database `{}` on {}", target.database, row.name),
                place: target.variable.clone(),
                existing,
            }
        }
        Meaning::TooManyConnections => {
            let counted = timeout(ASKED_WITHIN, counted(platform, engine, admin)).await;
            counted.unwrap_or_else(|_| uncounted_connections())
        }
        // These servers let nobody in without.
        _ if target.without_tls && trouble.problem == DatabaseProblem::LoginRefused => {
            not_available(Trouble {
                problem: DatabaseProblem::TlsRequired,
                ..trouble
            })
        }
        Meaning::LoginNotAllowed | Meaning::Plain => not_available(trouble),
    }
}

/// The platform's login has a place of its own, but with some servers those who are about to be refused stand there for a moment.
async fn counted(platform: &Platform, engine: &dyn Engine, admin: &Login<'_>) -> DatabaseOutcome {
    loop {
        if let Some(outcome) = usage(platform, engine, admin).await {
            return outcome;
        }
        sleep(COUNTED_AGAIN_AFTER).await;
    }
}

/// The server's own counters, by component.
async fn usage(platform: &Platform, engine: &dyn Engine, admin: &Login<'_>) -> Option<DatabaseOutcome> {
    let Usage { maximum, sessions } = engine.usage(admin).await.ok()?;
    let listed = platform.engine.list().await.ok()?;
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    for (from, count) in sessions {
        let of = listed
            .iter()
            .find(|status| status.address.map(IpAddr::from) == Some(from));
        let name = match of.map(|status| &status.owner) {
            Some(InstanceOwner::Component { component, .. }) => component.clone(),
            _ => from.to_string(),
        };
        *users.entry(name).or_default() += count;
    }
    let mut users: Vec<(String, u64)> = users.into_iter().collect();
    users.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), name.clone()));
    Some(DatabaseOutcome::LimitExceeded {
        limit: DatabaseLimit::Connections,
        maximum,
        used: users.iter().map(|(_, count)| count).sum(),
        asked: None,
        users,
    })
}
