//! Visitors' connections: accepting them, and serving requests on each until it ends.

use std::{io, net::SocketAddr, pin::pin, rc::Rc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::core::Core;
use crate::{
    proxy::{self, headers::Visitor},
    report,
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
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut closing = pin!(core.closing.notified());
    tokio::select! {
        biased;
        // Its errors are the visitor's: a broken connection or request.
        _ = &mut connection => {}
        () = &mut closing => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
    drop(open);
}
