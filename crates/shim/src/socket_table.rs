//! The kernel's table of TCP sockets in a process's network namespace (proc(5), `/proc/<pid>/net/tcp`). No process inside is needed.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Socket states of the kernel (`include/net/tcp_states.h`).
pub const SYN_SENT: u8 = 0x02;
pub const LISTEN: u8 = 0x0A;

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub local: (IpAddr, u16),
    pub remote: (IpAddr, u16),
    pub state: u8,
    /// Unanswered repetitions of what was sent last.
    pub retransmits: u32,
    pub inode: u64,
}

/// Every TCP socket, of both families. None when the process is gone.
pub fn rows(pid: i32) -> Vec<Row> {
    ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok())
        .flat_map(|table| table.lines().filter_map(parse).collect::<Vec<Row>>())
        .collect()
}

/// Where connects go whose first packet had to be repeated: nobody has answered for a second or more.
pub fn unanswered(pid: i32) -> Vec<(IpAddr, u16)> {
    let waits = |row: &Row| row.state == SYN_SENT && row.retransmits > 0;
    rows(pid)
        .into_iter()
        .filter(waits)
        .map(|row| row.remote)
        .collect()
}

/// How often the first packet of a connect was repeated, ever, in the process's network namespace (`TCPSynRetrans` of
/// `/proc/<pid>/net/netstat`). Cheap, unlike the table of sockets.
pub fn repeated_connects(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/netstat")).ok()?;
    counter(&text, "TcpExt:", "TCPSynRetrans")
}

/// Names and numbers stand in two lines that begin alike.
fn counter(text: &str, prefix: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
    let place = lines.next()?.split_whitespace().position(|word| word == name)?;
    lines.next()?.split_whitespace().nth(place)?.parse().ok()
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

    #[test]
    fn counters_are_found_by_their_names() {
        let text = "TcpExt: SyncookiesSent TCPSynRetrans TCPOrigDataSent\nTcpExt: 1 23 456\nIpExt: InNoRoutes\nIpExt: 9\n";
        assert_eq!(counter(text, "TcpExt:", "TCPSynRetrans"), Some(23));
        assert_eq!(counter(text, "TcpExt:", "Missing"), None);
        assert!(repeated_connects(i32::try_from(std::process::id()).unwrap()).is_some());
    }
}
