//! Memory that a proxy needs before the first visitor, and for each visitor that keeps its connection and asks for nothing.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use mainstay_testkit::Place;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    proxy::{Behind, Proxy},
    results::{Measured, Target},
};

/// Below the ports that there are, and the descriptors that a program can have nearly everywhere.
const CONNECTIONS: u16 = 4000;
const REQUEST: &[u8] = b"GET /1k HTTP/1.1\r\nHost: app-500.localhost\r\n\r\n";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Fresh processes: one that was busy already has memory to reuse.
pub(crate) fn measure(directory: &Path, place: &Place, behind: &Behind) -> io::Result<[Measured; 2]> {
    allow_connections()?;
    let nginx = Proxy::nginx(&directory.join("idle"), place.address(2), behind)?;
    let router = Proxy::router(&directory.join("idle"), place.address(3), behind)?;
    let alone = Measured {
        name: "memory before the first request".into(),
        unit: "MB",
        router: router.memory_kb() / 1024.0,
        nginx: nginx.memory_kb() / 1024.0,
        target: Target::Most(20.0),
    };
    let per_connection = Measured {
        name: "memory per idle connection".into(),
        unit: "kB",
        router: per_connection(&router)?,
        nginx: per_connection(&nginx)?,
        target: Target::Most(24.0),
    };
    Ok([alone, per_connection])
}

/// This program and those that it starts may have as many descriptors as the machine lets them.
fn allow_connections() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )
    .map_err(Into::into)
}

/// What the proxy grew by, through connections that each had one answer.
fn per_connection(proxy: &Proxy) -> io::Result<f64> {
    let mut connections = Vec::new();
    let mut before = 0.0;
    for number in 0..=CONNECTIONS {
        let mut connection = TcpStream::connect(proxy.address)?;
        connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        ask(&mut connection)?;
        connections.push(connection);
        // What a first request sets up is not the connection's.
        if number == 0 {
            before = proxy.memory_kb();
        }
    }
    let growth = proxy.memory_kb() - before;
    // One that was closed meanwhile would count as one that needs nothing.
    connections.iter_mut().try_for_each(ask)?;
    Ok(growth / f64::from(CONNECTIONS))
}

fn ask(connection: &mut TcpStream) -> io::Result<()> {
    connection.write_all(REQUEST)?;
    let mut answer = Vec::with_capacity(4096);
    let head = loop {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        match end {
            Some(end) => break end + 4,
            None => read_more(connection, &mut answer)?,
        }
    };
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        let answer = String::from_utf8_lossy(&answer).into_owned();
        return Err(io::Error::other(format!("an idle visitor got: {answer}")));
    }
    while answer.len() < head + (1 << 10) {
        read_more(connection, &mut answer)?;
    }
    Ok(())
}

fn read_more(connection: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4096];
    match connection.read(&mut piece)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => {
            answer.extend_from_slice(&piece[..length]);
            Ok(())
        }
    }
}
