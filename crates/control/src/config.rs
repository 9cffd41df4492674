//! The operator's configuration: one TOML file, every field with a default.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use mainstay_engine::local::LayerOwner;
use mainstay_images::settings::RegistrySettings;
use mainstay_spec::AppSpec;
use serde::Deserialize;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Prefix of everything the platform makes on this machine (cgroups, bridges, nft table); two platforms on one machine differ in it.
    pub name: String,
    /// What must survive a reboot.
    pub data_dir: PathBuf,
    /// Sockets and other things that need not.
    pub run_dir: PathBuf,
    /// Where the platform's programs are; beside this one when not given.
    pub program_dir: Option<PathBuf>,
    pub api: ApiConfig,
    pub router: RouterConfig,
    pub network: NetworkConfig,
    pub engine: EngineConfig,
    pub build: BuildConfig,
    pub sources: SourcesConfig,
    pub registries: RegistrySettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ApiConfig {
    /// Plain HTTP: loopback only.
    pub listen: SocketAddr,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RouterConfig {
    pub listen: Vec<SocketAddr>,
    /// Apps answer at `<app>.<domain>`.
    pub domain: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NetworkConfig {
    /// Addresses of instances; each app gets a /24.
    pub pool: String,
    /// Addresses of component names.
    pub service_pool: String,
    /// Begins the name of every device that is made; 1 to 6 of `a-z0-9`.
    pub prefix: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EngineConfig {
    /// How the files of shared layers get an app's owners: `auto` (mapped by the kernel where it can, copied elsewhere), `idmap` or
    /// `copy`.
    pub layer_owner: LayerOwner,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BuildConfig {
    pub memory_bytes: u64,
    pub cpu_millis: u32,
    pub pids: u32,
    pub disk_bytes: u64,
    /// Of building; time in the queue is not counted.
    pub time_seconds: u64,
    /// Builds at a time, on this machine and per app.
    pub at_once: u32,
    pub at_once_per_app: u32,
    /// Given to every tool of every build: proxies, package indexes. Those of the server's own environment are the default.
    pub env: BTreeMap<String, String>,
    /// Trusted by every tool of every build, instead of the image's own certificates.
    pub ca_bundle: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SourcesConfig {
    /// Clone URLs that start with a key are fetched from its value instead: `"https://github.com/" = "/srv/git/"`.
    pub mirrors: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("could not read the configuration {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the configuration {} is not valid", path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: toml::de::Error,
    },
    #[error("api.listen is {listen}: the API speaks plain HTTP and must stay on a loopback address")]
    ApiNotOnLoopback { listen: SocketAddr },
    #[error("router.listen is empty: apps could not be reached")]
    NoRouterAddress,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "mainstay".into(),
            data_dir: "/var/lib/mainstay".into(),
            run_dir: "/run/mainstay".into(),
            program_dir: None,
            api: ApiConfig::default(),
            router: RouterConfig::default(),
            network: NetworkConfig::default(),
            engine: EngineConfig::default(),
            build: BuildConfig::default(),
            sources: SourcesConfig::default(),
            registries: RegistrySettings::default(),
        }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4400)),
        }
    }
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 8080))],
            domain: "localhost".into(),
        }
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            pool: "10.210.0.0/16".into(),
            service_pool: "10.211.0.0/16".into(),
            prefix: "ms".into(),
        }
    }
}

impl Default for BuildConfig {
    fn default() -> Self {
        let cores =
            std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        Self {
            memory_bytes: 4 * GIB,
            cpu_millis: cores * 1000,
            pids: 2048,
            disk_bytes: 24 * GIB,
            time_seconds: 60 * 60,
            at_once: (cores / 2).max(1) + 1,
            at_once_per_app: 1.max(cores / 2),
            env: BTreeMap::new(),
            ca_bundle: None,
        }
    }
}

