//! What an operator may choose about the network, checked once.

use std::{net::Ipv4Addr, path::PathBuf};

use ipnet::Ipv4Net;

use super::error::NetworkError;

/// A device name has 15 characters; ours are `<prefix>-<8 hex digits>`.
const PREFIX_LENGTH_MAX: usize = 6;
const TABLE_LENGTH_MAX: usize = 31;
/// Subnet of the gateway, subnet of the builds, and at least one app.
const SUBNETS_MIN: u32 = 3;

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// systemd-resolved keeps the servers that it really asks here, and a loopback stub in `/etc/resolv.conf`.
const RESOLV_CONF_UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// Settings of [`super::Networks`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Begins the name of every device that we make; 1 to 6 of `a-z0-9`.
    pub prefix: String,
    /// Name of our table in the `inet` family of nftables.
    pub table: String,
    /// Addresses of instances; every app gets one subnet of it.
    pub pool: Ipv4Net,
    /// Stable addresses of components; as large as `pool`, and every app gets the subnet of the same place.
    pub service_pool: Ipv4Net,
    /// Prefix length of the subnet that a new app gets. Apps keep what they have.
    pub app_prefix_length: u8,
    /// Keeps which app has which subnet and which component which address.
    pub state_file: PathBuf,
    /// The host's nameservers: those of the first file, or of the next one if a container cannot reach any of them.
    pub resolv_conf_files: Vec<PathBuf>,
    /// Used when the host itself has none that a container could reach.
    pub fallback_nameservers: Vec<Ipv4Addr>,
    /// TCP ports of the host that instances may reach: the router's, so that an app can call its own public URL.
    pub open_host_ports: Vec<u16>,
}

impl NetworkConfig {
    /// The defaults, with the allocations kept in `state_file`.
    pub fn new(state_file: PathBuf) -> Self {
        Self {
            prefix: "ms".to_owned(),
            table: "mainstay".to_owned(),
            pool: Ipv4Net::new_assert(Ipv4Addr::new(10, 210, 0, 0), 16),
            service_pool: Ipv4Net::new_assert(Ipv4Addr::new(10, 211, 0, 0), 16),
            app_prefix_length: 26,
            state_file,
            resolv_conf_files: [RESOLV_CONF, RESOLV_CONF_UPSTREAM].map(PathBuf::from).to_vec(),
            fallback_nameservers: vec![Ipv4Addr::new(9, 9, 9, 9), Ipv4Addr::new(1, 1, 1, 1)],
            open_host_ports: Vec::new(),
        }
    }

    pub(super) fn validate(&self) -> Result<(), NetworkError> {
        self.validate_names()?;
        self.validate_pools()
    }

    fn validate_names(&self) -> Result<(), NetworkError> {
        let prefix_fits = (1..=PREFIX_LENGTH_MAX).contains(&self.prefix.len())
            && self
                .prefix
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !prefix_fits {
            return Err(refused("prefix", &self.prefix, "must be 1 to 6 of a-z and 0-9"));
        }
        let table_fits = (1..=TABLE_LENGTH_MAX).contains(&self.table.len())
            && self.table.starts_with(|first: char| first.is_ascii_lowercase())
            && self
                .table
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !table_fits {
            return Err(refused(
                "table",
                &self.table,
                "must be a letter followed by up to 30 of a-z, 0-9 and _",
            ));
        }
        Ok(())
    }

    fn validate_pools(&self) -> Result<(), NetworkError> {
        for (field, pool) in [("pool", self.pool), ("service_pool", self.service_pool)] {
            if pool.trunc() != pool {
                return Err(refused(field, &pool, "has bits set behind its prefix length"));
            }
        }
        if self.pool.prefix_len() != self.service_pool.prefix_len() {
            return Err(refused(
                "service_pool",
                &self.service_pool,
                "must be as large as pool",
            ));
        }
        if self.pool.contains(&self.service_pool) {
            return Err(refused(
                "service_pool",
                &self.service_pool,
                "must not overlap pool",
            ));
        }
        let length = self.app_prefix_length;
        if !(self.pool.prefix_len() + 2..=29).contains(&length) || self.subnet_count() < SUBNETS_MIN {
            let rule = "must be at least 2 longer than the pool's prefix length and at most 29";
            return Err(refused("app_prefix_length", &length, rule));
        }
        Ok(())
    }

    /// How many subnets a pool is split in, the gateway's and the builds' included.
    pub(super) fn subnet_count(&self) -> u32 {
        1 << (self.app_prefix_length - self.pool.prefix_len())
    }
}

fn refused(field: &'static str, value: &impl ToString, rule: &'static str) -> NetworkError {
    NetworkError::Config {
        field,
        value: value.to_string(),
        rule,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> NetworkConfig {
        NetworkConfig::new(PathBuf::from("/nowhere"))
    }

    fn refused_field(config: &NetworkConfig) -> &'static str {
        match config.validate() {
            Err(NetworkError::Config { field, .. }) => field,
            other => panic!("expected a refused setting, got {other:?}"),
        }
    }

    #[test]
    fn defaults_are_accepted() {
        config().validate().unwrap();
        assert_eq!(config().subnet_count(), 1024);
    }

    #[test]
    fn names_that_could_break_out_of_a_rule_are_refused() {
        for prefix in ["", "toolong", "a b", "a\"", "Ms", "m-s"] {
            assert_eq!(
                refused_field(&NetworkConfig {
                    prefix: prefix.to_owned(),
                    ..config()
                }),
                "prefix"
            );
        }
        for table in ["", "1st", "a{", "a b", "_a"] {
            assert_eq!(
                refused_field(&NetworkConfig {
                    table: table.to_owned(),
                    ..config()
                }),
                "table"
            );
        }
    }

    #[test]
    fn pools_must_be_alike_and_apart() {
        let nets = |text: &str| text.parse::<Ipv4Net>().unwrap();
        let service = |text| NetworkConfig {
            service_pool: nets(text),
            ..config()
        };
        assert_eq!(refused_field(&service("10.211.0.0/17")), "service_pool");
        assert_eq!(refused_field(&service("10.210.0.0/16")), "service_pool");
        assert_eq!(refused_field(&service("10.211.3.0/16")), "service_pool");
        assert_eq!(
            refused_field(&NetworkConfig {
                app_prefix_length: 17,
                ..config()
            }),
            "app_prefix_length"
        );
        assert_eq!(
            refused_field(&NetworkConfig {
                app_prefix_length: 30,
                ..config()
            }),
            "app_prefix_length"
        );
    }
}
