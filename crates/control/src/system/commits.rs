//! The database's commits, one by one: any of them may be refused, or be the last that the server makes.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use mainstay_store::Faults;

use super::calls::Calls;

/// What befalls a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing is stored, and whoever asked is told.
    Refused,
    /// The server is killed; nothing is stored.
    DiesBefore,
    /// The server is killed; all is stored.
    DiesAfter,
    /// It succeeds; the next statement is interrupted, be it of reading.
    ThenInterrupted,
}

#[derive(Debug)]
pub(super) struct Commits {
    calls: Calls,
    planned: Mutex<Option<(usize, Refusal)>>,
    interrupt: AtomicBool,
}

impl Commits {
    /// A killed server commits nothing.
    pub(super) fn new(calls: Calls) -> Self {
        Self {
            calls,
            planned: Mutex::default(),
            interrupt: AtomicBool::new(false),
        }
    }

    /// The commit of this number from now on, counted from 0, goes wrong.
    pub(super) fn plan(&self, number: usize, refusal: Refusal) {
        *self.planned.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, refusal));
    }

    /// Nothing more goes wrong; false if it did already.
    pub(super) fn disarm(&self) -> bool {
        self.interrupt.store(false, Ordering::SeqCst);
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        planned.take().is_some()
    }

    fn next(&self) -> Option<Refusal> {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        match planned.take()? {
            (0, refusal) => Some(refusal),
            (number, refusal) => {
                *planned = Some((number - 1, refusal));
                None
            }
        }
    }
}

impl Faults for Commits {
    fn may_commit(&self) -> bool {
        if self.calls.is_dead() {
            return false;
        }
        match self.next() {
            None => true,
            Some(Refusal::Refused) => false,
            Some(Refusal::DiesBefore) => {
                self.calls.die();
                false
            }
            Some(Refusal::DiesAfter) => {
                self.calls.die();
                true
            }
            Some(Refusal::ThenInterrupted) => {
                self.interrupt.store(true, Ordering::SeqCst);
                true
            }
        }
    }

    fn may_go_on(&self) -> bool {
        !self.interrupt.swap(false, Ordering::SeqCst)
    }
}
