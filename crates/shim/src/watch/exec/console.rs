//! A terminal: the OCI runtime makes it inside the instance and hands its master end over on a socket.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    termios::{Winsize, tcsetwinsize},
};

use super::super::set_nonblocking;

/// The runtime has sent it before it ended, so it is there.
const RECEIVE_DEADLINE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Console {
    listener: UnixListener,
    path: PathBuf,
    /// Columns and rows: as first asked, or as changed since.
    size: (u16, u16),
}

impl Console {
    pub(super) fn listen(directory: &Path, size: (u16, u16)) -> io::Result<Self> {
        let path = directory.join("console");
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path, size })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The master end, with the size that was asked for.
    pub(super) fn receive(&mut self) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(RECEIVE_DEADLINE))?;
        let terminal = receive_descriptor(&stream)?;
        set_nonblocking(&terminal)?;
        set_size(&terminal, self.size);
        Ok(terminal)
    }

    pub(super) fn resize(&mut self, terminal: Option<&OwnedFd>, size: (u16, u16)) {
        self.size = size;
        if let Some(terminal) = terminal {
            set_size(terminal, size);
        }
    }
}

fn receive_descriptor(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut name = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut name)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    ancillary
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        })
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no descriptor in the message"))
}

/// A terminal that is gone has no size.
fn set_size(terminal: &OwnedFd, (columns, rows): (u16, u16)) {
    let size = Winsize {
        ws_col: columns,
        ws_row: rows,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let _ = tcsetwinsize(terminal, size);
}
