//! What an instance listens on and what it waits for, from the kernel's socket tables of its network namespace (proc(5),
//! `/proc/<pid>/net/tcp`). No process inside is needed.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use jiff::Timestamp;
use mainstay_diagnosis::facts::{ListeningSocket, OutboundFailure, OutboundResult};
use mainstay_shim::cgroup::Cgroup;

/// Socket states of the kernel (`include/net/tcp_states.h`).
const SYN_SENT: u8 = 0x02;
const LISTEN: u8 = 0x0A;

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
    state: u8,
    /// Unanswered repetitions of what was sent last.
    retransmits: u32,
    inode: u64,
}

/// A process that holds a socket.
#[derive(Debug, Clone)]
struct Holder {
    pid: i32,
    program: Option<String>,
}

/// `pid` is any process of the instance. Sorted; a process is named where one of the instance's holds the socket.
pub(super) fn listening(pid: i32, cgroup: &Cgroup) -> Vec<ListeningSocket> {
    let rows: Vec<Row> = rows(pid).into_iter().filter(|row| row.state == LISTEN).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let holders = holders(&cgroup.pids());
    let mut sockets: Vec<ListeningSocket> = rows
        .into_iter()
        .map(|row| {
            let holder = holders.get(&row.inode);
            ListeningSocket {
                address: row.local.0,
                port: row.local.1,
                pid: holder.map(|holder| holder.pid),
                program: holder.and_then(|holder| holder.program.clone()),
            }
        })
        .collect();
    sockets.sort();
    sockets
}

/// Connects whose first packet had to be repeated: nobody has answered for a second or more.
pub(super) fn unanswered(pid: i32) -> Vec<OutboundFailure> {
    let at = Timestamp::now();
    rows(pid)
        .into_iter()
        .filter(|row| row.state == SYN_SENT && row.retransmits > 0)
        .map(|row| OutboundFailure {
            address: row.remote.0,
            port: row.remote.1,
            result: OutboundResult::TimedOut,
            at,
        })
        .collect()
}

fn rows(pid: i32) -> Vec<Row> {
    ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok())
        .flat_map(|table| table.lines().filter_map(parse).collect::<Vec<Row>>())
        .collect()
}

fn parse(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    Some(Row {
        local: parse_address(fields.get(1)?)?,
        remote: parse_address(fields.get(2)?)?,
        state: u8::from_str_radix(fields.get(3)?, 16).ok()?,
        retransmits: u32::from_str_radix(fields.get(6)?, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// `0100007F:2328`: the address as 32-bit words in the machine's own byte order, the port as a number.
fn parse_address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for start in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(start..start + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some((address, port))
}

/// Which process holds which socket, by the socket's inode. Of several the first.
fn holders(pids: &[i32]) -> HashMap<u64, Holder> {
    let mut holders = HashMap::new();
    for pid in pids {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        for descriptor in descriptors.filter_map(Result::ok) {
            let Some(inode) = fs::read_link(descriptor.path())
                .ok()
                .and_then(|link| socket_inode(&link.to_string_lossy()))
            else {
                continue;
            };
            holders.entry(inode).or_insert_with(|| Holder {
                pid: *pid,
                program: fs::read_to_string(format!("/proc/{pid}/comm"))
                    .ok()
                    .map(|name| name.trim().to_owned()),
            });
        }
    }
    holders
}

fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_listener_is_read_from_its_row() {
        let line = "   0: 0100007F:2328 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 41234 1 0 100 0 0 10 0";
        let row = parse(line).unwrap();
        assert_eq!(row.local, ("127.0.0.1".parse().unwrap(), 9000));
        assert_eq!((row.state, row.inode), (LISTEN, 41234));
    }

    #[test]
    fn a_connect_without_an_answer_has_retransmits() {
        let line = "   1: 0200A8C0:D431 01010101:1538 02 00000001:00000000 01:00000064 00000003  0 0 41235 2 0 100 0 0 10 -1";
        let row = parse(line).unwrap();
        assert_eq!((row.state, row.retransmits, row.remote.1), (SYN_SENT, 3, 5432));
    }

    #[test]
    fn v6_addresses_are_four_words() {
        let any = parse_address("00000000000000000000000000000000:1F90").unwrap();
        assert_eq!(any, ("::".parse().unwrap(), 8080));
        let loopback = parse_address("00000000000000000000000001000000:0050").unwrap();
        assert_eq!(loopback, ("::1".parse().unwrap(), 80));
    }

    #[test]
    fn the_heading_and_broken_rows_are_no_sockets() {
        assert_eq!(
            parse("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid"),
            None
        );
        assert_eq!(parse(""), None);
    }
}
