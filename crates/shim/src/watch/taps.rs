//! Connects of the app that are refused, and names that do not exist, told by the packets that say so in that moment.
//!
//! A connect to a port where nobody listens is answered by a packet that nothing else looks like: RST and ACK, sequence number 0
//! (RFC 9293, section 3.10.7.1). A router on the way that gives up answers by ICMP, type 3. A packet socket in the instance's network
//! namespace with a filter in the kernel hears exactly those, on the loopback device and on the app's network, and costs nothing else
//! more than the filter. Only the destination is kept. Another one hears the answers of name servers that know no such name ([`names`]).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use mainstay_diagnosis::facts::OutboundResult;
use rustix::{
    net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::names;
use crate::system::{self, FilterStep};

/// Ethernet's numbers of the two families (`linux/if_ether.h`).
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMP_UNREACHABLE: u8 = 3;
/// FIN, SYN, RST, ACK of the TCP flags, and the two that a refusal has.
const FLAGS: u8 = 0x17;
const REFUSAL: u8 = 0x14;
/// Longer than any headers that are looked at, and than a name.
pub(super) const PACKET_BYTES: u16 = 512;

/// One for each family and one for names; none where the kernel has no packet sockets.
#[derive(Debug)]
pub(crate) struct Taps {
    sockets: Vec<OwnedFd>,
}

/// Where a connect went, and what came of it.
pub(super) type Refusal = (IpAddr, u16, OutboundResult);

/// What a packet told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Refusal(Refusal),
    /// A name that was looked up and does not exist.
    UnknownName(String),
}

impl Taps {
    /// In the network namespace of this process. Without them refusals are not seen, and all else goes on.
    pub(crate) fn open(pid: i32) -> Self {
        let sockets = open_inside(pid).unwrap_or_else(|error| {
            crate::complain(&format!("refused connects will not be seen: {error}"));
            Vec::new()
        });
        Self { sockets }
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    /// Everything that waits.
    pub(super) fn read(&self) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut packet = [0; PACKET_BYTES as usize];
        for socket in &self.sockets {
            while let Ok(length) = rustix::io::read(socket, &mut packet) {
                let packet = &packet[..length.min(packet.len())];
                heard.extend(refusal(packet).map(Heard::Refusal));
                heard.extend(names::unknown(packet).map(Heard::UnknownName));
            }
        }
        heard
    }
}

/// The shim has one thread, so going there and coming back is nobody else's concern.
fn open_inside(pid: i32) -> io::Result<Vec<OwnedFd>> {
    let own = std::fs::File::open("/proc/self/ns/net")?;
    let inside = std::fs::File::open(format!("/proc/{pid}/ns/net"))?;
    let network = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(inside.as_fd(), network)?;
    let opened = [
        (ETH_P_IP, V4_FILTER),
        (ETH_P_IPV6, V6_FILTER),
        (ETH_P_IP, names::FILTER),
    ]
    .into_iter()
    .map(|(family, filter)| tap(family, filter))
    .collect();
    move_into_link_name_space(own.as_fd(), network)?;
    opened
}

fn tap(family: u16, filter: &[FilterStep]) -> io::Result<OwnedFd> {
    // The kernel wants it in the network's byte order.
    let protocol = NonZeroU32::new(u32::from(family.to_be())).map(Protocol::from_raw);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, protocol)?;
    system::attach_filter(socket.as_fd(), filter)?;
    Ok(socket)
}

/// `ldb [9]`: the protocol. TCP: no later fragment, flags and sequence number of a refusal. ICMP: unreachable.
const V4_FILTER: &[FilterStep] = &[
    FilterStep::new(0x30, 0, 0, 9),
    FilterStep::new(0x15, 8, 0, TCP as u32),
    FilterStep::new(0x15, 0, 6, ICMP as u32),
    FilterStep::new(0x28, 0, 0, 6),
    FilterStep::new(0x45, 4, 0, 0x1fff),
    FilterStep::new(0xb1, 0, 0, 0),
    FilterStep::new(0x50, 0, 0, 0),
    FilterStep::new(0x15, 0, 1, ICMP_UNREACHABLE as u32),
    FilterStep::new(0x06, 0, 0, PACKET_BYTES as u32),
    FilterStep::new(0x06, 0, 0, 0),
    FilterStep::new(0x28, 0, 0, 6),
    FilterStep::new(0x45, 7, 0, 0x1fff),
    FilterStep::new(0xb1, 0, 0, 0),
    FilterStep::new(0x50, 0, 0, 13),
    FilterStep::new(0x54, 0, 0, FLAGS as u32),
    FilterStep::new(0x15, 0, 3, REFUSAL as u32),
    FilterStep::new(0x40, 0, 0, 4),
    FilterStep::new(0x15, 0, 1, 0),
    FilterStep::new(0x06, 0, 0, PACKET_BYTES as u32),
    FilterStep::new(0x06, 0, 0, 0),
];