impl Config {
    /// Reads the file; without one every default holds.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let config = match path {
            None => Self::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
                    path: path.to_owned(),
                    source,
                })?;
                toml::from_str(&text).map_err(|source| ConfigError::Parse {
                    path: path.to_owned(),
                    source,
                })?
            }
        };
        config.checked()
    }

    fn checked(self) -> Result<Self, ConfigError> {
        if !self.api.listen.ip().is_loopback() {
            return Err(ConfigError::ApiNotOnLoopback {
                listen: self.api.listen,
            });
        }
        if self.router.listen.is_empty() {
            return Err(ConfigError::NoRouterAddress);
        }
        debug_assert!(self.build.memory_bytes >= MIB);
        Ok(self)
    }

    /// Where one of the platform's programs is.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let beside = || std::env::current_exe().ok()?.parent().map(Path::to_owned);
        self.program_dir
            .clone()
            .or_else(beside)
            .unwrap_or_default()
            .join(name)
    }

    pub(crate) fn uploads_dir(&self) -> PathBuf {
        self.data_dir.join("uploads")
    }

    /// The host name that the platform gives the app.
    pub(crate) fn app_domain(&self, spec: &AppSpec) -> String {
        format!("{}.{}", spec.name, self.router.domain)
    }

    /// The app's address for people, without a final slash.
    pub(crate) fn app_url(&self, spec: &AppSpec) -> String {
        let primary = spec
            .domains
            .iter()
            .find(|domain| domain.is_primary())
            .map(mainstay_spec::Domain::host);
        let host = primary.unwrap_or_else(|| self.app_domain(spec));
        match self.router.listen[0].port() {
            80 => format!("http://{host}"),
            port => format!("http://{host}:{port}"),
        }
    }

    /// Where the router is reached from here.
    pub(crate) fn router_address(&self) -> SocketAddr {
        let mut address = self.router.listen[0];
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        address
    }

    /// The URL to fetch instead of `url`; the longest matching prefix decides.
    pub(crate) fn mirrored(&self, url: &str) -> String {
        let matching = self
            .sources
            .mirrors
            .iter()
            .filter(|(prefix, _)| url.starts_with(prefix.as_str()));
        match matching.max_by_key(|(prefix, _)| prefix.len()) {
            Some((prefix, mirror)) => format!("{mirror}{}", &url[prefix.len()..]),
            None => url.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mirror_prefix_decides() {
        let mirrors = [
            ("https://git.example/", "/a/"),
            ("https://git.example/team/", "/b/"),
        ];
        let mirrors = mirrors.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        let config = Config {
            sources: SourcesConfig { mirrors },
            ..Config::default()
        };
        assert_eq!(
            config.mirrored("https://git.example/team/shop.git"),
            "/b/shop.git"
        );
        assert_eq!(config.mirrored("https://git.example/x.git"), "/a/x.git");
        assert_eq!(
            config.mirrored("https://other.example/x.git"),
            "https://other.example/x.git"
        );
    }

    #[test]
    fn the_owner_of_layers_is_one_of_three_words() {
        let config: Config = toml::from_str("[engine]\nlayer_owner = 'copy'").unwrap();
        assert_eq!(config.engine.layer_owner, LayerOwner::Copy);
        assert_eq!(Config::default().engine.layer_owner, LayerOwner::Auto);
        let error = toml::from_str::<Config>("[engine]\nlayer_owner = 'chown'").unwrap_err();
        assert!(error.to_string().contains("`auto`, `idmap`, `copy`"), "{error}");
    }

    #[test]
    fn the_api_stays_on_loopback() {
        let api = ApiConfig {
            listen: SocketAddr::from(([0, 0, 0, 0], 4400)),
        };
        let refused = Config {
            api,
            ..Config::default()
        }
        .checked()
        .unwrap_err();
        assert_eq!(
            refused.to_string(),
            "api.listen is 0.0.0.0:4400: the API speaks plain HTTP and must stay on a loopback address"
        );
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(toml::from_str::<Config>("nmae = 'x'").is_err());
    }
}
