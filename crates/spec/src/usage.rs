//! What an app takes of its account's limits.

use crate::model::{AppSpec, ComponentRef};

/// What limits can be set on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    Apps,
    /// Services, workers, jobs, static sites, functions and databases.
    Components,
    /// Of services and workers as their specs ask for; a job counts as one.
    Instances,
    /// Bytes that those instances may use together.
    Memory,
    /// Thousandths of a core that those instances may use together.
    Cpu,
    StaticSites,
    Domains,
    Databases,
    /// Builds at a time. No spec asks for them: what is too many waits for its turn.
    ActiveBuilds,
    /// Bytes of the logs of what ended. No spec asks for them: what is too much gives way, oldest first.
    LogBytes,
}

impl Resource {
    pub const ALL: [Self; 10] = [
        Self::Apps,
        Self::Components,
        Self::Instances,
        Self::Memory,
        Self::Cpu,
        Self::StaticSites,
        Self::Domains,
        Self::Databases,
        Self::ActiveBuilds,
        Self::LogBytes,
    ];

    /// "static sites".
    pub fn noun(self) -> &'static str {
        match self {
            Self::Apps => "apps",
            Self::Components => "components",
            Self::Instances => "instances",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::StaticSites => "static sites",
            Self::Domains => "domains",
            Self::Databases => "databases",
            Self::ActiveBuilds => "active builds",
            Self::LogBytes => "log bytes",
        }
    }

    /// The one of this [`noun`](Self::noun).
    pub fn by_noun(noun: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.noun() == noun)
    }

    /// What an app of this spec takes of it: 0 of what no spec asks for.
    pub fn asked_by(self, spec: &AppSpec) -> u64 {
        let components = || spec.components();
        let instances = |of_each: fn(ComponentRef<'_>) -> u64| -> u64 {
            let sums = components()
                .map(|component| u64::from(component.instance_count()).saturating_mul(of_each(component)));
            sums.fold(0, u64::saturating_add)
        };
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        match self {
            Self::Apps => 1,
            Self::Components => count(components().count()),
            Self::Instances => instances(|_| 1),
            Self::Memory => instances(|component| component.instance_size().memory_bytes),
            Self::Cpu => instances(|component| component.instance_size().cpu_millis.into()),
            Self::StaticSites => count(spec.static_sites.len()),
            Self::Domains => count(spec.domains.len()),
            Self::Databases => count(spec.databases.len()),
            Self::ActiveBuilds | Self::LogBytes => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, parse};

    #[test]
    fn an_app_takes_what_its_spec_asks_for() {
        let text = "name: shop
services:
- name: web
  image: {registry_type: DOCKER_HUB, registry: library, repository: nginx}
  instance_size_slug: apps-s-1vcpu-1gb
  instance_count: 3
jobs:
- name: migrate
  kind: PRE_DEPLOY
  image: {registry_type: DOCKER_HUB, registry: library, repository: nginx}
  instance_size_slug: apps-s-1vcpu-0.5gb
static_sites:
- name: pages
  git: {repo_clone_url: https://git.example/pages.git, branch: main}
databases:
- name: db
";
        let spec = parse(text, Format::Yaml).unwrap().spec;
        let asked = Resource::ALL.map(|resource| resource.asked_by(&spec));
        assert_eq!(asked, [1, 4, 4, (3 << 30) + (512 << 20), 4000, 1, 0, 1, 0, 0]);
    }
}
