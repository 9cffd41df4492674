//! What the operator set once for the machine: the CA bundle, proxies, package indexes, the Debian mirror. Every tool of every build
//! gets it, each under the name that it reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Where a build container finds the operator's CA bundle.
pub const CONTAINER_CA_BUNDLE: &str = "/run/mainstay/ca-bundle.crt";

/// Where Debian (and others) keep the bundle of all trusted CAs; a CA that the operator installed on the machine is in it.
const HOST_CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Variables that are taken over as they are: proxies, and where each language's packages come from.
const VARIABLES: &[&str] = &[
    "ALL_PROXY",
    "BUN_CONFIG_REGISTRY",
    "BUNDLE_MIRROR__ALL",
    "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
    "COREPACK_NPM_REGISTRY",
    "GONOPROXY",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOPROXY",
    "GOSUMDB",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "NPM_CONFIG_REGISTRY",
    "PIP_EXTRA_INDEX_URL",
    "PIP_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_INDEX",
    "UV_INDEX_STRATEGY",
    "UV_INDEX_URL",
    "UV_INSECURE_HOST",
    "UV_PYTHON_INSTALL_MIRROR",
    "YARN_NPM_REGISTRY_SERVER",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "npm_config_registry",
];

/// Variables by which tools are told to trust a CA bundle, each with the path as value.
const CA_VARIABLES: &[&str] = &[
    "CARGO_HTTP_CAINFO",
    "COMPOSER_CAFILE",
    "CURL_CA_BUNDLE",
    "DENO_CERT",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
];

/// The operator's settings.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperatorSettings {
    /// PEM bundle that is trusted instead of the built-in one.
    pub ca_bundle: Option<PathBuf>,
    /// Proxies and package indexes by the names of their variables. Values may hold credentials.
    pub variables: BTreeMap<String, String>,
    pub debian: DebianSettings,
    pub registries: RegistrySettings,
}

/// Where images come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// Registries (host or host:port) that speak plain HTTP or have a certificate that nobody vouches for. Those on loopback may always speak it.
    pub insecure: BTreeSet<String>,
    /// Images of a registry that is a key are pulled from its value instead: `"docker.io" = "127.0.0.1:5000"`.
    pub mirrors: BTreeMap<String, String>,
}

impl RegistrySettings {
    /// Whether a registry (host or host:port) may be asked over plain HTTP.
    pub fn speaks_http(&self, host: &str) -> bool {
        self.insecure.contains(host) || is_loopback(host)
    }
}

/// A host or host:port of this machine alone.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Where Debian packages come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DebianSettings {
    /// "bookworm"; the machine's own where it is Debian, if not set.
    pub suite: Option<String>,
    /// `http://deb.debian.org/debian`; the machine's own sources, if not set.
    pub mirror: Option<String>,
    /// `http://deb.debian.org/debian-security`; used with `mirror`.
    pub security_mirror: Option<String>,
}

/// What a build container needs so that its tools work behind the operator's network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerSettings {
    /// Files to mount read-only: (on the machine, in the container).
    pub files: Vec<(PathBuf, PathBuf)>,
    /// Variables; a user's own of the same name win.
    pub variables: BTreeMap<String, String>,
}

impl OperatorSettings {
    /// The settings that this process's environment tells.
    pub fn from_environment() -> Self {
        Self::from_variables(std::env::vars(), Path::new(HOST_CA_BUNDLE))
    }

    /// `host_bundle` is trusted when no variable names another and the file is there.
    fn from_variables(variables: impl IntoIterator<Item = (String, String)>, host_bundle: &Path) -> Self {
        let all: BTreeMap<String, String> = variables
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let named = all
            .get("SSL_CERT_FILE")
            .map(PathBuf::from)
            .filter(|path| path.is_file());
        let get = |name: &str| all.get(name).cloned();
        Self {
            ca_bundle: named.or_else(|| host_bundle.is_file().then(|| host_bundle.to_owned())),
            debian: DebianSettings {
                suite: get("MAINSTAY_DEBIAN_SUITE"),
                mirror: get("MAINSTAY_DEBIAN_MIRROR"),
                security_mirror: get("MAINSTAY_DEBIAN_SECURITY_MIRROR"),
            },
            registries: RegistrySettings::default(),
            variables: all
                .into_iter()
                .filter(|(name, _)| VARIABLES.contains(&name.as_str()))
                .collect(),
        }
    }

