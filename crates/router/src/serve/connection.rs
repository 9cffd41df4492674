//! Visitors' connections: accepting them, and serving requests on each until it ends.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};

use super::core::Core;
use crate::{
    proxy::{self, headers::Visitor},
    report,
    socket::Socket,
};

/// Pause after the kernel could not give a connection (no descriptors, no memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until it is dropped. What was not taken by then stays in the kernel's queue for whoever shares the socket.
pub async fn accept(core: Rc<Core>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                tokio::task::spawn_local(serve(Rc::clone(&core), stream, address));
            }
            Err(error) if is_of_the_visitor(&error) => {}
            Err(error) => {
                report::line(format_args!("cannot accept a connection: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_visitor(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// A panic in here ends this connection only: the runtime catches it, and dropping `open` counts it.
async fn serve(core: Rc<Core>, stream: TcpStream, address: SocketAddr) {
    let open = core.open_connection();
    let visitor = Rc::new(Visitor::new(address.ip()));
    let service = service_fn({
        let core = Rc::clone(&core);
        move |request| proxy::handle(Rc::clone(&core), Rc::clone(&visitor), request)
    });
    // `pipeline_flush` stays off: with it, hyper loses the answer to a bad request.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(core.shared.settings.header_timeout())
        .serve_connection(Socket::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    if until_end_or_closing(&core, connection.as_mut()).await == Next::Close {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
    drop(open);
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Ended,
    Close,
}

/// Serves until the connection ends or idle connections are to be closed. A connection's errors are the visitor's.
async fn until_end_or_closing<T>(core: &Core, mut connection: Pin<&mut impl Future<Output = T>>) -> Next {
    let mut closing = pin!(core.closing.notified());
    let mut is_registered = false;
    poll_fn(|context| {
        if connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(Next::Ended);
        }
        // A task's waker stays the same, so that registering it once is enough; doing it each time is dear.
        if is_registered && !core.is_closing() {
            return Poll::Pending;
        }
        is_registered = true;
        closing.as_mut().poll(context).map(|()| Next::Close)
    })
    .await
}
