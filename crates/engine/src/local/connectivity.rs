//! What an instance's network choice means: addresses, names, and the networks behind them.

use std::{collections::HashSet, net::Ipv4Addr, sync::Arc, time::Duration};

use mainstay_spec::ids::{AppId, InstanceId};

use crate::api::{EngineError, Network};

use super::{
    Inner,
    instance::Identity,
    network::{Networks, Tenant},
};

const RECHECK_PERIOD: Duration = Duration::from_secs(30);

impl Inner {
    pub(super) fn networks(&self) -> Result<&Networks, EngineError> {
        self.networks
            .as_deref()
            .ok_or_else(|| EngineError::plain("this engine was opened without networks"))
    }

    pub(super) async fn resolv_conf(&self, network: Network) -> Result<String, EngineError> {
        if network == Network::None {
            return Ok(String::new());
        }
        let text = self.networks()?.resolv_conf().await;
        text.map_err(EngineError::during("find the nameservers for an instance"))
    }

    /// Connects a created instance; its address and the text of its `/etc/hosts`.
    pub(super) async fn attach_network(
        &self,
        identity: &Identity,
        hostname: &str,
        pid: i32,
    ) -> Result<(Option<Ipv4Addr>, String), EngineError> {
        let tenant = match identity.network {
            Network::None => return Ok((None, hosts_without_app(hostname, None))),
            Network::App => Tenant::App(identity.app()),
            Network::Build => Tenant::Build,
        };
        let networks = self.networks()?;
        let failed = || EngineError::during(format!("connect the instance {} to its network", identity.id));
        let attachment = networks
            .attach(tenant, identity.id, pid)
            .await
            .map_err(failed())?;
        let hosts = match tenant {
            Tenant::App(app) => networks
                .hosts(app, hostname, attachment.address)
                .map_err(failed())?,
            Tenant::Build => hosts_without_app(hostname, Some(attachment.address)),
        };
        Ok((Some(attachment.address), hosts))
    }

    /// A device that is left is found again by the next server, so this is told and not returned.
    pub(super) async fn detach_network(&self, identity: &Identity) {
        if identity.network == Network::None {
            return;
        }
        let Some(networks) = &self.networks else {
            return;
        };
        if let Err(error) = networks.detach(identity.id).await {
            tracing::error!(error = &error as &dyn std::error::Error, instance = %identity.id, "the instance's network device is left");
        }
    }

    /// Instances and apps that the engine knows are kept whoever else wants them.
    pub(super) async fn sweep_networks(
        &self,
        keep: &HashSet<InstanceId>,
        wanted: &HashSet<AppId>,
    ) -> Result<Vec<String>, EngineError> {
        let Some(networks) = &self.networks else {
            return Ok(Vec::new());
        };
        let apps = self.apps_in_use().union(wanted).copied().collect();
        let instances = self.instances().keys().chain(keep).copied().collect();
        let swept = networks.sweep(&apps, &instances).await;
        swept.map_err(EngineError::during("sweep the networks"))
    }

    pub(super) async fn remove_network(&self, app: AppId) -> Result<(), EngineError> {
        if let Some(networks) = &self.networks {
            let removed = networks.remove_app(app).await;
            removed.map_err(EngineError::during(format!(
                "remove the network of the app {app}"
            )))?;
        }
        Ok(())
    }
}

/// Others change the host's network too; what they took away is put back as long as the engine lives.
pub(super) fn keep_up(inner: &Arc<Inner>) {
    if inner.networks.is_none() {
        return;
    }
    let inner = Arc::downgrade(inner);
    tokio::spawn(async move {
        let mut known_obstacles = Vec::new();
        loop {
            tokio::time::sleep(RECHECK_PERIOD).await;
            let Some(inner) = inner.upgrade() else {
                return;
            };
            if let Some(networks) = &inner.networks {
                recheck(networks, &mut known_obstacles).await;
            }
        }
    });
}

async fn recheck(networks: &Networks, known_obstacles: &mut Vec<String>) {
    match networks.recheck().await {
        Ok(found) => {
            for repaired in found.repaired {
                tracing::warn!("put back on this host's network: {repaired}");
            }
            for obstacle in found
                .obstacles
                .iter()
                .filter(|obstacle| !known_obstacles.contains(obstacle))
            {
                tracing::warn!("in the way of the apps' network: {obstacle}");
            }
            *known_obstacles = found.obstacles;
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the networks could not be checked"
            );
        }
    }
}

fn hosts_without_app(hostname: &str, address: Option<Ipv4Addr>) -> String {
    let own = address.unwrap_or(Ipv4Addr::LOCALHOST);
    format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n{own}\t{hostname}\n")
}
