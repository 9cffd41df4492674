//! The real parts behind the platform's traits: this machine's engine, builder and image store.

use std::{path::PathBuf, sync::Arc};

use mainstay_build::{
    Builder, BuilderConfig, LocalBuilder,
    dockerfile::{DockerfileConfig, DockerfileEngine, EngineBuildNetwork, StepNetwork},
};
use mainstay_engine::{
    Engine,
    local::{
        LocalConfig, LocalEngine,
        network::{NetworkConfig, Networks},
    },
};
use mainstay_images::ImageStore;

use crate::{config::Config, platform::PlatformError};

#[derive(Debug)]
pub(crate) struct Parts {
    pub engine: Arc<dyn Engine>,
    pub builder: Arc<dyn Builder>,
    pub images: ImageStore,
    pub networks: Option<Arc<Networks>>,
}

pub(crate) async fn open(config: &Config) -> Result<Parts, PlatformError> {
    let images = ImageStore::open(&config.data_dir.join("images"))?;
    let local = LocalEngine::open(engine_config(config, &images)?).await?;
    let networks = local.networks();
    let engine: Arc<dyn Engine> = Arc::new(local);
    let dockerfile = DockerfileEngine::new(dockerfile_config(config, networks.clone())).await?;
    let builder = LocalBuilder::open(
        builder_config(config),
        Arc::clone(&engine),
        images.clone(),
        Some(Arc::new(dockerfile)),
    )?;
    Ok(Parts {
        engine,
        builder: Arc::new(builder),
        images,
        networks,
    })
}

fn builder_config(config: &Config) -> BuilderConfig {
    BuilderConfig {
        state_dir: config.data_dir.join("build"),
        settings: config.operator_settings(),
        local_paths: config.local_sources(),
    }
}

fn dockerfile_config(config: &Config, networks: Option<Arc<Networks>>) -> DockerfileConfig {
    // Without networks of our own, `RUN` steps get none: the host's would let them reach everything on it.
    let network = networks.map_or(StepNetwork::None, |networks| {
        StepNetwork::Namespace(Arc::new(EngineBuildNetwork::new(networks)))
    });
    let mut dockerfile = DockerfileConfig::new(
        config.data_dir.join("dockerfile"),
        config.run_dir.join("dockerfile"),
        network,
    );
    dockerfile.cgroup_prefix = format!("/{}/build", config.name);
    dockerfile.operator = config.operator_settings();
    dockerfile
}

fn engine_config(config: &Config, images: &ImageStore) -> Result<LocalConfig, PlatformError> {
    let bin_dir: PathBuf = config
        .program("mainstay-shim")
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default();
    let mut local = LocalConfig::new(
        &config.name,
        config.data_dir.join("engine"),
        config.run_dir.join("engine"),
        bin_dir,
    );
    local.network = Some(network_config(config)?);
    local.layer_owner = config.engine.layer_owner;
    local.images = Some(images.clone());
    Ok(local)
}

fn network_config(config: &Config) -> Result<NetworkConfig, PlatformError> {
    let mut network = NetworkConfig::new(config.data_dir.join("networks.json"));
    network.table.clone_from(&config.name);
    network.prefix.clone_from(&config.network.prefix);
    network.pool = pool("network.pool", &config.network.pool)?;
    network.service_pool = pool("network.service_pool", &config.network.service_pool)?;
    network.app_prefix_length = config.network.app_prefix_length;
    network.open_host_ports = config
        .router
        .listen
        .iter()
        .map(std::net::SocketAddr::port)
        .collect();
    Ok(network)
}

fn pool<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, PlatformError> {
    text.parse().map_err(|_| {
        PlatformError::missing(format!(
            "a network like 10.210.0.0/16 in {field} (found {text:?})"
        ))
    })
}
