//! What is wrong right now with a component of a deployment, as users see it.

use jiff::Timestamp;
use mainstay_diagnosis::{HEALED_AFTER, Reason};
use mainstay_spec::ids::DeploymentId;
use mainstay_store::ReasonRow;

use super::Actor;

/// The stage of reasons of components that serve.
pub(super) const RUN: &str = "run";

/// What followed a first cause is told this often; then the last of it gives way.
const FOLLOWERS_MAX: usize = 5;

impl Actor {
    pub(super) async fn show(
        &self,
        deployment: DeploymentId,
        component: &str,
        stage: &str,
        reason: Option<Box<Reason>>,
    ) {
        let Some(reason) = reason else { return };
        let row = ReasonRow {
            deployment,
            component: component.to_owned(),
            stage: stage.to_owned(),
            observed_at: reason.observed_at,
            reason: *reason,
            resolved_at: None,
        };
        match self.platform.store.put_reason(&row).await {
            Ok(()) => note_stored(deployment, Some(component), &row.reason),
            Err(error) => {
                tracing::error!(%deployment, error = &error as &dyn std::error::Error, "could not store a reason");
            }
        }
    }

    /// What is wrong with a component that serves. What began the trouble stays; what follows hangs below it.
    pub(super) async fn show_trouble(
        &self,
        deployment: DeploymentId,
        component: &str,
        reason: Option<Box<Reason>>,
    ) {
        let Some(reason) = reason else { return };
        let known = match self.platform.store.reasons(deployment).await {
            Ok(rows) => rows
                .into_iter()
                .find(|row| row.component == component && row.stage == RUN),
            Err(error) => {
                tracing::error!(%deployment, error = &error as &dyn std::error::Error, "could not read the reasons");
                return;
            }
        };
        let shown = match known {
            Some(known) => following(known, *reason),
            None => *reason,
        };
        self.show(deployment, component, RUN, Some(Box::new(shown))).await;
    }

    pub(super) async fn resolve(&self, deployment: DeploymentId, component: &str, stage: &str) {
        let resolved = self
            .platform
            .store
            .resolve_reasons(deployment, component, stage, Timestamp::now())
            .await;
        if let Err(error) = resolved {
            tracing::error!(%deployment, error = &error as &dyn std::error::Error, "could not resolve a reason");
        }
    }
}

/// Once it is on disk: the time of the log's line is when the reason was stored, and the suite of faults reads it.
pub(super) fn note_stored(deployment: DeploymentId, component: Option<&str>, reason: &Reason) {
    let (component, code, cause) = (component.unwrap_or_default(), reason.code, reason.cause);
    tracing::info!(%deployment, component, code = code.as_str(), cause = cause.as_str(), "stored a reason");
}

/// A new reason, given the one before it of the same component.
fn following(known: ReasonRow, new: Reason) -> Reason {
    let healed = known
        .resolved_at
        .is_some_and(|at| new.observed_at.duration_since(at) >= HEALED_AFTER);
    let first = known.reason;
    let same = (first.code, first.cause) == (new.code, new.cause);
    match known.resolved_at {
        _ if healed => new,
        // It goes on, or is back: since when is part of it, and so is what followed.
        _ if same => Reason {
            observed_at: first.observed_at,
            warnings: merged(new.warnings, first.warnings),
            ..new
        },
        Some(_) => new,
        None => hang_below(first, &new),
    }
}

fn hang_below(mut first: Reason, later: &Reason) -> Reason {
    let at = later.observed_at.strftime("%H:%M:%S UTC");
    let told = |warning: &String| warning.contains(&later.message);
    if !first.warnings.iter().any(told) {
        first.warnings.truncate(FOLLOWERS_MAX - 1);
        first
            .warnings
            .push(format!("Since then, at {at}: {}", later.message));
    }
    first
}

fn merged(mut warnings: Vec<String>, others: Vec<String>) -> Vec<String> {
    let followers = others
        .into_iter()
        .filter(|warning| warning.starts_with("Since then"));
    for warning in followers {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings.truncate(FOLLOWERS_MAX);
    warnings
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use mainstay_diagnosis::{
        Cause, Code, diagnose,
        facts::{Changes, Facts, InternalFacts, Subject},
    };

    use super::*;

    fn reason(code: Code, cause: Cause, minute: i64, message: &str) -> Reason {
        let facts = Facts {
            component: "web".into(),
            kind: mainstay_spec::kind::ComponentKind::Service,
            observed_at: Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute),
            subject: Subject::Internal(InternalFacts {
                incident_id: "1".into(),
                operation: "test".into(),
                error_chain: Vec::new(),
                attempts: 1,
            }),
            log_tail: Vec::new(),
            changes: Changes::default(),
        };
        let some = *diagnose(&facts).into_reason().unwrap();
        Reason {
            code,
            cause,
            message: message.into(),
            ..some
        }
    }

    fn known(reason: Reason, resolved_minute: Option<i64>) -> ReasonRow {
        ReasonRow {
            deployment: DeploymentId::from_uuid(uuid::Uuid::nil()),
            component: "web".into(),
            stage: RUN.into(),
            observed_at: reason.observed_at,
            reason,
            resolved_at: resolved_minute
                .map(|minute| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute)),
        }
    }

    fn killed(minute: i64) -> Reason {
        reason(Code::ContainerOutOfMemory, Cause::MemoryLimit, minute, "killed")
    }

    fn silent(minute: i64) -> Reason {
        reason(
            Code::ContainerHealthChecksFailed,
            Cause::NeverListened,
            minute,
            "never listened",
        )
    }

    #[test]
    fn what_follows_hangs_below_what_began_it() {
        let mut shown = following(known(killed(0), None), silent(1));
        for minute in 2..20 {
            shown = following(known(shown, None), silent(minute));
        }
        assert_eq!(shown.code, Code::ContainerOutOfMemory);
        assert_eq!(shown.warnings, ["Since then, at 00:01:00 UTC: never listened"]);
    }

    #[test]
    fn the_same_trouble_goes_on_since_it_began() {
        let again = following(known(killed(0), Some(1)), killed(2));
        assert_eq!(again.observed_at, Timestamp::UNIX_EPOCH);
        let much_later = following(known(killed(0), Some(1)), killed(20));
        assert_eq!(much_later.observed_at, killed(20).observed_at);
    }

    #[test]
    fn another_trouble_after_healing_is_its_own() {
        let shown = following(known(killed(0), Some(1)), silent(2));
        assert_eq!(shown, silent(2));
    }
}
