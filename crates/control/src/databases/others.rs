//! Asks databases that are not the platform's: those of registered clusters up to a query, any other address only as far as can be known
//! without logging in.
//!
//! Both first from the app's network: what the app cannot reach is none of its business, and what it can is not always what the host can.

use std::net::SocketAddr;

use mainstay_diagnosis::facts::{DatabaseFacts, DatabaseOutcome, DatabaseProblem, SchemaRight};
use mainstay_engine::Reach;
use mainstay_spec::{database_binding::DatabaseBinding, ids::AppId};
use tokio::{net::lookup_host, time::timeout};

use super::{
    attached::Attached,
    engines::{self, Engine, Meaning, Purpose},
    login::{self, CONNECT_WITHIN, Login, Trouble},
    probe::{ASKED_WITHIN, REACHED_WITHIN, facts, not_available, uncounted_connections},
    target::Target,
    tls::Encryption,
};
use crate::platform::{Platform, PlatformError};

/// An address of which nothing else is known: its name, and whether it takes a connection from where the app is.
pub(super) async fn reach(
    platform: &Platform,
    app: AppId,
    target: &Target,
) -> Result<DatabaseFacts, PlatformError> {
    let outcome = match reached(platform, app, target).await? {
        // What listens on the instance's own loopback is nobody's to ask.
        Reach::Connected | Reach::Loopback => DatabaseOutcome::Available,
        failed => not_reached(failed),
    };
    Ok(facts(
        &target.host,
        engines::title(target.engine),
        target,
        outcome,
    ))
}

async fn reached(platform: &Platform, app: AppId, target: &Target) -> Result<Reach, PlatformError> {
    let reached = platform
        .engine
        .reach(app, &target.host, target.port, REACHED_WITHIN);
    Ok(reached.await?)
}

fn not_reached(reach: Reach) -> DatabaseOutcome {
    not_available(match reach {
        Reach::UnknownHost { message } => Trouble::new(DatabaseProblem::HostNotFound, message),
        Reach::Failed { kind, message } => Trouble::new(login::unreachable_by(kind), message),
        Reach::Connected | Reach::Loopback => Trouble::new(
            DatabaseProblem::Refused,
            "the address leads back to the instance itself",
        ),
    })
}

/// With the component's own login, where the engine is one that the platform speaks to.
pub(super) async fn ask(
    platform: &Platform,
    app: AppId,
    attached: &Attached,
    target: &Target,
    purpose: Purpose,
) -> Result<(DatabaseFacts, Option<SchemaRight>), PlatformError> {
    let kind = attached.binding.engine;
    let told = |outcome| facts(&attached.name, engines::title(kind), target, outcome);
    match reached(platform, app, target).await? {
        Reach::Connected => {}
        failed => return Ok((told(not_reached(failed)), None)),
    }
    let Some(engine) = engines::of(kind) else {
        return Ok((told(DatabaseOutcome::Available), None));
    };
    let authority = attached.binding.ca_certificate.as_str();
    let encryption = match (target.without_tls, target.verifies && !authority.is_empty()) {
        (true, _) => Encryption::None,
        (false, true) => Encryption::Verified(authority),
        (false, false) => Encryption::Unverified,
    };
    let address = match resolved(&target.host, target.port).await {
        Ok(address) => address,
        Err(trouble) => return Ok((told(not_available(trouble)), None)),
    };
    let login = Login {
        address,
        host: &target.host,
        encryption,
        user: &target.user,
        password: &target.password,
        database: &target.database,
    };
    Ok(match engine.ask(&login, purpose).await {
        Ok(right) => (told(DatabaseOutcome::Available), right),
        Err(trouble) => {
            let outcome = explained(engine, &login, attached, target, trouble).await;
            (told(outcome), None)
        }
    })
}

/// A cluster that is to be registered: whether its login is accepted.
pub(crate) async fn try_login(binding: &DatabaseBinding) -> Result<(), Trouble> {
    let Some(engine) = engines::of(binding.engine) else {
        return Ok(());
    };
    let encryption = match (binding.tls, binding.ca_certificate.as_str()) {
        (false, _) => Encryption::None,
        (true, "") => Encryption::Unverified,
        (true, authority) => Encryption::Verified(authority),
    };
    let login = Login {
        address: resolved(&binding.hostname, binding.port).await?,
        host: &binding.hostname,
        encryption,
        user: &binding.username,
        password: &binding.password,
        database: &binding.database,
    };
    engine.log_in(&login).await
}

async fn resolved(host: &str, port: u16) -> Result<SocketAddr, Trouble> {
    let unknown = |message: String| Trouble::new(DatabaseProblem::HostNotFound, message);
    let found = timeout(CONNECT_WITHIN, lookup_host((host, port))).await;
    let found = found.map_err(|_| unknown("no nameserver answers".to_owned()))?;
    let mut found = found.map_err(|error| unknown(error.to_string()))?;
    found
        .next()
        .ok_or_else(|| unknown("no address is known for this name".to_owned()))
}

/// What the server's code stands for, with what only the server knows.
async fn explained(
    engine: &dyn Engine,
    login: &Login<'_>,
    attached: &Attached,
    target: &Target,
    trouble: Trouble,
) -> DatabaseOutcome {
    match engine.meaning(&trouble) {
        Meaning::NoSuchDatabase => DatabaseOutcome::NotFound {
            reference: format!("database `{}` on {}", target.database, attached.name),
            place: target.variable.clone(),
            existing: existing(engine, login, attached).await,
        },
        // Its counters are told to nobody who is not let in.
        Meaning::TooManyConnections => uncounted_connections(),
        Meaning::LoginNotAllowed if target.without_tls => not_available(Trouble {
            problem: DatabaseProblem::TlsRequired,
            ..trouble
        }),
        Meaning::NotThisDatabase | Meaning::LoginNotAllowed | Meaning::Plain => not_available(trouble),
    }
}

/// The databases of the server, as the same user sees them from the one that was registered.
async fn existing(engine: &dyn Engine, login: &Login<'_>, attached: &Attached) -> Vec<String> {
    let registered = Login {
        database: &attached.registered_database,
        ..*login
    };
    let names = timeout(ASKED_WITHIN, engine.database_names(&registered)).await;
    names.ok().and_then(Result::ok).unwrap_or_default()
}
