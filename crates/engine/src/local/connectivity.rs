//! What an instance's network choice means: addresses, names, and the networks behind them.

use std::net::Ipv4Addr;

use mainstay_spec::ids::AppId;

use crate::api::{EngineError, Network};

use super::{
    Inner,
    instance::Identity,
    network::{Networks, Tenant},
};

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

fn hosts_without_app(hostname: &str, address: Option<Ipv4Addr>) -> String {
    let own = address.unwrap_or(Ipv4Addr::LOCALHOST);
    format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n{own}\t{hostname}\n")
}
