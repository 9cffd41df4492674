//! The codes: what users meet, spelled as in the reference. Closed; additive; never renamed.

use serde::{Deserialize, Serialize};

use crate::closed_enum::closed_enum;

closed_enum! {
    /// One code per failed leaf, decided by observed facts alone.
    pub enum Code as "code" {
        InternalError = "InternalError",
        BuildJobFailed = "BuildJobFailed",
        BuildJobExitNonZero = "BuildJobExitNonZero",
        BuildJobTimeout = "BuildJobTimeout",
        BuildJobOutOfMemory = "BuildJobOutOfMemory",
        PreviousBuildReused = "PreviousBuildReused",
        BuildRateLimit = "BuildRateLimit",
        DatabaseNotAvailable = "DatabaseNotAvailable",
        DatabaseNotFound = "DatabaseNotFound",
        DatabaseLimitExceeded = "DatabaseLimitExceeded",
        ContainerCommandNotExecutable = "ContainerCommandNotExecutable",
        ContainerExitNonZero = "ContainerExitNonZero",
        ContainerHealthChecksFailed = "ContainerHealthChecksFailed",
        ContainerOutOfMemory = "ContainerOutOfMemory",
        ResourceExhausted = "ResourceExhausted",
    }
}

impl Code {
    /// Deploy codes are met on the wire with this prefix; it is understood wherever a code is read.
    fn canonical(text: &str) -> &str {
        text.strip_prefix("Deploy")
            .filter(|rest| rest.starts_with("Container"))
            .unwrap_or(text)
    }

    /// What the code does to the step that carries it.
    pub fn severity(self) -> Severity {
        match self {
            Self::PreviousBuildReused => Severity::Note,
            Self::BuildRateLimit => Severity::Waiting,
            _ => Severity::Failure,
        }
    }
}

/// What a reason does to the step that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The step succeeded; the reason is worth knowing.
    Note,
    /// The step is still going on; the reason says why it takes long.
    Waiting,
    /// The step ended with this.
    Failure,
}

/// Who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The app, its spec or its settings.
    App,
    /// Mainstay or the machine it runs on.
    Platform,
    /// Something else that the app or its build needs: a registry, a repository, a database.
    Upstream,
}

/// Whether the platform tries again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Trying again changes nothing; something has to be changed first.
    No,
    /// A few times, then it ends here.
    Bounded,
    /// With back-off, until the deadline of the deployment.
    UntilDeadline,
    /// By itself, without an end.
    Always,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deploy_spelling_is_understood() {
        assert_eq!(
            "DeployContainerExitNonZero".parse(),
            Ok(Code::ContainerExitNonZero)
        );
        assert_eq!("ContainerExitNonZero".parse(), Ok(Code::ContainerExitNonZero));
        assert!("DeployBuildJobFailed".parse::<Code>().is_err());
    }

    #[test]
    fn an_unknown_code_is_named() {
        let error = "BuildJobExploded".parse::<Code>().unwrap_err();
        assert_eq!(error.to_string(), "`BuildJobExploded` is no code");
    }

    #[test]
    fn every_code_reads_back_what_it_writes() {
        for code in Code::ALL {
            let written = serde_json::to_string(code).unwrap();
            assert_eq!(serde_json::from_str::<Code>(&written).unwrap(), *code);
        }
    }
}
