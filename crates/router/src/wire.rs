//! What goes over unix sockets here: lines of JSON, and listening sockets.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::TcpListener,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
};
use serde::{Deserialize, Serialize};

use crate::control::{Answer, Request};

/// Sockets that one router may listen on.
pub const LISTENERS_MAX: usize = 16;
/// A line of either side.
pub const LINE_BYTES_MAX: u64 = 64 << 20;

/// The supervisor asks a serving process; many questions may be open at once.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ask {
    pub id: u64,
    pub question: Question,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Question {
    Control(Request),
    /// Take no more connections, finish, end. Answered as soon as no connection is taken any more.
    Retire {
        linger_ms: u64,
        deadline_ms: u64,
    },
}

/// The id of what a serving process says unasked: at its end, the traffic that nobody took.
pub const FAREWELL: u64 = u64::MAX;

#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    pub id: u64,
    pub answer: Answer,
}

pub fn line(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("our own messages have only text keys");
    line.push(b'\n');
    line
}

/// Sends one byte that carries the sockets.
pub fn send_listeners(socket: impl AsFd, listeners: &[TcpListener]) -> io::Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(LISTENERS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other(format!(
            "more than {LISTENERS_MAX} listening sockets"
        )));
    }
    sendmsg(socket, &[IoSlice::new(b"L")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives what [`send_listeners`] sent. `socket` must be readable already, or blocking.
pub fn receive_listeners(socket: impl AsFd) -> io::Result<Vec<TcpListener>> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(LISTENERS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0_u8; 1];
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    match byte {
        _ if received.bytes == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        [b'L'] => {}
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "something else than listening sockets came",
            ));
        }
    }
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let listeners: Vec<TcpListener> = descriptors
        .flatten()
        .map(|descriptor: OwnedFd| descriptor.into())
        .collect();
    if listeners.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no listening socket came",
        ));
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn listening_sockets_pass_through_a_unix_socket() {
        let (sender, receiver) = UnixStream::pair().unwrap();
        let listeners = [
            TcpListener::bind("127.0.0.1:0").unwrap(),
            TcpListener::bind("127.0.0.1:0").unwrap(),
        ];
        send_listeners(&sender, &listeners).unwrap();
        let there = receive_listeners(&receiver).unwrap();
        let addresses = |listeners: &[TcpListener]| -> Vec<_> {
            listeners
                .iter()
                .map(|listener| listener.local_addr().unwrap())
                .collect()
        };
        assert_eq!(addresses(&there), addresses(&listeners));
        drop(sender);
        assert_eq!(
            receive_listeners(&receiver).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
