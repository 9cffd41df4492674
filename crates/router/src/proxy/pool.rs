//! Connections to instances: one pool per thread, one stack per endpoint, the last used on top.

use std::{collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use hyper::client::conn::{http1, http2};
use tokio::time::Instant;

use super::body::RequestBody;
use crate::{
    serve::core::Core,
    table::endpoint::{Endpoint, InFlight},
};

/// Idle connections kept per thread and endpoint.
const IDLE_MAX: usize = 256;

#[derive(Debug, Default)]
pub struct Pool {
    /// By the endpoint's address in memory, which is unique because the entry holds the endpoint.
    stacks: HashMap<usize, Stack>,
}

#[derive(Debug)]
struct Stack {
    endpoint: Arc<Endpoint>,
    idle: Vec<Idle>,
    /// HTTP/2 shares one connection.
    shared: Option<http2::SendRequest<RequestBody>>,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

/// A ready connection.
#[derive(Debug)]
pub enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

/// The use of a connection for one exchange; the endpoint counts it until it is dropped.
#[derive(Debug)]
pub struct Lease {
    pub core: Rc<Core>,
    pub in_flight: InFlight,
    pub sender: Option<http1::SendRequest<RequestBody>>,
}

impl Pool {
    pub fn take_http1(&mut self, endpoint: &Arc<Endpoint>) -> Option<Sender> {
        let stack = self.stacks.get_mut(&key(endpoint))?;
        stack.idle.retain(|idle| !idle.sender.is_closed());
        let ready = stack.idle.iter().rposition(|idle| idle.sender.is_ready())?;
        Some(Sender::Http1(stack.idle.remove(ready).sender))
    }

    pub fn take_http2(&mut self, endpoint: &Arc<Endpoint>) -> Option<Sender> {
        let stack = self.stacks.get_mut(&key(endpoint))?;
        stack.shared.take_if(|shared| shared.is_closed());
        stack.shared.clone().map(Sender::Http2)
    }

    pub fn put_http1(&mut self, endpoint: &Arc<Endpoint>, sender: http1::SendRequest<RequestBody>) {
        if sender.is_closed() || !endpoint.is_routed() {
            return;
        }
        let stack = self.stack(endpoint);
        if stack.idle.len() >= IDLE_MAX {
            stack.idle.remove(0);
        }
        stack.idle.push(Idle {
            sender,
            since: Instant::now(),
        });
    }

    pub fn share_http2(&mut self, endpoint: &Arc<Endpoint>, sender: http2::SendRequest<RequestBody>) {
        self.stack(endpoint).shared = Some(sender);
    }

    fn stack(&mut self, endpoint: &Arc<Endpoint>) -> &mut Stack {
        self.stacks.entry(key(endpoint)).or_insert_with(|| Stack {
            endpoint: Arc::clone(endpoint),
            idle: Vec::new(),
            shared: None,
        })
    }

    /// Closes what has been idle for longer than `idle_max`.
    pub fn drop_idle(&mut self, idle_max: Duration) {
        self.stacks.retain(|_, stack| {
            stack
                .idle
                .retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < idle_max);
            stack.shared.take_if(|shared| shared.is_closed());
            !stack.idle.is_empty() || stack.shared.is_some()
        });
    }

    /// Closes connections to instances that are being stopped: some servers wait for their idle connections.
    pub fn drop_unrouted(&mut self) {
        self.stacks.retain(|_, stack| stack.endpoint.is_routed());
    }
}

fn key(endpoint: &Arc<Endpoint>) -> usize {
    Arc::as_ptr(endpoint).addr()
}

impl Lease {
    /// The answer is complete: its connection can carry the next request.
    pub fn finish(mut self) {
        if let Some(sender) = self.sender.take() {
            self.core
                .pool
                .borrow_mut()
                .put_http1(self.in_flight.endpoint(), sender);
        }
    }
}
