//! Deployments.

use jiff::Timestamp;
use mainstay_spec::AppSpec;

use crate::{
    CauseDetails, DeploymentComponent, DeploymentFunctions, Progress, Reason,
    wire::{wire_list, wire_object, wire_words},
};

wire_object! {
    pub struct Deployment {
        pub id: String,
        /// The spec that it was made from.
        pub spec: AppSpec,
        pub phase: Phase,
        pub phase_last_updated_at: Option<Timestamp>,
        pub created_at: Option<Timestamp>,
        pub updated_at: Option<Timestamp>,
        /// One line: `manual`, `app spec updated`, …
        pub cause: String,
        pub cause_details: Option<CauseDetails>,
        pub cloned_from: String,
        pub previous_deployment_id: String,
        pub tier_slug: String,
        pub load_balancer_id: String,
        /// Always there on the wire: clients count its steps.
        pub progress: Option<Progress>,
        pub timing: Option<Timing>,
        pub services: Vec<DeploymentComponent>,
        pub workers: Vec<DeploymentComponent>,
        pub jobs: Vec<DeploymentComponent>,
        pub static_sites: Vec<DeploymentComponent>,
        pub functions: Vec<DeploymentFunctions>,
        /// Addition: why it failed; that of the first failing step.
        pub reason: Option<Reason>,
        /// Addition: what is wrong, or was the last time, with each component since it serves: what began it, with `resolved_at` once it
        /// healed. The deployment stays what it is.
        pub run_reasons: Vec<Reason>,
        /// Addition: the deployment that took this one's place.
        pub superseded_by: String,
        /// Addition: the deployment that went back behind this failed one.
        pub rolled_back_by: String,
    }
}

wire_words! {
    pub enum Phase {
        Unknown = "UNKNOWN",
        PendingBuild = "PENDING_BUILD",
        Building = "BUILDING",
        PendingDeploy = "PENDING_DEPLOY",
        Deploying = "DEPLOYING",
        Active = "ACTIVE",
        Superseded = "SUPERSEDED",
        Error = "ERROR",
        Canceled = "CANCELED",
    }
}

impl Phase {
    /// True when nothing more happens by itself. An active deployment is still superseded one day.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Active | Self::Superseded | Self::Error | Self::Canceled
        )
    }
}

wire_object! {
    /// Durations as `1m12.86s`.
    pub struct Timing {
        pub pending: String,
        pub build_total: String,
        pub build_billable: String,
        pub components: Vec<ComponentTiming>,
        pub database_provision: String,
        pub deploying: String,
    }
}

wire_object! {
    pub struct ComponentTiming {
        pub name: String,
        pub build_billable: String,
    }
}

wire_object! {
    /// Answer to create, get, cancel, restart and roll back.
    pub struct DeploymentResponse {
        pub deployment: Deployment,
    }
}

wire_list! {
    /// Newest first.
    pub struct DeploymentsResponse {
        pub deployments: Vec<Deployment>,
    }
}

wire_object! {
    /// Always takes the newest commit or image.
    pub struct CreateDeploymentRequest {
        /// Builds although nothing changed, without caches.
        pub force_build: bool,
    }
}

/// A duration as the wire writes it: `850ms`, `1m12.86s`, `1h0m3s`.
pub fn duration_text(duration: std::time::Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let (seconds, fraction) = (millis / 1000 % 60, millis % 1000);
    let fraction = format!(".{fraction:03}");
    let seconds = format!(
        "{seconds}{}s",
        fraction.trim_end_matches('0').trim_end_matches('.')
    );
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn durations_are_short_and_read_back() {
        for (millis, text) in [
            (0, "0ms"),
            (850, "850ms"),
            (5000, "5s"),
            (72_860, "1m12.86s"),
            (3_603_000, "1h0m3s"),
            (60_001, "1m0.001s"),
        ] {
            assert_eq!(duration_text(Duration::from_millis(millis)), text);
            assert_eq!(
                mainstay_spec::duration::parse(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn words_of_later_versions_read_as_unknown() {
        assert_eq!(
            serde_json::from_str::<Phase>("\"PENDING_REVIEW\"").unwrap(),
            Phase::Unknown
        );
        assert_eq!(
            serde_json::to_string(&Phase::PendingBuild).unwrap(),
            "\"PENDING_BUILD\""
        );
        assert!("PENDING_REVIEW".parse::<Phase>().is_err());
    }
}
