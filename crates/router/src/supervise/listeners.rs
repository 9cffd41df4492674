//! The listening sockets: bound once, inherited by every serving process.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that wait to be taken, for example while a serving process is replaced after a crash.
const BACKLOG: i32 = 4096;
/// A visitor who neither reads nor acknowledges for this time is gone. Accepted connections inherit it.
const UNANSWERED_MAX: Duration = Duration::from_mins(2);
const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);

pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let attempt = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        prepare(&listener)?;
        Ok(listener)
    };
    attempt().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// Options that accepted connections inherit.
fn prepare(listener: &TcpListener) -> io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_IDLE))?;
    socket.set_tcp_user_timeout(Some(UNANSWERED_MAX))?;
    listener.set_nonblocking(true)
}

/// The sockets for `addresses`: those of `inherited` that fit, new ones for the rest.
pub fn complete(addresses: &[SocketAddr], mut inherited: Vec<TcpListener>) -> io::Result<Vec<TcpListener>> {
    let listeners = addresses.iter().map(|address| {
        let fitting = inherited
            .iter()
            .position(|listener| listener.local_addr().is_ok_and(|bound| bound == *address));
        match fitting {
            Some(fitting) => Ok(inherited.swap_remove(fitting)),
            None => bind(*address),
        }
    });
    listeners.collect()
}

pub fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners
        .iter()
        .filter_map(|listener| listener.local_addr().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inherited_sockets_are_kept_and_the_rest_is_bound() {
        let inherited = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = inherited.local_addr().unwrap();
        assert!(bind(address).is_err(), "one socket per address");
        let listeners = complete(&["127.0.0.1:0".parse().unwrap(), address], vec![inherited]).unwrap();
        assert_eq!(addresses(&listeners)[1], address);
        assert_ne!(addresses(&listeners)[0].port(), 0);
    }
}
