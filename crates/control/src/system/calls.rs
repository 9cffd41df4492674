//! Everything that the server asks of the world outside, call by call: any of them may fail, or be what the server was at when it was killed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// What befalls a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    /// It does nothing and says so.
    Fails,
    /// The server is killed before it does anything.
    DiesBefore,
    /// It does what was asked; the server is killed before it hears of it.
    DiesAfter,
}

/// What may become of a call.
pub(super) enum Outcome<T> {
    Done(T),
    Failed,
}

/// Counts calls from the moment when it was armed.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    inner: Arc<Mutex<Inner>>,
    dead: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    made: Vec<String>,
    planned: Option<(usize, Mishap)>,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self {
            inner: Arc::default(),
            dead: watch::Sender::new(false),
        }
    }

    /// The call of this number from now on, counted from 0, goes wrong.
    pub(super) fn plan(&self, number: usize, mishap: Mishap) {
        *self.lock() = Inner {
            made: Vec::new(),
            planned: Some((number, mishap)),
        };
    }

    /// Nothing more goes wrong; gives the calls that were made since it was armed.
    pub(super) fn disarm(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock()).made
    }

    /// Does `work`, unless something befalls it. A dead server's calls never come back.
    pub(super) async fn around<T>(&self, name: &str, work: impl FnOnce() -> T) -> Outcome<T> {
        if self.is_dead() {
            return std::future::pending().await;
        }
        match self.note(name) {
            None => return Outcome::Done(work()),
            Some(Mishap::Fails) => return Outcome::Failed,
            Some(Mishap::DiesBefore) => {}
            Some(Mishap::DiesAfter) => drop(work()),
        }
        self.die();
        std::future::pending().await
    }

    fn note(&self, name: &str) -> Option<Mishap> {
        let mut inner = self.lock();
        let number = inner.made.len();
        inner.made.push(name.to_owned());
        let (_, mishap) = inner.planned.filter(|(planned, _)| *planned == number)?;
        Some(mishap)
    }

    pub(super) fn die(&self) {
        self.dead.send_replace(true);
    }

    pub(super) fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    pub(super) fn revive(&self) {
        self.dead.send_replace(false);
    }

    pub(super) async fn death(&self) {
        let mut dead = self.dead.subscribe();
        // The sender is ours.
        drop(dead.wait_for(|dead| *dead).await);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
