//! The build queue: a global limit, one build per app at a time, fair between apps, position visible while waiting.
//!
//! Waiting builds are asked for again after a restart (their deployments resume), so the queue itself lives in memory.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use mainstay_diagnosis::facts::QueuePosition;
use mainstay_spec::ids::AppId;
use tokio::sync::oneshot;

/// Hands out build slots. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct BuildQueue {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    limit: u32,
    limit_per_app: u32,
    running: HashMap<AppId, u32>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    app: AppId,
    granted: oneshot::Sender<Slot>,
}

/// The right to build; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    queue: BuildQueue,
    app: AppId,
}

impl BuildQueue {
    pub(crate) fn new(limit: u32, limit_per_app: u32) -> Self {
        let inner = Inner {
            limit,
            limit_per_app,
            running: HashMap::new(),
            waiting: VecDeque::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Waits for a slot. `waiting` is told the position once, when there is none at once. Dropping the future leaves the queue.
    pub(crate) async fn slot(&self, app: AppId, waiting: impl FnOnce(QueuePosition)) -> Slot {
        let (granted, grant) = oneshot::channel();
        let position = {
            let mut inner = self.lock();
            inner.waiting.push_back(Waiting { app, granted });
            inner.position(app)
        };
        self.grant();
        let mut grant = grant;
        if let Ok(slot) = grant.try_recv() {
            return slot;
        }
        waiting(position);
        grant.await.expect("the queue owns the sender until it grants")
    }

    /// Gives free slots to those who wait, first come first served, passing over apps that have theirs.
    fn grant(&self) {
        loop {
            let Some(next) = self.lock().take_next() else {
                return;
            };
            // Whoever left the queue meanwhile gets nothing: the refused slot drops, and so is handed on.
            let slot = Slot {
                queue: self.clone(),
                app: next.app,
            };
            drop(next.granted.send(slot));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn total(&self) -> u32 {
        self.running.values().sum()
    }

    fn running_of(&self, app: AppId) -> u32 {
        self.running.get(&app).copied().unwrap_or(0)
    }

    /// Of the build of `app` that was put in last.
    fn position(&self, app: AppId) -> QueuePosition {
        let of_app = self.running_of(app) >= self.limit_per_app && self.total() < self.limit;
        let (limit, running) = if of_app {
            (self.limit_per_app, self.running_of(app))
        } else {
            (self.limit, self.total())
        };
        QueuePosition {
            limit,
            running,
            of_app,
            position: u32::try_from(self.waiting.len()).unwrap_or(u32::MAX),
            since: Timestamp::now(),
        }
    }

    fn take_next(&mut self) -> Option<Waiting> {
        if self.total() >= self.limit {
            return None;
        }
        let free = |waiting: &Waiting| self.running_of(waiting.app) < self.limit_per_app;
        let index = self.waiting.iter().position(free)?;
        let next = self.waiting.remove(index)?;
        *self.running.entry(next.app).or_default() += 1;
        Some(next)
    }

    fn release(&mut self, app: AppId) {
        if let Some(count) = self.running.get_mut(&app) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(&app);
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.queue.lock().release(self.app);
        self.queue.grant();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(number: u128) -> AppId {
        AppId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[tokio::test]
    async fn a_busy_app_does_not_hold_up_another() {
        let queue = BuildQueue::new(2, 1);
        let first = queue.slot(app(1), |_| panic!("free")).await;
        let mut second = Box::pin(queue.slot(app(1), |position| {
            assert_eq!(position.position, 1);
            assert_eq!(position.busy(), "1 of 1 builds of its app is running");
        }));
        assert!(futures_util::poll!(&mut second).is_pending());
        let other = queue.slot(app(2), |_| panic!("free")).await;
        drop(other);
        drop(first);
        second.await;
    }

    #[tokio::test]
    async fn whoever_leaves_the_queue_takes_no_slot_along() {
        let queue = BuildQueue::new(1, 1);
        let first = queue.slot(app(1), |_| {}).await;
        let mut leaver = Box::pin(queue.slot(app(2), |_| {}));
        assert!(futures_util::poll!(&mut leaver).is_pending());
        drop(leaver);
        drop(first);
        queue.slot(app(3), |_| panic!("free")).await;
    }
}