    /// What to give to a build container. The bundle is mounted, not copied: it never becomes part of an image.
    pub fn for_containers(&self) -> ContainerSettings {
        let mut settings = ContainerSettings {
            files: Vec::new(),
            variables: self.container_variables(CONTAINER_CA_BUNDLE),
        };
        if let Some(bundle) = &self.ca_bundle {
            settings
                .files
                .push((bundle.clone(), PathBuf::from(CONTAINER_CA_BUNDLE)));
        }
        settings
    }

    /// The variables alone, for a tool that sees the bundle at `bundle`.
    fn container_variables(&self, bundle: &str) -> BTreeMap<String, String> {
        let mut variables = self.variables.clone();
        if self.ca_bundle.is_some() {
            variables.extend(
                CA_VARIABLES
                    .iter()
                    .map(|name| ((*name).to_owned(), bundle.to_owned())),
            );
        }
        variables
    }

    /// The variables for a tool that runs on the machine itself: git, buildah, apt.
    pub fn for_host_tools(&self) -> BTreeMap<String, String> {
        match self.ca_bundle.as_deref().and_then(Path::to_str) {
            Some(bundle) => self.container_variables(bundle),
            None => self.variables.clone(),
        }
    }

    /// The value of a variable, in capitals or small letters.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let small = name.to_ascii_lowercase();
        self.variables
            .get(name)
            .or_else(|| self.variables.get(&small))
            .map(String::as_str)
    }
}

/// Without values: proxies and indexes carry passwords.
impl fmt::Debug for OperatorSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorSettings")
            .field("ca_bundle", &self.ca_bundle)
            .field("variables", &self.variables.keys().collect::<Vec<_>>())
            .field("debian", &self.debian)
            .field("registries", &self.registries)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)], host_bundle: &Path) -> OperatorSettings {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        OperatorSettings::from_variables(owned, host_bundle)
    }

    #[test]
    fn only_known_variables_are_taken_and_never_shown() {
        let settings = from(
            &[
                ("HTTPS_PROXY", "http://user:secret@proxy:3128"),
                ("AWS_SECRET_KEY", "secret"),
                ("GOPROXY", ""),
            ],
            Path::new("/nowhere"),
        );
        assert_eq!(settings.variables.len(), 1);
        assert_eq!(
            settings.variable("HTTPS_PROXY"),
            Some("http://user:secret@proxy:3128")
        );
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn a_named_bundle_wins_over_the_machines_own_if_it_is_there() {
        let (host, own) = (
            tempfile::NamedTempFile::new().unwrap(),
            tempfile::NamedTempFile::new().unwrap(),
        );
        let named = from(&[("SSL_CERT_FILE", own.path().to_str().unwrap())], host.path());
        assert_eq!(named.ca_bundle.as_deref(), Some(own.path()));
        let missing = from(&[("SSL_CERT_FILE", "/nowhere")], host.path());
        assert_eq!(missing.ca_bundle.as_deref(), Some(host.path()));
        assert_eq!(from(&[], Path::new("/nowhere")).ca_bundle, None);
    }

    #[test]
    fn a_container_gets_the_bundle_and_every_tools_name_for_it() {
        let host = tempfile::NamedTempFile::new().unwrap();
        let given = from(&[("npm_config_registry", "http://npm.test/")], host.path()).for_containers();
        assert_eq!(
            given.files,
            [(host.path().to_owned(), PathBuf::from(CONTAINER_CA_BUNDLE))]
        );
        for name in [
            "SSL_CERT_FILE",
            "NODE_EXTRA_CA_CERTS",
            "PIP_CERT",
            "CARGO_HTTP_CAINFO",
        ] {
            assert_eq!(given.variables[name], CONTAINER_CA_BUNDLE);
        }
        assert_eq!(given.variables["npm_config_registry"], "http://npm.test/");
        assert_eq!(
            from(&[], Path::new("/nowhere")).for_containers(),
            ContainerSettings::default()
        );
    }

    #[test]
    fn only_loopback_is_plain() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "docker.io",
            "10.0.0.1:5000",
            "localhost.evil.test",
            "127.0.0.1.evil.test:80",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
