//! Devices, addresses and routes through the kernel's netlink socket, in our own words.

use std::{
    collections::HashSet,
    net::Ipv4Addr,
    os::fd::{AsRawFd, BorrowedFd},
};

use futures_util::{Stream, TryStreamExt};
use ipnet::Ipv4Net;
use rtnetlink::{
    AddressMessageBuilder, Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        address::{AddressAttribute, AddressMessage, AddressScope},
        link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoVeth, LinkAttribute, LinkMessage},
        route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteScope, RouteType},
    },
};
use tokio::sync::oneshot;

use super::error::NetworkError;

const ENODEV: i32 = 19;
const ESRCH: i32 = 3;
const EADDRNOTAVAIL: i32 = 99;
/// The kernel gives loopback this index in every namespace.
pub(super) const LOOPBACK_INDEX: u32 = 1;
const MTU_DEFAULT: u32 = 1500;
/// Every host end has this hardware address, so that an instance knows its gateway's without asking.
pub(super) const HOST_HARDWARE_ADDRESS: [u8; 6] = [0x02, 0x6d, 0x73, 0x00, 0x00, 0x01];

/// A netlink connection in the namespace of the thread that opened it. Cheap: opened per operation, so that a broken one
/// breaks nothing else.
#[derive(Debug)]
pub(super) struct Netlink {
    handle: Handle,
    /// Ends the connection by going away.
    _until: oneshot::Sender<()>,
}

/// A device of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) alias: Option<String>,
}

