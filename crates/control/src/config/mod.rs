//! The operator's configuration: one TOML file, every field with a default.

mod alerts;
mod api;
mod databases;
mod keep;
mod metrics;
mod room;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use mainstay_build::source::LocalPaths;
use mainstay_engine::local::LayerOwner;
use mainstay_images::{OperatorSettings, settings::RegistrySettings};
use mainstay_spec::AppSpec;
use serde::Deserialize;

pub(crate) use self::{
    alerts::AlertsConfig,
    api::ApiConfig,
    databases::{BackupsConfig, DatabasesConfig},
    keep::KeepConfig,
    metrics::MetricsConfig,
    room::{CapacityConfig, LimitsConfig},
};

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
    pub databases: DatabasesConfig,
    pub sources: SourcesConfig,
    pub registries: RegistrySettings,
    pub limits: LimitsConfig,
    pub capacity: CapacityConfig,
    pub keep: KeepConfig,
    pub alerts: AlertsConfig,
    pub metrics: MetricsConfig,
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
    /// Addresses of instances.
    pub pool: String,
    /// Addresses of component names.
    pub service_pool: String,
    /// Prefix length of the part of both pools that a new app gets.
    pub app_prefix_length: u8,
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
    /// Directories of this machine below which repositories may lie that a clone URL names by their path. Whoever may create an app can
    /// read every repository there.
    pub local_paths: Vec<PathBuf>,
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
    #[error("{missing} is missing: a certificate and its key belong together")]
    HalfCertificate { missing: &'static str },
    #[error("api.tls is \"never\", but api.certificate is given")]
    UnusedCertificate,
    #[error("router.listen is empty: apps could not be reached")]
    NoRouterAddress,
    /// It is not repeated: it may have a password.
    #[error("alerts.smtp_url is no address of a mail server, such as smtps://user:password@mail.example.com")]
    MailServer,
    #[error("alerts.from is {value:?}: it must be a mail address, such as Mainstay <mainstay@example.com>")]
    MailFrom { value: String },
    #[error("{field} is {value}: it must be at least {least}")]
    TooSmall {
        field: &'static str,
        value: u64,
        least: u64,
    },
    #[error("{field} is {value}: it must be at most {most}")]
    TooLarge {
        field: &'static str,
        value: u64,
        most: u64,
    },
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
            databases: DatabasesConfig::default(),
            sources: SourcesConfig::default(),
            registries: RegistrySettings::default(),
            limits: LimitsConfig::default(),
            capacity: CapacityConfig::default(),
            keep: KeepConfig::default(),
            alerts: AlertsConfig::default(),
            metrics: MetricsConfig::default(),
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
            app_prefix_length: 26,
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

/// Each field with its value and the least that it may be.
fn at_least(fields: &[(&'static str, u64, u64)]) -> Result<(), ConfigError> {
    for &(field, value, least) in fields {
        if value < least {
            return Err(ConfigError::TooSmall { field, value, least });
        }
    }
    Ok(())
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
        self.api.check()?;
        if self.router.listen.is_empty() {
            return Err(ConfigError::NoRouterAddress);
        }
        debug_assert!(self.build.memory_bytes >= MIB);
        self.keep.check()?;
        self.databases.check()?;
        self.alerts.check()?;
        self.metrics.check()?;
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

    /// The operator's settings for tools: those of the server's environment, and over them those of the configuration.
    pub(crate) fn operator_settings(&self) -> OperatorSettings {
        let mut settings = OperatorSettings::from_environment();
        settings.variables.extend(self.build.env.clone());
        settings.registries.clone_from(&self.registries);
        if let Some(bundle) = &self.build.ca_bundle {
            settings.ca_bundle = Some(bundle.clone());
        }
        settings
    }

    pub(crate) fn uploads_dir(&self) -> PathBuf {
        self.data_dir.join("uploads")
    }

    /// The host name that the platform gives the app of the spec; the suffix is the app's own.
    pub(crate) fn app_domain(&self, spec: &AppSpec, host_suffix: &str) -> String {
        format!("{}{host_suffix}.{}", spec.name, self.router.domain)
    }

    /// The app's address for people, without a final slash.
    pub(crate) fn app_url(&self, spec: &AppSpec, host_suffix: &str) -> String {
        let primary = spec
            .domains
            .iter()
            .find(|domain| domain.is_primary())
            .map(mainstay_spec::Domain::host);
        let host = primary.unwrap_or_else(|| self.app_domain(spec, host_suffix));
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

    /// Where clone URLs may lead on this machine: the listed directories, and the mirrors.
    pub(crate) fn local_sources(&self) -> LocalPaths {
        let mirrors = self.sources.mirrors.values();
        let mirrors = mirrors
            .map(|mirror| mirror.strip_prefix("file://").unwrap_or(mirror))
            .filter(|mirror| mirror.starts_with('/'))
            .map(PathBuf::from);
        LocalPaths::Under(self.sources.local_paths.iter().cloned().chain(mirrors).collect())
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
            sources: SourcesConfig {
                mirrors,
                local_paths: vec!["/srv/code".into()],
            },
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
        assert_eq!(
            config.local_sources(),
            LocalPaths::Under(vec!["/srv/code".into(), "/a/".into(), "/b/".into()])
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
    fn the_documented_configuration_is_the_default_one() {
        let document = include_str!("../../../../docs/configuration.md");
        let block = document.split("```toml").nth(1).unwrap();
        let block = block.split("```").next().unwrap();
        let mut documented: Config = toml::from_str(block).unwrap();
        let default = Config::default();
        // These depend on the machine.
        documented.build.cpu_millis = default.build.cpu_millis;
        documented.build.at_once = default.build.at_once;
        documented.build.at_once_per_app = default.build.at_once_per_app;
        documented.capacity.memory_bytes = default.capacity.memory_bytes;
        assert_eq!(format!("{documented:#?}"), format!("{default:#?}"));
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(toml::from_str::<Config>("nmae = 'x'").is_err());
    }
}
