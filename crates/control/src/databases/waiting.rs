//! A deployment's wait for its databases: it ends when all can be used, or when one of them will not be in time.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use mainstay_diagnosis::{
    Reason, diagnose,
    facts::{Changes, DatabaseFacts, DatabaseOutcome, DatabaseProblem, Facts, Subject},
};
use mainstay_spec::AppSpec;
use mainstay_store::{DatabaseRow, DeploymentRow};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{Condition, Trouble, engines, of_platform, references::who_needs};
use crate::platform::{Platform, PlatformError};

/// Making the image for the first time takes a minute or two, starting a server seconds.
const READY_WITHIN: Duration = Duration::from_mins(8);

/// A database that a deployment cannot have, and the component that needs it.
#[derive(Debug)]
pub(crate) struct NotReady {
    pub(crate) component: String,
    pub(crate) reason: Box<Reason>,
}

/// Waits until every database of the deployment's spec is ready. Whoever waits for a deployment that is over is cut off by its caller.
pub(crate) async fn wait(
    platform: &Arc<Platform>,
    deployment: &DeploymentRow,
    changes: &Changes,
) -> Result<Result<(), NotReady>, PlatformError> {
    let deadline = Instant::now() + READY_WITHIN;
    let rows = platform.store.databases_of_app(deployment.app).await?;
    for database in of_platform(&deployment.spec) {
        let row = rows
            .iter()
            .find(|row| row.name == database.name)
            .ok_or_else(|| PlatformError::missing(format!("the row of database {}", database.name)))?;
        let condition = platform.databases.keeper(platform, row.id).condition;
        if let Err(trouble) = usable(condition, deadline).await {
            let spec = platform.secrets.opened(deployment.app, &deployment.spec)?;
            return Ok(Err(not_ready(&spec, row, trouble, changes)?));
        }
    }
    Ok(Ok(()))
}

async fn usable(mut condition: watch::Receiver<Condition>, deadline: Instant) -> Result<(), Trouble> {
    let decided = |now: &Condition| matches!(now, Condition::Ready { .. } | Condition::Broken(_));
    // Out of time or deleted meanwhile: what it is then says why.
    drop(timeout_at(deadline, condition.wait_for(decided)).await);
    let last = condition.borrow().clone();
    match last {
        Condition::Ready { .. } => Ok(()),
        Condition::Broken(trouble) | Condition::Starting(Some(trouble)) => Err(trouble),
        Condition::Starting(None) | Condition::Stopped => {
            let message = format!("not ready after {} minutes", READY_WITHIN.as_secs() / 60);
            Err(Trouble::new(DatabaseProblem::Starting, message))
        }
    }
}

fn not_ready(
    spec: &AppSpec,
    row: &DatabaseRow,
    trouble: Trouble,
    changes: &Changes,
) -> Result<NotReady, PlatformError> {
    let component = who_needs(spec, &row.name)
        .ok_or_else(|| PlatformError::missing("a component that needs a database"))?;
    let engine = engines::of_row(row)?;
    let facts = Facts {
        component: component.name().to_owned(),
        kind: component.kind(),
        observed_at: Timestamp::now(),
        subject: Subject::Database(DatabaseFacts {
            name: row.name.clone(),
            engine: engine.title().to_owned(),
            address: format!("{}:{}", row.name, engine.port()),
            attempts: 1,
            deadline_passed: true,
            outcome: DatabaseOutcome::NotAvailable {
                problem: trouble.problem,
                server_code: trouble.server_code,
                message: trouble.message,
            },
        }),
        log_tail: Vec::new(),
        changes: changes.clone(),
    };
    let reason = diagnose(&facts)
        .into_reason()
        .ok_or_else(|| PlatformError::missing("a reason for a database that is not ready"))?;
    Ok(NotReady {
        component: component.name().to_owned(),
        reason,
    })
}
