//! Connections to instances: one pool per thread, one stack per endpoint, the last used on top.

use std::{rc::Rc, sync::Arc};

use hyper::client::conn::{http1, http2};

use super::body::RequestBody;
use crate::{
    serve::core::Core,
    table::endpoint::{Endpoint, InFlight},
};

/// Idle connections kept per thread and endpoint.
const IDLE_MAX: usize = 256;

#[derive(Debug, Default)]
pub struct Pool {
    /// By the endpoint's slot.
    stacks: Vec<Option<Stack>>,
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
    since_ms: u64,
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
        let stack = self.known(endpoint)?;
        while let Some(idle) = stack.idle.pop() {
            if idle.sender.is_ready() {
                return Some(Sender::Http1(idle.sender));
            }
            if !idle.sender.is_closed() {
                // Its connection has not been told of the end of the last answer yet.
                stack.idle.push(idle);
                return stack.take_ready();
            }
        }
        None
    }

    pub fn take_http2(&mut self, endpoint: &Arc<Endpoint>) -> Option<Sender> {
        let stack = self.known(endpoint)?;
        stack.shared.take_if(|shared| shared.is_closed());
        stack.shared.clone().map(Sender::Http2)
    }

    pub fn put_http1(
        &mut self,
        endpoint: &Arc<Endpoint>,
        sender: http1::SendRequest<RequestBody>,
        now_ms: u64,
    ) {
        if sender.is_closed() || !endpoint.is_routed() {
            return;
        }
        let stack = self.stack(endpoint);
        if stack.idle.len() >= IDLE_MAX {
            stack.idle.remove(0);
        }
        stack.idle.push(Idle {
            sender,
            since_ms: now_ms,
        });
    }

    pub fn share_http2(&mut self, endpoint: &Arc<Endpoint>, sender: http2::SendRequest<RequestBody>) {
        self.stack(endpoint).shared = Some(sender);
    }

    fn known(&mut self, endpoint: &Arc<Endpoint>) -> Option<&mut Stack> {
        self.stacks.get_mut(endpoint.slot)?.as_mut()
    }

    /// A slot has one owner at a time: it is free only once nobody holds its endpoint, and a stack holds it.
    fn stack(&mut self, endpoint: &Arc<Endpoint>) -> &mut Stack {
        if self.stacks.len() <= endpoint.slot {
            self.stacks.resize_with(endpoint.slot + 1, || None);
        }
        self.stacks[endpoint.slot].get_or_insert_with(|| Stack {
            endpoint: Arc::clone(endpoint),
            idle: Vec::new(),
            shared: None,
        })
    }

    /// Closes what has been idle for longer than `idle_max_ms`.
    pub fn drop_idle(&mut self, now_ms: u64, idle_max_ms: u64) {
        self.retain(|stack| {
            let is_fresh = |idle: &Idle| idle.since_ms + idle_max_ms > now_ms;
            stack
                .idle
                .retain(|idle| !idle.sender.is_closed() && is_fresh(idle));
            stack.shared.take_if(|shared| shared.is_closed());
            !stack.idle.is_empty() || stack.shared.is_some()
        });
    }

    /// Closes connections to instances that are being stopped: some servers wait for their idle connections.
    pub fn drop_unrouted(&mut self) {
        self.retain(|stack| stack.endpoint.is_routed());
    }

    fn retain(&mut self, mut keep: impl FnMut(&mut Stack) -> bool) {
        for place in &mut self.stacks {
            place.take_if(|stack| !keep(stack));
        }
    }
}

impl Stack {
    fn take_ready(&mut self) -> Option<Sender> {
        let ready = self.idle.iter().rposition(|idle| idle.sender.is_ready())?;
        Some(Sender::Http1(self.idle.remove(ready).sender))
    }
}

impl Lease {
    /// The answer is complete: its connection can carry the next request.
    pub fn finish(mut self) {
        if let Some(sender) = self.sender.take() {
            let mut pool = self.core.pool.borrow_mut();
            pool.put_http1(self.in_flight.endpoint(), sender, self.core.late_ms());
        }
    }
}
