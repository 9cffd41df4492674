//! The probe: a session with a component's own credentials, layer by layer, with the server's own words for what fails.
//!
//! A database that the platform runs is asked at the address of its instance, up to a query; of any other address only what can be known
//! without logging in, from the app's network: whether its name resolves, and whether somebody takes the connection.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use jiff::Timestamp;
use mainstay_diagnosis::{
    Reason, diagnose,
    facts::{
        DatabaseFacts, DatabaseLimit, DatabaseOutcome, DatabaseProblem, Facts, SchemaRight, Subject,
        UsedDatabase,
    },
};
use mainstay_engine::{InstanceOwner, Reach};
use mainstay_spec::{AppSpec, ids::AppId, kind::ComponentKind};
use mainstay_store::DatabaseRow;
use tokio::time::{Instant, sleep, timeout};

use super::{
    admin_session,
    postgres::{self, Usage},
    questions::{self, Purpose},
    references::place,
    running,
    session::{self, Login, Trouble},
    target::{Target, targets},
};
use crate::platform::{Platform, PlatformError};

/// What may pass, as slots that an instance gives back, is waited for so long before a rollout is refused.
const PASSES_WITHIN: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_secs(1);
/// Of what the platform's own role asks the server about a failure.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// Of one address that is no database of the platform's.
const REACHED_WITHIN: Duration = Duration::from_secs(2);
/// Of all databases of an instance that ended: its reason waits for it.
const LOOKS_WITHIN: Duration = Duration::from_secs(8);

/// A server whose last process is killed is over by then.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
const ENDS_LOOKED_AT_EVERY: Duration = Duration::from_millis(50);
const DOES_NOT_RUN: &str = "its server does not run";

/// SQLSTATEs (PostgreSQL manual, appendix A).
const NO_SUCH_DATABASE: &str = "3D000";
const TOO_MANY_CONNECTIONS: &str = "53300";
const LOGIN_NOT_ALLOWED: &str = "28000";

/// For whom it is asked, with the variables as the component's instances have them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) app: AppId,
    pub(crate) component: &'a str,
    pub(crate) kind: ComponentKind,
    pub(crate) variables: &'a BTreeMap<String, String>,
}

/// Asks the platform's databases that the component was told to use, as it will. The reason why one cannot be used.
pub(crate) async fn before_rollout(
    platform: &Platform,
    spec: &AppSpec,
    asker: Asker<'_>,
    changes: &[String],
) -> Result<Option<Box<Reason>>, PlatformError> {
    let rows = platform.store.databases_of_app(asker.app).await?;
    for target in targets(asker.variables) {
        let Some(row) = rows.iter().find(|row| row.name == target.host) else {
            continue;
        };
        let mut facts = ask_patiently(platform, row, &target).await?;
        name_place(spec, asker.component, &target, &mut facts);
        let facts = Facts {
            component: asker.component.to_owned(),
            kind: asker.kind,
            observed_at: Timestamp::now(),
            subject: Subject::Database(facts),
            log_tail: Vec::new(),
            changes: changes.to_vec(),
        };
        if let Some(reason) = diagnose(&facts).into_reason() {
            return Ok(Some(reason));
        }
    }
    Ok(None)
}

/// What becomes of probes of all databases that a component was told to use, now that its instance ended.
pub(crate) async fn used_by(platform: &Platform, asker: Asker<'_>) -> Vec<UsedDatabase> {
    let mut used = Vec::new();
    let all = async {
        let rows = platform.store.databases_of_app(asker.app).await?;
        for target in targets(asker.variables) {
            let row = rows.iter().find(|row| row.name == target.host);
            let (facts, schema_right) = match row {
                Some(row) => ask(platform, row, &target, Purpose::AfterEnd).await?,
                None => (reach(platform, asker.app, &target).await?, None),
            };
            used.push(UsedDatabase {
                is_known: row.is_some(),
                facts,
                schema_right,
            });
        }
        Ok::<_, PlatformError>(())
    };
    match timeout(LOOKS_WITHIN, all).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(app = %asker.app, error = &error as &dyn std::error::Error, "could not ask a database");
        }
        Err(_) => tracing::warn!(app = %asker.app, "the databases of an app do not answer in time"),
    }
    used
}

/// Where the spec names it; the probe itself does not know.
fn name_place(spec: &AppSpec, component: &str, target: &Target, facts: &mut DatabaseFacts) {
    if let DatabaseOutcome::NotFound { place: named, .. } = &mut facts.outcome
        && let Some(component) = spec.component(component)
    {
        *named = place(component, &target.variable);
    }
}

async fn ask_patiently(
    platform: &Platform,
    row: &DatabaseRow,
    target: &Target,
) -> Result<DatabaseFacts, PlatformError> {
    let deadline = Instant::now() + PASSES_WITHIN;
    let mut attempts = 1;
    loop {
        let (facts, _) = ask(platform, row, target, Purpose::BeforeRollout).await?;
        if !may_pass(&facts.outcome) || Instant::now() + PAUSE > deadline {
            return Ok(DatabaseFacts { attempts, ..facts });
        }
        attempts += 1;
        sleep(PAUSE).await;
    }
}