impl Netlink {
    pub(super) fn open() -> Result<Self, NetworkError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(NetworkError::io("open a netlink socket"))?;
        let (until, over) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Handle::current();
        // The kernel does what it is asked within the call, and for a device that goes it waits until no processor looks at it any
        // more: some ten milliseconds, in which a worker of the runtime would hold up all that waits behind it.
        tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = connection => {}
                    _ = over => {}
                }
            });
        });
        Ok(Self {
            handle,
            _until: until,
        })
    }

    /// Makes a veth pair, both ends down: `name` here and `peer` in the namespace `peer_namespace`.
    pub(super) async fn add_pair(
        &self,
        name: &str,
        peer: &str,
        peer_namespace: BorrowedFd<'_>,
        mtu: u32,
    ) -> Result<(), NetworkError> {
        let peer = LinkMessageBuilder::<LinkUnspec>::default()
            .name(peer)
            .mtu(mtu)
            .setns_by_fd(peer_namespace.as_raw_fd())
            .build();
        let pair = LinkVeth::new(name, "")
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .mtu(mtu)
            .address(HOST_HARDWARE_ADDRESS.to_vec())
            .build();
        let request = self.handle.link().add(pair).execute();
        request
            .await
            .map_err(NetworkError::netlink(format!("create the device {name}")))
    }

    /// Writes `alias` on the device, and keeps IPv6 from giving itself an address on it.
    pub(super) async fn label(&self, name: &str, alias: &str) -> Result<(), NetworkError> {
        let labelled = LinkUnspec::new_with_name(name).alias(alias).build();
        let request = self.handle.link().set(labelled).execute();
        request
            .await
            .map_err(NetworkError::netlink(format!("label the device {name}")))?;
        let no_address = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        let quiet = LinkUnspec::new_with_name(name)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![no_address]))
            .build();
        // A host without IPv6 refuses this, and does not need it.
        let _ = self.handle.link().set(quiet).execute().await;
        Ok(())
    }

    pub(super) async fn raise(&self, name: &str) -> Result<(), NetworkError> {
        let request = self
            .handle
            .link()
            .set(LinkUnspec::new_with_name(name).up().build())
            .execute();
        request
            .await
            .map_err(NetworkError::netlink(format!("bring the device {name} up")))
    }

    /// Removes the device; fine if it is gone already.
    pub(super) async fn remove_device(&self, name: &str) -> Result<(), NetworkError> {
        let message = LinkUnspec::new_with_name(name).build();
        let request = self.handle.link().del_with_message(message).execute();
        gone_is_fine(
            request
                .await
                .map_err(NetworkError::netlink(format!("remove the device {name}"))),
        )
    }

    /// All devices whose names begin with `prefix`.
    pub(super) async fn devices(&self, prefix: &str) -> Result<Vec<Device>, NetworkError> {
        let links = collect(self.handle.link().get().execute(), "list devices").await?;
        let devices = links.iter().filter_map(|link| {
            let name = device_name(link)?;
            name.starts_with(prefix).then(|| Device {
                name: name.to_owned(),
                alias: device_alias(link),
            })
        });
        Ok(devices.collect())
    }

    pub(super) async fn device_index(&self, name: &str) -> Result<u32, NetworkError> {
        let links = self.handle.link().get().match_name(name).execute();
        let links = collect(links, &format!("find the device {name}")).await?;
        links
            .first()
            .map(|link| link.header.index)
            .ok_or_else(|| NetworkError::Io {
                operation: format!("find the device {name}"),
                source: std::io::ErrorKind::NotFound.into(),
            })
    }

    /// MTU of the device that leads to the internet.
    pub(super) async fn outward_mtu(&self) -> Result<u32, NetworkError> {
        let routes = self.routes().await?;
        let default = routes
            .iter()
            .filter(|route| route.header.destination_prefix_length == 0)
            .filter(|route| route.header.table == RouteHeader::RT_TABLE_MAIN)
            .min_by_key(|route| priority(route));
        let Some(index) = default.and_then(output_index) else {
            return Ok(MTU_DEFAULT);
        };
        let links = self.handle.link().get().match_index(index).execute();
        let links = collect(links, "read the MTU of the default route's device").await?;
        let mtu = links
            .iter()
            .flat_map(|link| &link.attributes)
            .find_map(|attribute| match attribute {
                LinkAttribute::Mtu(mtu) => Some(*mtu),
                _ => None,
            });
        Ok(mtu.unwrap_or(MTU_DEFAULT))
    }

    /// A route of the host into `pool` that does not lead to one of our devices, and its device.
    pub(super) async fn foreign_route(
        &self,
        pool: Ipv4Net,
        our_devices: &str,
    ) -> Result<Option<(Ipv4Net, String)>, NetworkError> {
        for route in self.routes().await? {
            let Some(destination) = destination(&route) else {
                continue;
            };
            let overlaps = pool.contains(&destination) || destination.contains(&pool);
            let unicast = route.header.kind == RouteType::Unicast;
            if !unicast || destination.prefix_len() == 0 || !overlaps {
                continue;
            }
            let Some(index) = output_index(&route) else {
                continue;
            };
            let links = collect(
                self.handle.link().get().match_index(index).execute(),
                "find a device",
            )
            .await?;
            let device = links
                .first()
                .and_then(device_name)
                .unwrap_or("a device without a name");
            if !device.starts_with(our_devices) {
                return Ok(Some((destination, device.to_owned())));
            }
        }
        Ok(None)
    }

    /// Every single address (not net) that the host's main table has a route to.
    pub(super) async fn single_destinations(&self) -> Result<HashSet<Ipv4Addr>, NetworkError> {
        let routes = self.routes().await?;
        let main = routes
            .iter()
            .filter(|route| route.header.table == RouteHeader::RT_TABLE_MAIN);
        let singles = main.filter_map(destination).filter(|net| net.prefix_len() == 32);
        Ok(singles.map(|net| net.addr()).collect())
    }

    /// Every IPv4 address of this host.
    pub(super) async fn local_addresses(&self) -> Result<Vec<Ipv4Addr>, NetworkError> {
        let messages = collect(self.handle.address().get().execute(), "list addresses").await?;
        let addresses = messages.iter().flat_map(|message| &message.attributes);
        let addresses = addresses.filter_map(|attribute| match attribute {
            AddressAttribute::Local(std::net::IpAddr::V4(address)) => Some(*address),
            _ => None,
        });
        Ok(addresses.collect())
    }

    /// Puts `address` on the device; fine if it is there already.
    pub(super) async fn add_address(
        &self,
        index: u32,
        address: Ipv4Addr,
        scope: AddressScope,
    ) -> Result<(), NetworkError> {
        // Only the message of this request lets the scope be chosen.
        let mut request = self.handle.address().add(index, address.into(), 32).replace();
        request.message_mut().header.scope = scope;
        request
            .execute()
            .await
            .map_err(NetworkError::netlink(format!("add the address {address}")))
    }

    /// Takes `address` off the device; fine if it is not there.
    pub(super) async fn remove_address(&self, index: u32, address: Ipv4Addr) -> Result<(), NetworkError> {
        let message: AddressMessage = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(address, 32)
            .build();
        let request = self.handle.address().del(message).execute();
        gone_is_fine(
            request
                .await
                .map_err(NetworkError::netlink(format!("remove the address {address}"))),
        )
    }

    /// Adds or replaces a route.
    pub(super) async fn put_route(&self, route: RouteMessage) -> Result<(), NetworkError> {
        let operation = format!("add the route to {}", destination_text(&route));
        self.handle
            .route()
            .add(route)
            .replace()
            .execute()
            .await
            .map_err(NetworkError::netlink(operation))
    }

    /// Removes a route; fine if it is gone already.
    pub(super) async fn remove_route(&self, route: RouteMessage) -> Result<(), NetworkError> {
        let operation = format!("remove the route to {}", destination_text(&route));
        gone_is_fine(
            self.handle
                .route()
                .del(route)
                .execute()
                .await
                .map_err(NetworkError::netlink(operation)),
        )
    }

    /// Makes `address` known at a fixed hardware address on the device.
    pub(super) async fn put_neighbour(
        &self,
        index: u32,
        address: Ipv4Addr,
        hardware: [u8; 6],
    ) -> Result<(), NetworkError> {
        let request = self
            .handle
            .neighbours()
            .add(index, address.into())
            .link_layer_address(&hardware)
            .replace();
        request
            .execute()
            .await
            .map_err(NetworkError::netlink(format!("add the neighbour {address}")))
    }

    async fn routes(&self) -> Result<Vec<RouteMessage>, NetworkError> {
        let all_of_ipv4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
        collect(self.handle.route().get(all_of_ipv4).execute(), "list routes").await
    }
}

