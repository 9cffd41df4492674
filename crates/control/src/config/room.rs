//! `[limits]` and `[capacity]`: what apps may take, and what the machine has room for.

use mainstay_spec::usage::Resource;
use mainstay_store::Limits;
use serde::Deserialize;

use super::GIB;
use crate::capacity::machine_memory;

/// What all apps of an account may take together, unless it has limits of its own. A spec that would pass one of them is refused (`ResourceExhausted`;
/// of databases `DatabaseLimitExceeded`); of what no spec asks for, it is said beside it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsConfig {
    pub apps: u64,
    pub components: u64,
    pub instances: u64,
    /// Of all instances: what their sizes allow them, not what they use.
    pub memory_bytes: u64,
    pub cpu_millis: u64,
    pub static_sites: u64,
    pub domains: u64,
    pub databases: u64,
    /// At a time; more of them wait, as those of all accounts do above `[build] at_once`.
    pub active_builds: u64,
    /// Of what ended; above it, the account's app with most gives way, oldest first, as all accounts' do above `[keep] log_bytes_max`.
    pub log_bytes: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            apps: 1000,
            components: 5000,
            instances: 5000,
            memory_bytes: 4096 * GIB,
            cpu_millis: 5_000_000,
            static_sites: 1000,
            domains: 1000,
            databases: 200,
            active_builds: 1000,
            log_bytes: 8 * GIB,
        }
    }
}

impl LimitsConfig {
    pub(crate) fn as_limits(&self) -> Limits {
        Limits::from([
            (Resource::Apps, self.apps),
            (Resource::Components, self.components),
            (Resource::Instances, self.instances),
            (Resource::Memory, self.memory_bytes),
            (Resource::Cpu, self.cpu_millis),
            (Resource::StaticSites, self.static_sites),
            (Resource::Domains, self.domains),
            (Resource::Databases, self.databases),
            (Resource::ActiveBuilds, self.active_builds),
            (Resource::LogBytes, self.log_bytes),
        ])
    }
}

/// What this machine has room for. A rollout or a build that does not fit ends as `ResourceExhausted`, and what runs stays.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CapacityConfig {
    /// What the sizes of all instances and databases may add up to. They are limits, which are seldom reached together.
    pub memory_bytes: u64,
    /// What has to be free on the disk before a build or a rollout begins.
    pub disk_free_bytes: u64,
    /// So long others are waited for that may give room back.
    pub wait_seconds: u64,
}

impl Default for CapacityConfig {
    fn default() -> Self {
        /// As often as the machine has it.
        const MEMORY_TIMES: u64 = 2;
        /// Where the kernel does not say how much there is, nothing is refused.
        const UNKNOWN: u64 = u64::MAX;
        let memory = machine_memory().map(|bytes| bytes.saturating_mul(MEMORY_TIMES));
        Self {
            memory_bytes: memory.unwrap_or(UNKNOWN),
            disk_free_bytes: GIB,
            wait_seconds: 60,
        }
    }
}
