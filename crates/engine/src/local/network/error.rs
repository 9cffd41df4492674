//! What can go wrong with networks, one variant per operation.

use std::{io, net::Ipv4Addr, path::PathBuf, time::Duration};

use ipnet::Ipv4Net;
use mainstay_spec::ids::AppId;

use crate::api::EngineError;

#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("network setting {field} = {value:?} {rule}")]
    Config {
        field: &'static str,
        value: String,
        rule: &'static str,
    },
    #[error(
        "the address pool {pool} overlaps {route}, which this host routes to {device}; choose another pool"
    )]
    PoolTaken {
        pool: Ipv4Net,
        route: Ipv4Net,
        device: String,
    },
    #[error("all subnets of the address pool {pool} belong to apps: {subnets} have one")]
    NoSubnetLeft { pool: Ipv4Net, subnets: usize },
    #[error(
        "the pools hold no {subnet}, which the app {app} has since they were other ones; a pool can grow, and for anything else \
         `mainstay-server down` has to give up all addresses first, with the pools as they were"
    )]
    PoolChanged { app: AppId, subnet: Ipv4Net },
    #[error("every address of {subnet} is taken")]
    NoAddressLeft { subnet: Ipv4Net },
    #[error("app {app} has no network")]
    UnknownApp { app: AppId },
    #[error("component name {name:?} cannot be a host name")]
    ComponentName { name: String },
    #[error("component {component:?} names the address {address}, which is not of the app's subnet {subnet}")]
    ForeignAddress {
        component: String,
        address: Ipv4Addr,
        subnet: Ipv4Net,
    },
    #[error("the networks were removed from this host")]
    Removed,
    #[error("process {pid} is in the host's own network namespace")]
    HostNamespace { pid: i32 },
    #[error("{operation}")]
    Netlink {
        operation: String,
        #[source]
        source: rtnetlink::Error,
    },
    #[error("{operation}")]
    Io {
        operation: String,
        #[source]
        source: io::Error,
    },
    #[error("{operation} took longer than {deadline:?}")]
    Deadline { operation: String, deadline: Duration },
    #[error("{command} ended with {status}: {stderr}")]
    Tool {
        command: String,
        status: String,
        stderr: String,
    },
    #[error("the network allocations in {path} cannot be read")]
    StateFile {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

impl NetworkError {
    /// For `map_err`: names the operation that an I/O error belongs to.
    pub(super) fn io(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Io { operation, source }
    }

    /// For `map_err`: names the operation that a netlink error belongs to.
    pub(super) fn netlink(operation: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Netlink { operation, source }
    }

    /// The kernel's errno, if it refused a netlink request.
    pub(super) fn netlink_errno(&self) -> Option<i32> {
        match self {
            Self::Netlink {
                source: rtnetlink::Error::NetlinkError(message),
                ..
            } => message.to_io().raw_os_error(),
            _ => None,
        }
    }
}

impl From<NetworkError> for EngineError {
    fn from(error: NetworkError) -> Self {
        Self {
            operation: "configure the network".to_owned(),
            source: Some(Box::new(error)),
        }
    }
}
