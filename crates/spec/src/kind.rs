//! The kinds of component an app is made of.

use serde::{Deserialize, Serialize};

/// What a component is; decides which fields it may have and how it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentKind {
    Service,
    Worker,
    Job,
    StaticSite,
    Functions,
    Database,
}

impl ComponentKind {
    /// The word used in sentences: "service", "static site".
    /// Its instances run for as long as its deployment serves. Jobs come to an end; static sites are served by the router.
    pub fn keeps_running(self) -> bool {
        matches!(self, Self::Service | Self::Worker)
    }

    pub fn noun(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Worker => "worker",
            Self::Job => "job",
            Self::StaticSite => "static site",
            Self::Functions => "functions component",
            Self::Database => "database",
        }
    }

    /// The spec's list of this kind: "services".
    pub fn list(self) -> &'static str {
        match self {
            Self::Service => "services",
            Self::Worker => "workers",
            Self::Job => "jobs",
            Self::StaticSite => "static_sites",
            Self::Functions => "functions",
            Self::Database => "databases",
        }
    }
}
