//! What there is on this machine, and what is taken of it now.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex},
};

use mainstay_engine::NetworkRoom;
use mainstay_images::store::{disk_bytes, free_bytes};
use mainstay_spec::{
    AppSpec,
    ids::{AppId, DeploymentId},
    usage::Resource,
};
use mainstay_store::StoreError;

use super::{OTHERS, lock};
use crate::{
    config::CapacityConfig,
    platform::{Platform, PlatformError},
};

const MEMORY_INFO: &str = "/proc/meminfo";
const KIB: u64 = 1024;

#[derive(Debug)]
pub(super) struct Machine {
    /// What sizes may add up to.
    pub(super) memory_bytes: u64,
    pub(super) memory_taken: Vec<Taken>,
    /// Whoever asks may be told the names of these.
    pub(super) named: HashSet<AppId>,
    pub(super) disk_bytes: u64,
    pub(super) disk_free_bytes: u64,
    /// `None` where nothing bounds it.
    pub(super) network: Option<Network>,
}

/// Addresses, as far as the app that asks is concerned.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) room: NetworkRoom,
    /// What runs of the app: (deployment, if it is of one; who; how many).
    pub(super) of_app: Vec<(Option<DeploymentId>, String, u64)>,
}

impl Network {
    pub(super) fn ranges_used(&self) -> u64 {
        u64::try_from(self.room.apps.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn ranges(&self) -> u64 {
        let free = u64::try_from(self.room.free).unwrap_or(u64::MAX);
        self.ranges_used().saturating_add(free)
    }
}

#[derive(Debug)]
pub(super) struct Taken {
    /// `None`: no deployment's.
    pub(super) deployment: Option<DeploymentId>,
    pub(super) user: String,
    pub(super) bytes: u64,
}

/// The memory that a deployment's spec gives each instance of its components, and all of them together.
#[derive(Debug, Clone, Default)]
pub(super) struct Sizes {
    of_instances: Arc<BTreeMap<String, u64>>,
    whole: u64,
}

impl Sizes {
    fn of(spec: &AppSpec) -> Self {
        let sizes = spec.components().map(|component| {
            (
                component.name().to_owned(),
                component.instance_size().memory_bytes,
            )
        });
        Self {
            of_instances: Arc::new(sizes.collect()),
            whole: Resource::Memory.asked_by(spec),
        }
    }
}

pub(super) async fn look(
    platform: &Platform,
    config: &CapacityConfig,
    known: &Mutex<HashMap<DeploymentId, Sizes>>,
    asking: Option<AppId>,
) -> Result<Machine, PlatformError> {
    let store = &platform.store;
    let names = match asking {
        Some(app) => store.names_beside(app).await?,
        None => HashMap::new(),
    };
    let name = |app: &AppId| names.get(app).cloned().unwrap_or_else(|| OTHERS.to_owned());
    let serving = store.serving_deployments().await?;
    let running = store.running_instances().await?;
    let databases = store.databases().await?;
    let mut taken = Vec::new();
    let mut used = HashSet::new();
    let serves: HashSet<DeploymentId> = serving.iter().map(|(_, deployment)| *deployment).collect();
    for (app, deployment) in serving {
        used.insert(deployment);
        let sizes = sizes(platform, known, deployment).await?;
        taken.push(Taken {
            deployment: Some(deployment),
            user: name(&app),
            bytes: sizes.whole,
        });
    }
    for group in running.iter().filter(|group| !serves.contains(&group.deployment)) {
        used.insert(group.deployment);
        let sizes = sizes(platform, known, group.deployment).await?;
        let each = sizes.of_instances.get(&group.component).copied().unwrap_or(0);
        taken.push(Taken {
            deployment: Some(group.deployment),
            user: name(&group.app),
            bytes: each.saturating_mul(group.count),
        });
    }
    lock(known).retain(|deployment, _| used.contains(deployment));
    let with_server = || databases.iter().filter(|row| row.instance.is_some());
    taken.extend(with_server().map(|row| Taken {
        deployment: None,
        user: match names.get(&row.app) {
            Some(app) => format!("{app}/{}", row.name),
            None => OTHERS.to_owned(),
        },
        bytes: platform.config.databases.memory_bytes,
    }));
    let is_asking = |app: AppId| asking == Some(app);
    let instances = running.iter().filter(|group| is_asking(group.app));
    let instances = instances.map(|group| (Some(group.deployment), group.component.clone(), group.count));
    let servers = with_server().filter(|row| is_asking(row.app));
    let servers = servers.map(|row| (None, row.name.clone(), 1));
    let of_app = instances.chain(servers).collect();
    let room = platform
        .engine
        .network_room(asking.unwrap_or_else(|| AppId::from_uuid(uuid::Uuid::nil())))
        .await?;
    Ok(Machine {
        network: room.map(|room| Network { room, of_app }),
        memory_bytes: config.memory_bytes,
        memory_taken: taken,
        named: names.into_keys().collect(),
        disk_bytes: disk_bytes(&platform.config.data_dir)?,
        disk_free_bytes: free_bytes(&platform.config.data_dir)?,
    })
}

async fn sizes(
    platform: &Platform,
    known: &Mutex<HashMap<DeploymentId, Sizes>>,
    deployment: DeploymentId,
) -> Result<Sizes, StoreError> {
    if let Some(sizes) = lock(known).get(&deployment) {
        return Ok(sizes.clone());
    }
    let row = platform.store.deployment(deployment).await?;
    let sizes = row.map(|row| Sizes::of(&row.spec)).unwrap_or_default();
    lock(known).insert(deployment, sizes.clone());
    Ok(sizes)
}

/// The memory of this machine, if the kernel says.
pub(crate) fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string(MEMORY_INFO).ok()?;
    memory_total(&text)
}

/// `MemTotal:       24642244 kB` (proc(5)).
fn memory_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * KIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read_from_the_kernel() {
        let text = "MemTotal:       24642244 kB\nMemFree:          512 kB\n";
        assert_eq!(memory_total(text), Some(24_642_244 * KIB));
        assert_eq!(memory_total("MemFree: 1 kB\n"), None);
        assert!(machine_memory().is_some_and(|bytes| bytes > 0));
    }
}
