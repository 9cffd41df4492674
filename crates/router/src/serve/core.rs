//! One serving thread: everything here is owned by it and needs no lock.

use std::{
    cell::{Cell, RefCell},
    hash::{BuildHasher, RandomState},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};

use bytes::BytesMut;
use http::{HeaderName, HeaderValue};
use tokio::sync::Notify;

use super::shared::{CoreCounters, Shared};
use crate::{access_log::LogBuffer, proxy::pool::Pool, static_site::piece, table::Table};

/// A thread's own count of who uses a table: cheaper than a count that all threads share.
pub type ThreadTable = Rc<SharedTable>;

#[derive(Debug)]
pub struct SharedTable(Arc<Table>);

impl std::ops::Deref for SharedTable {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.0
    }
}

#[derive(Debug)]
pub struct Core {
    pub shared: Arc<Shared>,
    index: usize,
    table: RefCell<ThreadTable>,
    pub pool: RefCell<Pool>,
    pub log: RefCell<LogBuffer>,
    /// Idle connections are to be closed.
    pub closing: Notify,
    is_closing: Cell<bool>,
    turn: Cell<usize>,
    random: Cell<u64>,
    /// Where the next request ids are cut from.
    ids: RefCell<BytesMut>,
    /// Lists for copies of headers, to be used again.
    lists: RefCell<Vec<HeaderList>>,
    /// Milliseconds of the process clock, a little late.
    late_ms: Cell<u64>,
}

pub type HeaderList = Vec<(HeaderName, HeaderValue)>;

/// Lists kept for use.
const LISTS_MAX: usize = 64;
/// Request ids cut from one piece of memory.
const IDS_AT_ONCE: usize = 128;

/// A visitor's connection or tunnel; counted until dropped.
#[derive(Debug)]
pub struct OpenConnection(Rc<Core>);

impl Core {
    pub fn new(shared: Arc<Shared>, index: usize) -> Rc<Self> {
        let table = shared.tables.borrow().clone();
        let random = RandomState::new().hash_one(index);
        Rc::new(Self {
            shared,
            index,
            table: RefCell::new(Rc::new(SharedTable(table))),
            pool: RefCell::default(),
            log: RefCell::default(),
            closing: Notify::new(),
            is_closing: Cell::new(false),
            turn: Cell::new(index),
            random: Cell::new(random),
            ids: RefCell::default(),
            lists: RefCell::default(),
            late_ms: Cell::default(),
        })
    }

    /// The table in force on this thread. Between this call and entering an endpoint there must be no `await`: only then does
    /// [`Shared::settled`] prove that no request will still choose a removed endpoint.
    pub fn table(&self) -> ThreadTable {
        Rc::clone(&self.table.borrow())
    }

    pub fn adopt(&self, table: Arc<Table>) {
        let generation = table.generation;
        *self.table.borrow_mut() = Rc::new(SharedTable(table));
        self.pool.borrow_mut().drop_unrouted();
        self.counters().generation.store(generation, Ordering::SeqCst);
        self.shared.changed.notify_waiters();
    }

    pub fn counters(&self) -> &CoreCounters {
        &self.shared.cores[self.index]
    }

    pub fn close_idle(&self) {
        self.is_closing.set(true);
        self.closing.notify_waiters();
    }

    pub fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// Counts up with each call, for taking turns.
    pub fn turn(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }

    /// A new request id: 32 hexadecimal digits, unique, not secret.
    pub fn request_id(&self) -> HeaderValue {
        let mut ids = self.ids.borrow_mut();
        if ids.len() < 32 {
            *ids = BytesMut::zeroed(32 * IDS_AT_ONCE);
        }
        let mut id = ids.split_to(32);
        for half in id.chunks_exact_mut(16) {
            let random = self.next_random();
            for (at, digit) in half.iter_mut().enumerate() {
                *digit = b"0123456789abcdef"[(random >> (4 * at) & 0xf) as usize];
            }
        }
        HeaderValue::from_maybe_shared(id.freeze()).expect("hexadecimal digits are a valid header value")
    }

    pub fn spare_list(&self) -> HeaderList {
        self.lists.borrow_mut().pop().unwrap_or_default()
    }

    pub fn give_back_list(&self, list: HeaderList) {
        let mut lists = self.lists.borrow_mut();
        if lists.len() < LISTS_MAX {
            lists.push(list);
        }
    }

    /// The process clock as of the last time that the thread kept house: enough for what is counted in seconds.
    pub fn late_ms(&self) -> u64 {
        self.late_ms.get()
    }

    pub fn keep_house(&self) {
        self.late_ms.set(self.shared.now_ms());
        self.pool
            .borrow_mut()
            .drop_idle(self.late_ms(), self.shared.settings.pool_idle_ms);
        piece::trim();
        self.flush_log();
    }

    /// SplitMix64.
    fn next_random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn flush_log(&self) {
        if let Some(log) = &self.shared.log {
            self.log.borrow_mut().flush(log);
        }
    }

    pub fn open_connection(self: &Rc<Self>) -> OpenConnection {
        self.counters().connections.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Rc::clone(self))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.counters().connections.fetch_sub(1, Ordering::SeqCst);
        if std::thread::panicking() {
            self.0.counters().panics_total.fetch_add(1, Ordering::Relaxed);
        }
        if self.0.shared.is_retiring() {
            self.0.shared.changed.notify_waiters();
        }
    }
}