/// TCP right behind the fixed header, which it is where a connect is refused.
const V6_FILTER: &[FilterStep] = &[
    FilterStep::new(0x30, 0, 0, 6),
    FilterStep::new(0x15, 0, 6, TCP as u32),
    FilterStep::new(0x30, 0, 0, 53),
    FilterStep::new(0x54, 0, 0, FLAGS as u32),
    FilterStep::new(0x15, 0, 3, REFUSAL as u32),
    FilterStep::new(0x20, 0, 0, 44),
    FilterStep::new(0x15, 0, 1, 0),
    FilterStep::new(0x06, 0, 0, PACKET_BYTES as u32),
    FilterStep::new(0x06, 0, 0, 0),
];

/// What a packet says; checked anew, for packets may have come before the filter was there.
fn refusal(packet: &[u8]) -> Option<Refusal> {
    match packet.first()? >> 4 {
        4 => refusal_v4(packet),
        6 => refusal_v6(packet),
        _ => None,
    }
}

fn refusal_v4(packet: &[u8]) -> Option<Refusal> {
    let inner = packet.get(header_bytes(packet)?..)?;
    match *packet.get(9)? {
        TCP => {
            let from = v4_address(packet, 12)?;
            is_refusal(inner)?;
            Some((from.into(), port(inner, 0)?, OutboundResult::Refused))
        }
        // Behind eight bytes of its own, ICMP repeats the beginning of what could not be delivered.
        ICMP if *inner.first()? == ICMP_UNREACHABLE => {
            let sent = inner.get(8..)?;
            let segment = sent.get(header_bytes(sent)?..)?;
            let to = v4_address(sent, 16)?;
            (*sent.get(9)? == TCP).then_some((to.into(), port(segment, 2)?, OutboundResult::Unreachable))
        }
        _ => None,
    }
}

fn refusal_v6(packet: &[u8]) -> Option<Refusal> {
    if *packet.get(6)? != TCP {
        return None;
    }
    let from: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
    let segment = packet.get(40..)?;
    is_refusal(segment)?;
    let from = Ipv6Addr::from(from);
    Some((from.into(), port(segment, 0)?, OutboundResult::Refused))
}

pub(super) fn header_bytes(packet: &[u8]) -> Option<usize> {
    Some(usize::from(packet.first()? & 0xf) * 4)
}

fn v4_address(packet: &[u8], at: usize) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
    Some(Ipv4Addr::from(bytes))
}

fn port(segment: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(segment.get(at..at + 2)?.try_into().ok()?))
}

fn is_refusal(segment: &[u8]) -> Option<()> {
    let sequence = segment.get(4..8)?;
    let flags = segment.get(13)? & FLAGS;
    (flags == REFUSAL && sequence == [0; 4]).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    /// As the kernel gave them for connects to 127.0.0.1:5432 and [::1]:5432.
    const REFUSED_V4: &str =
        "450000280000400040063cce7f0000017f000001153887cc00000000f6bbbdf250140000601b0000";
    const REFUSED_V6: &str = "600a917d0014064000000000000000000000000000000001000000000000000000000000000000011538de1400000000\
        c3a0d63650140000001c0000";
    const CONNECT_V4: &str = "4500003c24c24000400617f87f0000017f00000187cc1538f6bbbdf100000000a002ffd7fe3000000204ffd704020\
        80a39495dfe000000000103030a";

    #[test]
    fn a_refusal_names_the_destination() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(
            refusal(&bytes(REFUSED_V4)),
            Some((loopback, 5432, OutboundResult::Refused))
        );
        let loopback: IpAddr = "::1".parse().unwrap();
        assert_eq!(
            refusal(&bytes(REFUSED_V6)),
            Some((loopback, 5432, OutboundResult::Refused))
        );
    }

    #[test]
    fn a_connect_and_a_reset_in_its_midst_are_no_refusals() {
        assert_eq!(refusal(&bytes(CONNECT_V4)), None);
        let mut reset = bytes(REFUSED_V4);
        reset[27] = 1;
        assert_eq!(refusal(&reset), None);
    }

    #[test]
    fn a_router_that_gives_up_names_what_was_not_delivered() {
        let mut packet = bytes("4500003800000000400100000a0000010a000002");
        packet.extend(bytes("0301000000000000"));
        packet.extend(bytes(CONNECT_V4));
        let to: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(refusal(&packet), Some((to, 5432, OutboundResult::Unreachable)));
    }

    #[test]
    fn broken_packets_say_nothing() {
        for length in 0..bytes(REFUSED_V4).len() - 8 {
            assert_eq!(refusal(&bytes(REFUSED_V4)[..length]), None, "{length}");
        }
    }
}
