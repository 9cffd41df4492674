//! A gate before the starts of one fleet: once it is closed nothing begins, and who closed it can wait until what had begun is over.
//!
//! A start is under way from the moment its row is in the store until the engine has started it or refused to. Retiring in between would
//! find a row that the engine does not know yet, call it removed, and leave an instance running that nobody looks after.

use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
};

use tokio::sync::mpsc;

/// Shared by the replicas of a fleet.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Nothing is ever sent: that all clones are dropped is the message. `None`: closed.
    open: Mutex<Option<mpsc::Sender<Infallible>>>,
}

/// Held for as long as a start is under way.
#[derive(Debug)]
pub(crate) struct Start {
    _under_way: mpsc::Sender<Infallible>,
}

/// The starts that are still under way behind a closed gate.
#[derive(Debug)]
pub(crate) struct Stragglers(mpsc::Receiver<Infallible>);

impl Gate {
    pub(crate) fn new() -> (Self, Stragglers) {
        let (open, stragglers) = mpsc::channel(1);
        let open = Mutex::new(Some(open));
        (Self { open }, Stragglers(stragglers))
    }

    /// `None` once the gate is closed.
    pub(crate) fn enter(&self) -> Option<Start> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clone().map(|open| Start { _under_way: open })
    }

    pub(crate) fn close(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Stragglers {
    /// Returns when the gate is closed and the last start is over. The engine bounds how long a start may take.
    pub(crate) async fn over(mut self) {
        self.0.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_closed_gate_lets_nobody_in_and_waits_for_those_inside() {
        let (gate, stragglers) = Gate::new();
        let start = gate.enter().unwrap();
        gate.close();
        assert!(gate.enter().is_none());
        let mut over = std::pin::pin!(stragglers.over());
        assert!(timeout(Duration::from_secs(1), &mut over).await.is_err());
        drop(start);
        timeout(Duration::from_secs(1), over).await.unwrap();
    }
}
