//! TCP streams for hyper, with the cheaper system call where there is a choice.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Copying this much costs less than handing the kernel a list of pieces.
const COPIED_BYTES_MAX: usize = 4096;

thread_local! {
    /// Where the pieces of one write are joined: one per thread, because a fresh one would have to be cleared for every write.
    static JOINED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(COPIED_BYTES_MAX));
}

#[derive(Debug)]
pub struct Socket(TokioIo<TcpStream>);

impl Socket {
    pub fn new(stream: TcpStream) -> Self {
        Self(TokioIo::new(stream))
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TokioIo<TcpStream>> {
        Pin::new(&mut self.get_mut().0)
    }
}

impl Read for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl Write for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [piece] = pieces {
            return self.stream().poll_write(context, piece);
        }
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length > COPIED_BYTES_MAX {
            return self.stream().poll_write_vectored(context, pieces);
        }
        JOINED.with_borrow_mut(|joined| {
            joined.clear();
            for piece in pieces {
                joined.extend_from_slice(piece);
            }
            self.stream().poll_write(context, joined)
        })
    }
}
