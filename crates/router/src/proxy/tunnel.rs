//! Upgraded connections (websockets): bytes in both directions until both sides ended.

use std::rc::Rc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

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
        let (mut visitor, mut app) = (TokioIo::new(visitor), TokioIo::new(app));
        // A side that breaks off ends the tunnel: there is nobody left to tell.
        if let Ok((_, sent)) = tokio::io::copy_bidirectional(&mut visitor, &mut app).await {
            exchange.bytes = sent;
        }
        drop(self.lease);
    }
}
