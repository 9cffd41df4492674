//! New connections to instances.

use std::{io, sync::Arc};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;

use super::{body::RequestBody, pool::Sender, refusal::Refusal};
use crate::{serve::core::Core, snapshot::Protocol, socket::Socket, table::endpoint::Endpoint};

/// Windows that do not throttle large bodies (HTTP/2's own default is 64 kB).
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Spawns HTTP/2's stream tasks on this thread.
#[derive(Debug, Clone, Copy)]
struct ThisThread;

impl<F> hyper::rt::Executor<F> for ThisThread
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

pub async fn connect(core: &Core, endpoint: &Arc<Endpoint>, protocol: Protocol) -> Result<Sender, Refusal> {
    let limit = core.shared.settings.connect_timeout();
    let stream = match tokio::time::timeout(limit, TcpStream::connect(endpoint.address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(classify(&error)),
        Err(_) => return Err(Refusal::UpstreamConnectTimeout),
    };
    // Costs latency at worst.
    let _ = stream.set_nodelay(true);
    match protocol {
        Protocol::Http1 => http1(stream).await,
        Protocol::Http2 => http2(core, endpoint, stream).await,
    }
}

fn classify(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Refusal::UpstreamRefused,
        io::ErrorKind::TimedOut => Refusal::UpstreamConnectTimeout,
        _ => Refusal::UpstreamUnreachable,
    }
}

async fn http1(stream: TcpStream) -> Result<Sender, Refusal> {
    let handshake = http1::Builder::new()
        .handshake::<_, RequestBody>(Socket::new(stream))
        .await;
    let (sender, connection) = handshake.map_err(|_| Refusal::UpstreamClosed)?;
    // Its errors reach the request that they hit.
    tokio::task::spawn_local(async move { drop(connection.with_upgrades().await) });
    Ok(Sender::Http1(sender))
}

async fn http2(core: &Core, endpoint: &Arc<Endpoint>, stream: TcpStream) -> Result<Sender, Refusal> {
    let handshake = http2::Builder::new(ThisThread)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake::<_, RequestBody>(Socket::new(stream))
        .await;
    let (sender, connection) = handshake.map_err(|_| Refusal::UpstreamInvalid)?;
    tokio::task::spawn_local(async move { drop(connection.await) });
    core.pool.borrow_mut().share_http2(endpoint, sender.clone());
    Ok(Sender::Http2(sender))
}
