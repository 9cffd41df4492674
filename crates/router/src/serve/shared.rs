//! What the threads of a serving process share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::{Notify, watch};

use crate::{
    access_log::AccessLog,
    settings::Settings,
    table::{Table, endpoint::Endpoints},
};

#[derive(Debug)]
pub struct Shared {
    pub settings: Settings,
    pub tables: watch::Sender<Arc<Table>>,
    pub endpoints: Endpoints,
    pub phase: watch::Sender<Phase>,
    pub cores: Box<[CoreCounters]>,
    /// A thread took over a table, or the last connection ended.
    pub changed: Notify,
    pub log: Option<AccessLog>,
    pub snapshot_error: Mutex<Option<String>>,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    started: Instant,
    retiring: AtomicBool,
}

/// The life of a serving process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// Takes no new connection; each answer says `Connection: close`; idle connections are kept for a while.
    Announcing,
    /// Idle connections are closed too.
    Closing,
    /// Whatever is left is cut.
    Ended,
}

/// Written by one thread only, read by all.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CoreCounters {
    /// The generation of the table in force.
    pub generation: AtomicU64,
    pub connections: AtomicU64,
    /// Listening sockets of this thread.
    pub listeners: AtomicU64,
    pub in_flight: AtomicU64,
    pub requests_total: AtomicU64,
    pub retries_total: AtomicU64,
    pub panics_total: AtomicU64,
}

impl CoreCounters {
    /// Counts without the price of a locked operation: there is only one writer.
    pub fn add(counter: &AtomicU64, change: i64) {
        counter.store(
            counter.load(Ordering::Relaxed).wrapping_add_signed(change),
            Ordering::Relaxed,
        );
    }
}

impl Shared {
    pub fn new(settings: Settings, log: Option<AccessLog>) -> Self {
        let cores = (0..settings.thread_count())
            .map(|_| CoreCounters::default())
            .collect();
        Self {
            settings,
            tables: watch::Sender::new(Arc::default()),
            endpoints: Endpoints::default(),
            phase: watch::Sender::new(Phase::Serving),
            cores,
            changed: Notify::new(),
            log,
            snapshot_error: Mutex::new(None),
            refusals: Mutex::default(),
            started: Instant::now(),
            retiring: AtomicBool::new(false),
        }
    }

    /// Milliseconds of the process clock.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn sum(&self, counter: impl Fn(&CoreCounters) -> &AtomicU64) -> u64 {
        self.cores
            .iter()
            .map(|core| counter(core).load(Ordering::SeqCst))
            .sum()
    }

    pub fn enter(&self, phase: Phase) {
        self.retiring.store(phase != Phase::Serving, Ordering::SeqCst);
        if let (Some(log), Phase::Announcing) = (&self.log, phase) {
            log.leave_rotation_to_successor();
        }
        self.phase.send_replace(phase);
    }

    pub fn is_retiring(&self) -> bool {
        self.retiring.load(Ordering::SeqCst)
    }

    /// Waits until every thread routes by the newest table; what requests chose before is counted on its endpoint by then. Cancel safe.
    pub async fn settled(&self) {
        loop {
            let changed = self.changed.notified();
            let newest = self.tables.borrow().generation;
            if self
                .cores
                .iter()
                .all(|core| core.generation.load(Ordering::SeqCst) >= newest)
            {
                return;
            }
            changed.await;
        }
    }

    /// Waits until no thread takes connections any more. Cancel safe.
    pub async fn stopped_accepting(&self) {
        loop {
            let changed = self.changed.notified();
            if self.sum(|core| &core.listeners) == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Waits until no connection is open. Cancel safe.
    pub async fn emptied(&self) {
        loop {
            let changed = self.changed.notified();
            if self.sum(|core| &core.connections) == 0 {
                return;
            }
            changed.await;
        }
    }

    pub fn count_refusal(&self, name: &'static str) {
        *lock(&self.refusals).entry(name).or_default() += 1;
    }

    pub fn refusals(&self) -> BTreeMap<String, u64> {
        lock(&self.refusals)
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    pub fn snapshot_error(&self) -> Option<String> {
        lock(&self.snapshot_error).clone()
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
