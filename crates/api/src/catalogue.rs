//! What there is to choose from besides instance sizes: tiers and buildpacks. Of the clients' libraries only godo knows these calls.

use crate::{Buildpack, Deployment, wire::wire_object};

wire_object! {
    #[schemars(rename = "AppTier")]
    pub struct Tier {
        pub name: String,
        pub slug: String,
        pub egress_bandwidth_bytes: String,
        pub build_seconds: String,
    }
}

wire_object! {
    pub struct TiersResponse {
        pub tiers: Vec<Tier>,
    }
}

wire_object! {
    pub struct TierResponse {
        pub tier: Tier,
    }
}

impl TiersResponse {
    /// Those that instance sizes belong to. Nothing is metered by them, so that they allow nothing and limit nothing.
    pub fn current() -> Self {
        let tier = |slug: &str, name: &str| Tier {
            slug: slug.into(),
            name: name.into(),
            egress_bandwidth_bytes: "0".into(),
            build_seconds: "0".into(),
        };
        Self {
            tiers: vec![tier("basic", "Basic"), tier("professional", "Professional")],
        }
    }
}

wire_object! {
    pub struct BuildpacksResponse {
        pub buildpacks: Vec<Buildpack>,
    }
}

wire_object! {
    pub struct UpgradeBuildpackRequest {
        pub buildpack_id: String,
        /// The latest when it is not given.
        pub major_version: u32,
        /// Whether components that are upgraded are deployed again.
        pub trigger_deployment: bool,
    }
}

wire_object! {
    pub struct UpgradeBuildpackResponse {
        /// Buildpacks come with the server, and every build takes those of the day: there is never one left behind.
        pub affected_components: Vec<String>,
        pub deployment: Option<Deployment>,
    }
}
