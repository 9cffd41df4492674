//! The instance's end of its network, set up from inside its namespace.
//!
//! Entering a namespace changes the thread, so this happens on a thread of its own that ends right after. It needs no process in
//! the container and works for namespaces that belong to another user namespace.

use std::{
    fs::File,
    net::Ipv4Addr,
    os::{
        fd::{AsFd, OwnedFd},
        linux::fs::MetadataExt,
    },
    time::Duration,
};

use rtnetlink::packet_route::address::AddressScope;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{runtime, sync::oneshot, time::timeout};

use super::{
    error::NetworkError,
    netlink::{HOST_HARDWARE_ADDRESS, Netlink, route_by_gateway, route_to_device},
};

/// Name of the device inside the instance.
pub(super) const DEVICE: &str = "eth0";
const DEADLINE: Duration = Duration::from_secs(10);
/// Settings of the instance's own namespace. There is no IPv6 outward, so an address of it would only make apps try; and ports
/// below 1024 need no privilege where nobody else could want them.
const SETTINGS: [(&str, &str); 4] = [
    ("ipv6/conf/eth0/disable_ipv6", "1"),
    ("ipv4/ip_unprivileged_port_start", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/eth0/accept_redirects", "0"),
];

/// Of the thread that opens it.
pub(super) const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// A network namespace, held open.
#[derive(Debug)]
pub(super) struct Namespace(OwnedFd);

impl Namespace {
    /// The namespace that process `pid` is in; refused if that is our own.
    pub(super) fn of_process(pid: i32) -> Result<Self, NetworkError> {
        let open = |path: String| {
            let file = File::open(&path).map_err(NetworkError::io(format!("open {path}")))?;
            let inode = file
                .metadata()
                .map_err(NetworkError::io(format!("look at {path}")))?
                .st_ino();
            Ok((file, inode))
        };
        let (theirs, their_inode) = open(format!("/proc/{pid}/ns/net"))?;
        let (_, our_inode) = open(OWN_NAMESPACE.to_owned())?;
        if their_inode == our_inode {
            Err(NetworkError::HostNamespace { pid })
        } else {
            Ok(Self(theirs.into()))
        }
    }

    pub(super) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<File> for Namespace {
    fn from(file: File) -> Self {
        Self(file.into())
    }
}

/// What the instance's end needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addressing {
    pub(super) address: Ipv4Addr,
    pub(super) gateway: Ipv4Addr,
}

/// Gives the namespace's [`DEVICE`] its address and routes, and brings it and loopback up.
pub(super) async fn set_up(namespace: Namespace, addressing: Addressing) -> Result<(), NetworkError> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("instance-network".to_owned())
        .spawn(move || {
            // Nobody listens any more if the caller was cancelled.
            let _ = sender.send(inside(&namespace, addressing));
        })
        .map_err(NetworkError::io("start a thread for the instance's network"))?;
    receiver.await.unwrap_or_else(|_| Err(stopped()))
}

fn stopped() -> NetworkError {
    NetworkError::Io {
        operation: "set up the instance's end of its network".to_owned(),
        source: std::io::Error::other("the thread ended without a result"),
    }
}

fn inside(namespace: &Namespace, addressing: Addressing) -> Result<(), NetworkError> {
    move_into_link_name_space(namespace.fd(), Some(LinkNameSpaceType::Network))
        .map_err(|errno| NetworkError::io("enter the instance's network namespace")(errno.into()))?;
    for (setting, value) in SETTINGS {
        // Each is an improvement, none a need: a kernel without IPv6 lacks the first.
        if let Err(error) = std::fs::write(format!("/proc/sys/net/{setting}"), value) {
            tracing::debug!(setting, %error, "a setting of the instance's network was not accepted");
        }
    }
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(NetworkError::io("start a runtime for the instance's network"))?;
    runtime.block_on(async {
        timeout(DEADLINE, configure(addressing))
            .await
            .unwrap_or_else(|_| {
                let operation = "set up the instance's end of its network".to_owned();
                Err(NetworkError::Deadline {
                    operation,
                    deadline: DEADLINE,
                })
            })
    })
}

async fn configure(addressing: Addressing) -> Result<(), NetworkError> {
    let Addressing { address, gateway } = addressing;
    let netlink = Netlink::open()?;
    let index = netlink.device_index(DEVICE).await?;
    netlink.raise("lo").await?;
    netlink.raise(DEVICE).await?;
    netlink
        .add_address(index, address, AddressScope::Universe)
        .await?;
    netlink
        .put_neighbour(index, gateway, HOST_HARDWARE_ADDRESS)
        .await?;
    netlink.put_route(route_to_device(gateway, index).build()).await?;
    netlink.put_route(route_by_gateway(gateway, index)).await
}
