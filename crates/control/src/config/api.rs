//! `[api]`.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use super::ConfigError;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ApiConfig {
    pub listen: SocketAddr,
    pub tls: Tls,
    /// The operator's own certificate, PEM, with those that vouch for it; one of the platform's own authority when not given.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Names and addresses by which clients reach the API, for the certificate of the platform's own authority; beside `localhost`, the
    /// loopback addresses and the one of `listen`.
    pub names: Vec<String>,
    /// Of one token; and of an address that has none. 0: as many as they like.
    pub requests_per_hour: u64,
    /// The same, so that nobody takes all of an hour at once.
    pub requests_per_minute: u64,
}

/// When the API is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tls {
    /// Unless it listens on a loopback address and has no certificate.
    #[default]
    Auto,
    Always,
    /// Not even where others can listen in.
    Never,
}

impl ApiConfig {
    pub(crate) fn is_encrypted(&self) -> bool {
        match self.tls {
            Tls::Always => true,
            Tls::Never => false,
            Tls::Auto => !self.listen.ip().is_loopback() || self.certificate.is_some(),
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match (&self.certificate, &self.key) {
            (Some(_), None) => Err(ConfigError::HalfCertificate { missing: "api.key" }),
            (None, Some(_)) => Err(ConfigError::HalfCertificate {
                missing: "api.certificate",
            }),
            (Some(_), Some(_)) if self.tls == Tls::Never => Err(ConfigError::UnusedCertificate),
            _ => Ok(()),
        }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4400)),
            tls: Tls::Auto,
            certificate: None,
            key: None,
            names: Vec::new(),
            requests_per_hour: 100_000,
            requests_per_minute: 10_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn the_api_is_plain_on_loopback_and_elsewhere_if_the_operator_says_so() {
        let api = |text: &str| {
            toml::from_str::<Config>(text)
                .unwrap()
                .checked()
                .map(|config| config.api)
        };
        assert!(!api("").unwrap().is_encrypted());
        assert!(api("api.listen = '0.0.0.0:4400'").unwrap().is_encrypted());
        assert!(
            !api("api = {listen = '0.0.0.0:4400', tls = 'never'}")
                .unwrap()
                .is_encrypted()
        );
        assert!(api("api.tls = 'always'").unwrap().is_encrypted());
        assert!(
            api("api = {certificate = '/c', key = '/k'}")
                .unwrap()
                .is_encrypted()
        );
        let refused = |text| api(text).unwrap_err().to_string();
        assert_eq!(
            refused("api.certificate = '/c'"),
            "api.key is missing: a certificate and its key belong together"
        );
        assert!(refused("api = {certificate = '/c', key = '/k', tls = 'never'}").contains("api.certificate"));
    }
}
