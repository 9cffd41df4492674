//! Upgraded connections (websockets): bytes in both directions until both sides ended.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{exchange::Exchange, pool::Lease};
use crate::serve::core::Core;

#[derive(Debug)]
pub struct Tunnel {
    pub visitor: OnUpgrade,
    pub app: OnUpgrade,
    pub lease: Lease,
}

impl Tunnel {
    /// Runs on this thread by itself; the endpoint and the process count it until its end.
    pub fn open(self, core: &Rc<Core>, exchange: Box<Exchange>) {
        let open = core.open_connection();
        tokio::task::spawn_local(async move {
            self.run(exchange).await;
            drop(open);
        });
    }

    async fn run(self, mut exchange: Box<Exchange>) {
        let Ok(visitor) = self.visitor.await else { return };
        let Ok(app) = self.app.await else { return };
        let sent = Cell::new(0);
        let mut visitor = Counted {
            stream: TokioIo::new(visitor),
            sent: &sent,
        };
        let mut app = TokioIo::new(app);
        // A side that breaks off ends the tunnel: there is nobody left to tell.
        let _ = tokio::io::copy_bidirectional(&mut visitor, &mut app).await;
        exchange.bytes = sent.get();
        drop(self.lease);
    }
}

/// The visitor's side. Counts what is sent there, also when the tunnel ends with an error.
#[derive(Debug)]
struct Counted<'c> {
    stream: TokioIo<Upgraded>,
    sent: &'c Cell<u64>,
}

impl AsyncRead for Counted<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.sent.set(self.sent.get() + written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
