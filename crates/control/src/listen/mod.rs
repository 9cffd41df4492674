//! The API's encrypted end: connections are accepted and shaken hands with here, and given to the HTTP server when they can be used.

mod certificates;

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

pub(crate) use certificates::{CertificateError, Certificates};

/// A client that says nothing keeps a place for so long.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const HANDSHAKES_MAX: usize = 256;
/// Shaken hands with, not yet served.
const READY_MAX: usize = 64;
/// When the machine has no descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Certificates are renewed every few weeks.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub address: SocketAddr,
}

impl Connected<IncomingStream<'_, TcpListener>> for Origin {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self {
            address: *stream.remote_addr(),
        }
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Origin {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self {
            address: *stream.remote_addr(),
        }
    }
}

type Ready = (TlsStream<TcpStream>, SocketAddr);

/// Gives connections that can be used. Slow handshakes hold nobody up.
#[derive(Debug)]
pub(crate) struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<Ready>,
    accepting: AbortHandle,
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl TlsListener {
    pub(crate) fn new(listener: TcpListener, certificates: Certificates) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(READY_MAX);
        let accepting = tokio::spawn(accept(listener, certificates, sender)).abort_handle();
        Ok(Self {
            address,
            ready,
            accepting,
        })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Ready {
        match self.ready.recv().await {
            Some(ready) => ready,
            // The runtime ends: nobody accepts any more.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn accept(listener: TcpListener, mut certificates: Certificates, ready: mpsc::Sender<Ready>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let mut looked = Instant::now();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection to the API");
                sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            certificates.look_again();
        }
        let acceptor = TlsAcceptor::from(certificates.current());
        let ready = ready.clone();
        tokio::spawn(async move {
            let _place = place;
            // Whoever does not speak TLS is told so by rustls, and nobody else cares.
            if let Ok(Ok(stream)) = timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
                drop(ready.send((stream, address)).await);
            }
        });
    }
}
