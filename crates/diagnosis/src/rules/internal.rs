//! Faults of the platform itself.

use super::Finding;
use crate::{
    Cause, Code, Evidence, IncidentEvidence, NextStep,
    facts::{Facts, InternalFacts},
    words,
};

/// A bug, a lost shim, a store error, a deadline of ours that passed for a reason of ours.
pub(super) fn fault(facts: &Facts, internal: &InternalFacts) -> Finding {
    let message = format!(
        "Mainstay itself failed while {} for {} (incident {}); this is not the app's fault, and deploying again is safe.",
        internal.operation,
        words::component(facts),
        internal.incident_id,
    );
    Finding::new(Code::InternalError, Cause::PlatformFault, message)
        .evidence(Evidence::Incident(IncidentEvidence {
            incident_id: Some(internal.incident_id.clone()),
            operation: internal.operation.clone(),
            attempts: internal.attempts,
        }))
        .next(NextStep::new(
            "Deploy again; nothing of the previous deployment was changed.",
        ))
        .next(NextStep::new(format!(
            "If it happens again, look for incident {} in the platform's own log.",
            internal.incident_id
        )))
}

/// A fault of ours that ended a build.
pub(super) fn during_build(facts: &Facts, operation: &str) -> Finding {
    let message = format!(
        "Mainstay itself failed while {operation} for {}; this is not the app's fault, and deploying again is safe.",
        words::component(facts),
    );
    Finding::new(Code::InternalError, Cause::PlatformFault, message)
        .evidence(Evidence::Incident(IncidentEvidence {
            incident_id: None,
            operation: operation.to_owned(),
            attempts: 1,
        }))
        .next(NextStep::new(
            "Deploy again; nothing of the previous deployment was changed.",
        ))
}

/// The facts contradict each other; no rule may guess.
pub(super) fn contradiction(facts: &Facts, what: &str) -> Finding {
    let message = format!(
        "Mainstay could not tell what happened to {}: {what}; this is not the app's fault, and deploying again is safe.",
        words::component(facts),
    );
    Finding::new(Code::InternalError, Cause::ContradictoryFacts, message).next(NextStep::new(
        "Deploy again; nothing of the previous deployment was changed.",
    ))
}