fn may_pass(outcome: &DatabaseOutcome) -> bool {
    match outcome {
        DatabaseOutcome::LimitExceeded { .. } => true,
        DatabaseOutcome::NotAvailable { problem, .. } => {
            matches!(
                problem,
                DatabaseProblem::Starting | DatabaseProblem::TimedOut | DatabaseProblem::Ended
            )
        }
        DatabaseOutcome::Available | DatabaseOutcome::NotFound { .. } => false,
    }
}

/// One session with the component's own credentials, and what it is asked.
async fn ask(
    platform: &Platform,
    row: &DatabaseRow,
    target: &Target,
    purpose: Purpose,
) -> Result<(DatabaseFacts, Option<SchemaRight>), PlatformError> {
    let mut schema_right = None;
    let outcome = match running(platform, row).await? {
        None => not_available(Trouble::new(DatabaseProblem::Ended, DOES_NOT_RUN)),
        Some(address) => {
            let authority = platform.databases.authority.certificate();
            let login = Login {
                address: SocketAddr::from((address, target.port)),
                host: &row.name,
                ca_certificate: (!target.without_tls).then_some(authority),
                user: &target.user,
                password: &target.password,
                database: &target.database,
            };
            match questions::ask(&login, purpose).await {
                Ok(right) => {
                    schema_right = right;
                    DatabaseOutcome::Available
                }
                Err(trouble) if ends(platform, row, target, &trouble).await? => not_available(Trouble {
                    problem: DatabaseProblem::Ended,
                    ..trouble
                }),
                Err(trouble) => explained(platform, row, address, target, trouble).await,
            }
        }
    };
    Ok((facts(&row.name, target, outcome), schema_right))
}

/// Whether the server that did not answer at its own port is ending: its socket closes a moment before the engine knows that it is over.
async fn ends(
    platform: &Platform,
    row: &DatabaseRow,
    target: &Target,
    trouble: &Trouble,
) -> Result<bool, PlatformError> {
    let is_silent = matches!(
        trouble.problem,
        DatabaseProblem::Refused | DatabaseProblem::TimedOut | DatabaseProblem::Other
    );
    if !is_silent || trouble.server_code.is_some() || target.port != postgres::PORT {
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

fn facts(name: &str, target: &Target, outcome: DatabaseOutcome) -> DatabaseFacts {
    DatabaseFacts {
        name: name.to_owned(),
        engine: "PostgreSQL".to_owned(),
        address: target.address(),
        attempts: 1,
        deadline_passed: true,
        outcome,
    }
}

/// What the server's SQLSTATE stands for, with what only the server knows.
async fn explained(
    platform: &Platform,
    row: &DatabaseRow,
    address: std::net::Ipv4Addr,
    target: &Target,
    trouble: Trouble,
) -> DatabaseOutcome {
    match trouble.server_code.as_deref() {
        Some(NO_SUCH_DATABASE) => {
            let names = async {
                let session = admin_session(platform, row, address).await.ok()?;
                postgres::database_names(&session).await.ok()
            };
            let existing = timeout(ASKED_WITHIN, names)
                .await
                .ok()
                .flatten()
                .unwrap_or_default();
            DatabaseOutcome::NotFound {
                reference: format!("database `{}` on {}", target.database, row.name),
                place: target.variable.clone(),
                existing,
            }
        }
        Some(TOO_MANY_CONNECTIONS) => {
            let counted = timeout(ASKED_WITHIN, usage(platform, row, address)).await;
            counted.ok().flatten().unwrap_or_else(|| not_available(trouble))
        }
        Some(LOGIN_NOT_ALLOWED) if target.without_tls => not_available(Trouble {
            problem: DatabaseProblem::TlsRequired,
            ..trouble
        }),
        _ => not_available(trouble),
    }
}

fn not_available(trouble: Trouble) -> DatabaseOutcome {
    DatabaseOutcome::NotAvailable {
        problem: trouble.problem,
        server_code: trouble.server_code,
        message: trouble.message,
    }
}

/// The server's own counters, by component. The platform's role has slots that nobody else can take.
async fn usage(
    platform: &Platform,
    row: &DatabaseRow,
    address: std::net::Ipv4Addr,
) -> Option<DatabaseOutcome> {
    let session = admin_session(platform, row, address).await.ok()?;
    let Usage { maximum, sessions } = postgres::usage(&session).await.ok()?;
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

/// An address that is no database of the platform's: its name, and whether it takes a connection from where the app is. Nothing else may be told
/// of it: what the app cannot reach is none of its business.
async fn reach(platform: &Platform, app: AppId, target: &Target) -> Result<DatabaseFacts, PlatformError> {
    let reached = platform
        .engine
        .reach(app, &target.host, target.port, REACHED_WITHIN)
        .await?;
    let outcome = match reached {
        // What listens on the instance's own loopback is nobody's to ask.
        Reach::Connected | Reach::Loopback => DatabaseOutcome::Available,
        Reach::UnknownHost { message } => not_available(Trouble::new(DatabaseProblem::HostNotFound, message)),
        Reach::Failed { kind, message } => {
            not_available(Trouble::new(session::unreachable_by(kind), message))
        }
    };
    Ok(facts(&target.host, target, outcome))
}
