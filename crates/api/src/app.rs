//! Apps, and the calls that make and change them.

use jiff::Timestamp;
use mainstay_spec::{AppSpec, SpecError, VpcEgressIp};

use crate::{
    Deployment, Domain, Region,
    wire::{wire_list, wire_object, wire_words},
};

wire_object! {
    pub struct App {
        pub id: String,
        pub owner_uuid: String,
        pub spec: AppSpec,
        pub project_id: String,
        /// The URL that the platform gave the app.
        pub default_ingress: String,
        /// Empty until the first deployment succeeded.
        pub live_url: String,
        pub live_url_base: String,
        pub live_domain: String,
        pub region: Option<Region>,
        pub tier_slug: String,
        pub created_at: Option<Timestamp>,
        pub updated_at: Option<Timestamp>,
        pub last_deployment_created_at: Option<Timestamp>,
        pub last_deployment_active_at: Option<Timestamp>,
        /// The one that serves, or the last that did.
        pub active_deployment: Option<Deployment>,
        /// Building or deploying.
        pub in_progress_deployment: Option<Deployment>,
        /// Not begun yet; the answers to create and update must carry it, clients wait on it.
        pub pending_deployment: Option<Deployment>,
        pub pinned_deployment: Option<Deployment>,
        pub domains: Vec<Domain>,
        pub dedicated_ips: Vec<DedicatedIp>,
        pub vpc: Option<AppVpc>,
    }
}

wire_object! {
    pub struct AppVpc {
        pub id: String,
        pub egress_ips: Vec<VpcEgressIp>,
    }
}

wire_object! {
    pub struct DedicatedIp {
        pub ip: String,
        pub id: String,
        pub status: DedicatedIpStatus,
    }
}

wire_words! {
    pub enum DedicatedIpStatus {
        Unknown = "UNKNOWN",
        Assigning = "ASSIGNING",
        Assigned = "ASSIGNED",
        Removed = "REMOVED",
    }
}

wire_object! {
    /// Answer to create, get and update.
    pub struct AppResponse {
        pub app: App,
        /// Addition: the deployment that a create or an update made. The app shows it while it waits, goes on or serves, and not when it failed
        /// at once.
        pub deployment_id: String,
        /// Addition: what should be known about the accepted spec.
        pub warnings: Vec<SpecError>,
    }
}

wire_list! {
    pub struct AppsResponse {
        pub apps: Vec<App>,
    }
}

wire_object! {
    /// What the CLI sends. The server reads the spec of a request with `mainstay_spec::parse`, which finds all errors at once.
    pub struct CreateAppRequest {
        pub spec: AppSpec,
        pub project_id: String,
    }
}

wire_object! {
    /// Replaces the whole spec.
    pub struct UpdateAppRequest {
        pub spec: AppSpec,
        /// False: components keep the commit that they were last built from.
        pub update_all_source_versions: bool,
        /// Addition: a spec by which the app would lose a variable or a secret is refused. Otherwise that is a warning.
        pub refuse_losses: bool,
    }
}

wire_object! {
    pub struct DeleteAppResponse {
        pub id: String,
    }
}

wire_object! {
    /// Empty: all services and workers.
    pub struct RestartRequest {
        /// All services and workers when none is named.
        pub components: Vec<String>,
    }
}
