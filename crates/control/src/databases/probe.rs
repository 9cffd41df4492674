//! The probe: a session with a component's own credentials, layer by layer, with the server's own words for what fails.
//!
//! A database that the platform runs, and one of a registered cluster that the app's spec names, is asked up to a query; of any other address
//! only what can be known without logging in.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use mainstay_diagnosis::{
    Reason, diagnose,
    facts::{
        Changes, DatabaseFacts, DatabaseLimit, DatabaseOutcome, DatabaseProblem, Facts, SchemaRight, Subject,
        UsedDatabase,
    },
};
use mainstay_spec::{
    AppSpec,
    ids::{AppId, DeploymentId},
    kind::ComponentKind,
};
use mainstay_store::DatabaseRow;
use tokio::time::{Instant, sleep, timeout};

use super::{
    attached::{self, Attached},
    engines::{self, Purpose},
    login::Trouble,
    others, own,
    references::place,
    target::{Target, in_parts, targets},
};
use crate::platform::{Platform, PlatformError};

/// What may pass, as slots that an instance gives back, is waited for so long before a rollout is refused.
const PASSES_WITHIN: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_secs(1);
/// Of what a server is asked about a failure.
pub(super) const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// Of one address that is no database of the platform's.
pub(super) const REACHED_WITHIN: Duration = Duration::from_secs(2);
/// Of all databases of an instance that ended: its reason waits for it.
const LOOKS_WITHIN: Duration = Duration::from_secs(8);

/// For whom it is asked, with the variables as the component's instances have them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) app: AppId,
    pub(crate) deployment: DeploymentId,
    pub(crate) component: &'a str,
    pub(crate) kind: ComponentKind,
    pub(crate) variables: &'a BTreeMap<String, String>,
}

/// A database that the platform knows.
#[derive(Debug, Clone, Copy)]
enum Known<'a> {
    Own(&'a DatabaseRow),
    Attached(&'a Attached),
}

/// All that an app can be told to use.
#[derive(Debug)]
struct Databases {
    own: Vec<DatabaseRow>,
    attached: Vec<Attached>,
    /// What the asker was told to use.
    targets: Vec<Target>,
}

impl Databases {
    async fn of(platform: &Platform, asker: Asker<'_>, spec: &AppSpec) -> Result<Self, PlatformError> {
        let mut targets = targets(asker.variables);
        let bindings = super::bindings(platform, asker.app, spec).await?;
        targets.extend(in_parts(spec, asker.component, &bindings, &targets));
        Ok(Self {
            own: platform.store.databases_of_app(asker.app).await?,
            attached: attached::of_spec(platform, asker.app, spec).await?,
            targets,
        })
    }

    fn find(&self, target: &Target) -> Option<Known<'_>> {
        let is_own = |row: &&DatabaseRow| {
            row.name == target.host && engines::are_alike(target.engine, engines::kind(row))
        };
        let own = self.own.iter().find(is_own);
        let attached = self.attached.iter().find(|attached| attached.is_meant(target));
        own.map(Known::Own).or(attached.map(Known::Attached))
    }
}

/// Asks the databases that the platform knows and that the component was told to use, as it will. The reason why one cannot be used.
pub(crate) async fn before_rollout(
    platform: &Platform,
    spec: &AppSpec,
    asker: Asker<'_>,
    changes: &Changes,
) -> Result<Option<Box<Reason>>, PlatformError> {
    let databases = Databases::of(platform, asker, spec).await?;
    for target in &databases.targets {
        let Some(known) = databases.find(target) else {
            continue;
        };
        let mut facts = ask_patiently(platform, asker.app, known, target).await?;
        name_place(spec, asker.component, target, &mut facts);
        let facts = Facts {
            component: asker.component.to_owned(),
            kind: asker.kind,
            observed_at: Timestamp::now(),
            subject: Subject::Database(facts),
            log_tail: Vec::new(),
            changes: changes.clone(),
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
        let Some(row) = platform.store.deployment(asker.deployment).await? else {
            return Ok(());
        };
        let databases = Databases::of(platform, asker, &row.spec).await?;
        for target in &databases.targets {
            let known = databases.find(target);
            let (facts, schema_right) = match known {
                Some(known) => ask(platform, asker.app, known, target, Purpose::AfterEnd).await?,
                None => (others::reach(platform, asker.app, target).await?, None),
            };
            used.push(UsedDatabase {
                is_known: known.is_some(),
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

async fn ask(
    platform: &Platform,
    app: AppId,
    known: Known<'_>,
    target: &Target,
    purpose: Purpose,
) -> Result<(DatabaseFacts, Option<SchemaRight>), PlatformError> {
    match known {
        Known::Own(row) => own::ask(platform, row, target, purpose).await,
        Known::Attached(attached) => others::ask(platform, app, attached, target, purpose).await,
    }
}

async fn ask_patiently(
    platform: &Platform,
    app: AppId,
    known: Known<'_>,
    target: &Target,
) -> Result<DatabaseFacts, PlatformError> {
    let deadline = Instant::now() + PASSES_WITHIN;
    let mut attempts = 1;
    loop {
        let (facts, _) = ask(platform, app, known, target, Purpose::BeforeRollout).await?;
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

pub(super) fn facts(name: &str, engine: &str, target: &Target, outcome: DatabaseOutcome) -> DatabaseFacts {
    DatabaseFacts {
        name: name.to_owned(),
        engine: engine.to_owned(),
        address: target.address(),
        attempts: 1,
        deadline_passed: true,
        outcome,
    }
}

/// Of a server that lets nobody in who could count them.
pub(super) fn uncounted_connections() -> DatabaseOutcome {
    DatabaseOutcome::LimitExceeded {
        limit: DatabaseLimit::Connections,
        maximum: 0,
        used: 0,
        asked: None,
        users: Vec::new(),
    }
}

pub(super) fn not_available(trouble: Trouble) -> DatabaseOutcome {
    DatabaseOutcome::NotAvailable {
        problem: trouble.problem,
        server_code: trouble.server_code,
        message: trouble.message,
    }
}
