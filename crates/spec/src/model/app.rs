//! The root of a spec.

use super::{
    Alert, ComponentRef, Database, Domain, Functions, Ingress, Job, Service, StaticSite, Variable, Worker,
};
use crate::decode::{choice, object};

object! {
    /// An app: its components and what they share.
    "an app": pub struct AppSpec {
        pub name: String,
        pub region: Option<String>,
        pub services: Vec<Service>,
        pub workers: Vec<Worker>,
        pub jobs: Vec<Job>,
        pub static_sites: Vec<StaticSite>,
        pub functions: Vec<Functions>,
        pub databases: Vec<Database>,
        pub domains: Vec<Domain>,
        /// Given to every component according to their scope; a component's own variables win.
        pub envs: Vec<Variable>,
        pub alerts: Vec<Alert>,
        pub ingress: Option<Ingress>,
        pub egress: Option<Egress>,
        pub features: Vec<String>,
        pub maintenance: Option<Maintenance>,
        pub vpc: Option<Vpc>,
        pub disable_edge_cache: bool,
        pub disable_email_obfuscation: bool,
        pub enhanced_threat_control_enabled: bool,
    }
}

object! {
    /// From which addresses the app's outbound connections come.
    "an egress": pub struct Egress {
        pub r#type: Option<EgressType>,
    }
}

choice! {
    pub enum EgressType {
        Autoassign = "AUTOASSIGN",
        DedicatedIp = "DEDICATED_IP",
    }
}

object! {
    /// Taking the app offline.
    "a maintenance": pub struct Maintenance {
        pub enabled: bool,
        /// Also stops the containers; implies `enabled`.
        pub archive: bool,
        pub offline_page_url: Option<String>,
    }
}

object! {
    /// Access to a private network.
    "a vpc": pub struct Vpc {
        pub id: Option<String>,
        /// Only in answers.
        pub egress_ips: Vec<VpcEgressIp>,
    }
}

object! {
    "an egress address": pub struct VpcEgressIp {
        pub ip: String,
    }
}

impl AppSpec {
    /// All components, kind by kind, each kind in the order of the spec.
    pub fn components(&self) -> impl Iterator<Item = ComponentRef<'_>> {
        self.services
            .iter()
            .map(ComponentRef::Service)
            .chain(self.workers.iter().map(ComponentRef::Worker))
            .chain(self.jobs.iter().map(ComponentRef::Job))
            .chain(self.static_sites.iter().map(ComponentRef::StaticSite))
            .chain(self.functions.iter().map(ComponentRef::Functions))
            .chain(self.databases.iter().map(ComponentRef::Database))
    }

    /// Components with the path at which each stands: `services[0]`.
    pub fn components_with_paths(&self) -> impl Iterator<Item = (String, ComponentRef<'_>)> {
        let mut last = None;
        let mut index = 0;
        self.components().map(move |component| {
            index = if last == Some(component.kind()) {
                index + 1
            } else {
                0
            };
            last = Some(component.kind());
            (format!("{}[{index}]", component.kind().list()), component)
        })
    }

    pub fn component(&self, name: &str) -> Option<ComponentRef<'_>> {
        self.components().find(|component| component.name() == name)
    }

    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// YAML, fields in the order of the types.
    ///
    /// # Panics
    /// Never: the spec's types have only text keys and finite numbers.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("text keys and finite numbers can be written")
    }
}