/// The route to one address that is on the other end of a device.
pub(super) fn route_to_device(address: Ipv4Addr, index: u32) -> RouteMessageBuilder<Ipv4Addr> {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(address, 32)
        .output_interface(index)
        .scope(RouteScope::Link)
}

/// The route that refuses what no better route takes: addresses of ours that nobody has must not leave by the default route.
pub(super) fn route_to_nowhere(net: Ipv4Net) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(net.network(), net.prefix_len())
        .kind(RouteType::Unreachable)
        .build()
}

/// The route for everything else.
pub(super) fn route_by_gateway(gateway: Ipv4Addr, index: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(gateway)
        .output_interface(index)
        .build()
}

async fn collect<T>(
    messages: impl Stream<Item = Result<T, rtnetlink::Error>>,
    operation: &str,
) -> Result<Vec<T>, NetworkError> {
    messages
        .try_collect()
        .await
        .map_err(NetworkError::netlink(operation))
}

fn gone_is_fine(outcome: Result<(), NetworkError>) -> Result<(), NetworkError> {
    match outcome {
        Err(error) if matches!(error.netlink_errno(), Some(ENODEV | ESRCH | EADDRNOTAVAIL)) => Ok(()),
        other => other,
    }
}

fn device_name(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

fn device_alias(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfAlias(alias) => Some(alias.clone()),
        _ => None,
    })
}

fn output_index(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

fn priority(route: &RouteMessage) -> u32 {
    let priority = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(priority) => Some(*priority),
        _ => None,
    });
    priority.unwrap_or(0)
}

fn destination(route: &RouteMessage) -> Option<Ipv4Net> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })?;
    Ipv4Net::new(address, route.header.destination_prefix_length).ok()
}

fn destination_text(route: &RouteMessage) -> String {
    destination(route).map_or_else(|| "everywhere".to_owned(), |net| net.to_string())
}
