//! The live state of the instances behind the routes: shared by all threads, carried over from snapshot to snapshot.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use super::{Table, traffic::Traffic};
use crate::{control::EndpointLoad, snapshot};

/// One address of one instance. An instance that comes back with another address is another endpoint of the same id.
///
/// Aligned so that two endpoints' counters never share a cache line.
#[derive(Debug)]
#[repr(align(128))]
pub struct Endpoint {
    pub id: String,
    pub address: SocketAddr,
    /// A small number that no other endpoint has at the same time, to find things by without a hash.
    pub slot: usize,
    in_flight: AtomicU64,
    requests_total: AtomicU64,
    failures_total: AtomicU64,
    /// Milliseconds of the process clock until which balancing prefers others.
    avoided_until_ms: AtomicU64,
    /// Part of the newest table. Connections to what is no longer routed are not kept.
    routed: AtomicBool,
    /// Somebody waits in [`Endpoints::drained`]; only then the last request has to tell.
    watched: AtomicBool,
    emptied: Notify,
}

/// One request or tunnel on an endpoint; counted until dropped.
#[derive(Debug)]
pub struct InFlight(Arc<Endpoint>);

/// All endpoints that are routed to or still in use.
#[derive(Debug, Default)]
pub struct Endpoints {
    known: Mutex<Known>,
    /// What visitors of the apps were sent, by the endpoints and by the router itself.
    pub traffic: Traffic,
}

#[derive(Debug, Default)]
struct Known {
    endpoints: HashMap<(String, SocketAddr), Arc<Endpoint>>,
    slots: usize,
    free_slots: Vec<usize>,
}

impl Endpoint {
    pub fn new(id: String, address: SocketAddr, slot: usize) -> Self {
        Self {
            id,
            address,
            slot,
            in_flight: AtomicU64::new(0),
            requests_total: AtomicU64::new(0),
            failures_total: AtomicU64::new(0),
            avoided_until_ms: AtomicU64::new(0),
            routed: AtomicBool::new(true),
            watched: AtomicBool::new(false),
            emptied: Notify::new(),
        }
    }

    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        self.requests_total.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// It did not answer: others are preferred until `until_ms`.
    pub fn failed(&self, until_ms: u64) {
        self.failures_total.fetch_add(1, Ordering::Relaxed);
        self.avoided_until_ms.store(until_ms, Ordering::Relaxed);
    }

    pub fn is_routed(&self) -> bool {
        self.routed.load(Ordering::Relaxed)
    }

    /// Reads the clock only for an endpoint that ever failed.
    pub fn is_avoided(&self, now_ms: impl Fn() -> u64) -> bool {
        let until = self.avoided_until_ms.load(Ordering::Relaxed);
        until > 0 && until > now_ms()
    }
}

impl InFlight {
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let was_last = self.0.in_flight.fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last && self.0.watched.load(Ordering::SeqCst) {
            self.0.emptied.notify_waiters();
        }
    }
}

impl Endpoints {
    /// The known endpoint, or a new one.
    pub fn get(&self, endpoint: &snapshot::Endpoint) -> Arc<Endpoint> {
        let mut known = self.lock();
        let key = (endpoint.id.clone(), endpoint.address);
        if let Some(endpoint) = known.endpoints.get(&key) {
            return Arc::clone(endpoint);
        }
        let slot = known.free_slot();
        let endpoint = Arc::new(Endpoint::new(endpoint.id.clone(), endpoint.address, slot));
        known.endpoints.insert(key, Arc::clone(&endpoint));
        endpoint
    }

    /// Marks what `table` routes to, and forgets what neither a table nor a request uses.
    pub fn settle(&self, table: &Table) {
        let routed: HashSet<*const Endpoint> = table.endpoints().map(Arc::as_ptr).collect();
        let mut known = self.lock();
        let Known {
            endpoints,
            free_slots,
            ..
        } = &mut *known;
        endpoints.retain(|_, endpoint| {
            endpoint
                .routed
                .store(routed.contains(&Arc::as_ptr(endpoint)), Ordering::Relaxed);
            let is_used = Arc::strong_count(endpoint) > 1;
            if !is_used {
                free_slots.push(endpoint.slot);
            }
            is_used
        });
    }

    pub fn is_routed(&self, id: &str) -> bool {
        self.lock()
            .endpoints
            .values()
            .any(|endpoint| endpoint.id == id && endpoint.is_routed())
    }

    pub fn in_flight(&self, id: &str) -> u64 {
        self.lock()
            .endpoints
            .values()
            .filter(|endpoint| endpoint.id == id)
            .map(|endpoint| endpoint.in_flight())
            .sum()
    }

    pub fn loads(&self) -> Vec<EndpointLoad> {
        let mut loads: Vec<EndpointLoad> = Vec::new();
        let known = self.lock();
        let mut endpoints: Vec<_> = known.endpoints.values().collect();
        endpoints.sort_by(|a, b| (&a.id, a.address).cmp(&(&b.id, b.address)));
        for endpoint in endpoints {
            let load = EndpointLoad {
                endpoint: endpoint.id.clone(),
                in_flight: endpoint.in_flight(),
                requests_total: endpoint.requests_total.load(Ordering::Relaxed),
                failures_total: endpoint.failures_total.load(Ordering::Relaxed),
            };
            match loads.last_mut().filter(|last| last.endpoint == load.endpoint) {
                Some(same) => same.add(&load),
                None => loads.push(load),
            }
        }
        loads
    }

    /// Waits until nothing uses the endpoint. Cancel safe.
    pub async fn drained(&self, id: &str) {
        let endpoints: Vec<_> = self
            .lock()
            .endpoints
            .values()
            .filter(|endpoint| endpoint.id == id)
            .cloned()
            .collect();
        for endpoint in endpoints {
            endpoint.watched.store(true, Ordering::SeqCst);
            loop {
                let emptied = endpoint.emptied.notified();
                if endpoint.in_flight() == 0 {
                    break;
                }
                emptied.await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn free_slot(&mut self) -> usize {
        self.free_slots.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        })
    }
}

impl EndpointLoad {
    /// Sums what two processes or two addresses count for the same instance.
    pub fn add(&mut self, other: &Self) {
        self.in_flight += other.in_flight;
        self.requests_total += other.requests_total;
        self.failures_total += other.failures_total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> snapshot::Endpoint {
        snapshot::Endpoint {
            id: "web-1".into(),
            address: ([127, 0, 0, 1], port).into(),
        }
    }

    #[test]
    fn an_endpoint_in_use_is_not_forgotten() {
        let endpoints = Endpoints::default();
        let busy = endpoints.get(&endpoint(1)).enter();
        drop(endpoints.get(&endpoint(2)));
        endpoints.settle(&Table::default());
        assert_eq!(endpoints.in_flight("web-1"), 1);
        assert_eq!(
            endpoints.loads().len(),
            1,
            "both addresses count for the one instance"
        );
        drop(busy);
        endpoints.settle(&Table::default());
        assert!(endpoints.loads().is_empty());
    }

    #[tokio::test]
    async fn drained_waits_for_the_last_request() {
        let endpoints = Arc::new(Endpoints::default());
        let first = endpoints.get(&endpoint(1)).enter();
        let second = endpoints.get(&endpoint(1)).enter();
        let waiting = tokio::spawn({
            let endpoints = Arc::clone(&endpoints);
            async move { endpoints.drained("web-1").await }
        });
        tokio::task::yield_now().await;
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }
}
