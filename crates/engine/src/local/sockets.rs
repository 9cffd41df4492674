//! What an instance listens on, from the kernel's socket tables of its network namespace.

use std::{collections::HashMap, fs};

use mainstay_diagnosis::facts::ListeningSocket;
use mainstay_shim::{
    cgroup::Cgroup,
    socket_table::{LISTEN, Row, rows},
};

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
