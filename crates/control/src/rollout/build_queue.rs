//! The build queue: so many builds at once on the machine, so many of one app; fair between apps; its position is visible to each that waits.
//!
//! A free slot goes to the app with the fewest running builds; among those to the one whose latest slot is the longest ago; among the builds
//! of one app to the oldest. So an app with a hundred builds waits as long as one with a single build, and nobody starves: whoever waits
//! becomes the one who was served the longest ago.
//!
//! The queue itself lives in memory. After a restart, deployments that resume ask for their builds again; those are ordered by the time at
//! which they were first asked for, which is stored.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use mainstay_diagnosis::facts::QueuePosition;
use mainstay_spec::ids::AppId;
use tokio::sync::{oneshot, watch};

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
    /// Number of an app's latest slot, while it has builds.
    served: HashMap<AppId, u64>,
    slots_given: u64,
    tickets_given: u64,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    app: AppId,
    since: Timestamp,
    granted: oneshot::Sender<Slot>,
    position: watch::Sender<Option<QueuePosition>>,
}

/// A place in the queue; dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Place {
    queue: BuildQueue,
    ticket: u64,
    granted: oneshot::Receiver<Slot>,
    position: watch::Receiver<Option<QueuePosition>>,
}

/// The right to build; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    queue: BuildQueue,
    app: AppId,
}

/// What happened to a place.
#[derive(Debug)]
pub(crate) enum Turn {
    Granted(Slot),
    /// It waits, at this position.
    Waits(QueuePosition),
}

impl BuildQueue {
    pub(crate) fn new(limit: u32, limit_per_app: u32) -> Self {
        let inner = Inner {
            limit,
            limit_per_app,
            running: HashMap::new(),
            served: HashMap::new(),
            slots_given: 0,
            tickets_given: 0,
            waiting: Vec::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Takes a place. `since`: when the build was first asked for.
    pub(crate) fn enter(&self, app: AppId, since: Timestamp) -> Place {
        let (granted, grant) = oneshot::channel();
        let (position, positions) = watch::channel(None);
        let ticket = {
            let mut inner = self.lock();
            inner.tickets_given += 1;
            let ticket = inner.tickets_given;
            inner.waiting.push(Waiting {
                ticket,
                app,
                since,
                granted,
                position,
            });
            ticket
        };
        self.grant();
        Place {
            queue: self.clone(),
            ticket,
            granted: grant,
            position: positions,
        }
    }

    /// Gives free slots to those whose turn it is, and tells the others where they stand.
    fn grant(&self) {
        loop {
            let Some(next) = self.lock().take_next() else {
                break;
            };
            // Whoever left the queue meanwhile gets nothing: the refused slot drops, and so is handed on.
            let slot = Slot {
                queue: self.clone(),
                app: next.app,
            };
            drop(next.granted.send(slot));
        }
        self.lock().tell_positions();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The slot, or the position whenever it changed; the first call tells the position of a place that waits. Cancel safe.
    pub(crate) async fn turn(&mut self) -> Turn {
        loop {
            let changed = tokio::select! {
                biased;
                slot = &mut self.granted => {
                    return Turn::Granted(slot.expect("the queue owns the sender until it grants"));
                }
                changed = self.position.changed() => changed,
            };
            let position = self.position.borrow_and_update().clone();
            // The sender goes just before the slot comes.
            if let (Ok(()), Some(position)) = (changed, position) {
                return Turn::Waits(position);
            }
            if let Ok(slot) = (&mut self.granted).await {
                return Turn::Granted(slot);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = {
            let mut inner = self.queue.lock();
            let index = inner
                .waiting
                .iter()
                .position(|waiting| waiting.ticket == self.ticket);
            index.map(|index| inner.waiting.remove(index))
        };
        if left.is_some() {
            self.queue.grant();
        }
    }
}

impl Inner {
    fn total(&self) -> u32 {
        self.running.values().sum()
    }

    fn running_of(&self, app: AppId) -> u32 {
        self.running.get(&app).copied().unwrap_or(0)
    }

    fn take_next(&mut self) -> Option<Waiting> {
        if self.total() >= self.limit {
            return None;
        }
        let turns = Turns::of(self);
        let has_room = |waiting: &&Waiting| self.running_of(waiting.app) < self.limit_per_app;
        let next = self
            .waiting
            .iter()
            .filter(has_room)
            .min_by_key(|waiting| turns.rank(waiting))?;
        let ticket = next.ticket;
        let index = self.waiting.iter().position(|waiting| waiting.ticket == ticket)?;
        let next = self.waiting.remove(index);
        self.slots_given += 1;
        self.served.insert(next.app, self.slots_given);
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
        // Who has no build is not remembered: the map would grow with every app that ever built.
        let (running, waiting) = (&self.running, &self.waiting);
        self.served
            .retain(|app, _| running.contains_key(app) || waiting.iter().any(|waiting| waiting.app == *app));
    }

    /// Positions are the order in which slots would be given if one came free after the other.
    fn tell_positions(&self) {
        let mut turns = Turns::of(self);
        let mut left: Vec<&Waiting> = self.waiting.iter().collect();
        let mut position = 0;
        while let Some(next) = left.iter().copied().min_by_key(|waiting| turns.rank(waiting)) {
            left.retain(|waiting| waiting.ticket != next.ticket);
            position += 1;
            turns.give(next.app);
            let now = Some(self.at_position(next, position));
            next.position.send_if_modified(|known| {
                let changed = *known != now;
                *known = now;
                changed
            });
        }
    }

    fn at_position(&self, waiting: &Waiting, position: u32) -> QueuePosition {
        let of_app = self.running_of(waiting.app) >= self.limit_per_app && self.total() < self.limit;
        let (limit, running) = if of_app {
            (self.limit_per_app, self.running_of(waiting.app))
        } else {
            (self.limit, self.total())
        };
        QueuePosition {
            limit,
            running,
            of_app,
            position,
            since: waiting.since,
        }
    }
}

/// Whose turn it is.
#[derive(Debug)]
struct Turns {
    running: HashMap<AppId, u32>,
    served: HashMap<AppId, u64>,
    slots_given: u64,
}

impl Turns {
    fn of(inner: &Inner) -> Self {
        Self {
            running: inner.running.clone(),
            served: inner.served.clone(),
            slots_given: inner.slots_given,
        }
    }

    /// The lowest is next.
    fn rank(&self, waiting: &Waiting) -> (u32, u64, Timestamp, u64) {
        let running = self.running.get(&waiting.app).copied().unwrap_or(0);
        let served = self.served.get(&waiting.app).copied().unwrap_or(0);
        (running, served, waiting.since, waiting.ticket)
    }

    fn give(&mut self, app: AppId) {
        self.slots_given += 1;
        self.served.insert(app, self.slots_given);
        *self.running.entry(app).or_default() += 1;
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

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    async fn granted(place: &mut Place) -> Slot {
        match place.turn().await {
            Turn::Granted(slot) => slot,
            Turn::Waits(position) => panic!("waits at {position:?}"),
        }
    }

    async fn waits(place: &mut Place) -> QueuePosition {
        match place.turn().await {
            Turn::Granted(_) => panic!("granted"),
            Turn::Waits(position) => position,
        }
    }

    #[tokio::test]
    async fn a_busy_app_does_not_hold_up_another() {
        let queue = BuildQueue::new(2, 1);
        let first = granted(&mut queue.enter(app(1), at(0))).await;
        let mut second = queue.enter(app(1), at(1));
        let position = waits(&mut second).await;
        assert_eq!((position.position, position.since), (1, at(1)));
        assert_eq!(position.busy(), "1 of 1 builds of its app is running");
        let other = granted(&mut queue.enter(app(2), at(2))).await;
        drop(other);
        drop(first);
        while !matches!(second.turn().await, Turn::Granted(_)) {}
    }

    #[tokio::test]
    async fn an_app_with_many_builds_starves_nobody() {
        let queue = BuildQueue::new(1, 1);
        let running = granted(&mut queue.enter(app(1), at(0))).await;
        let mut many: Vec<Place> = (0..10).map(|second| queue.enter(app(1), at(second))).collect();
        let mut one = queue.enter(app(2), at(100));
        assert_eq!(
            waits(&mut one).await.position,
            1,
            "it was never served, the other just now"
        );
        assert_eq!(waits(&mut many[0]).await.position, 2);
        assert_eq!(waits(&mut many[9]).await.position, 11);
        drop(running);
        let running = granted(&mut one).await;
        assert_eq!(waits(&mut many[0]).await.position, 1);
        drop(running);
        granted(&mut many[0]).await;
    }

    #[tokio::test]
    async fn slots_take_turns_between_apps() {
        let queue = BuildQueue::new(2, 2);
        let holders = [
            granted(&mut queue.enter(app(9), at(0))).await,
            granted(&mut queue.enter(app(9), at(0))).await,
        ];
        let mut places: Vec<(u128, Place)> = [1, 1, 1, 2, 2, 3]
            .into_iter()
            .map(|number| (number, queue.enter(app(number), at(1))))
            .collect();
        let mut order = Vec::new();
        for (number, place) in &mut places {
            order.push((waits(place).await.position, *number));
        }
        order.sort_unstable();
        let apps: Vec<u128> = order.into_iter().map(|(_, number)| number).collect();
        assert_eq!(apps, [1, 2, 3, 1, 2, 1]);
        drop(holders);
        granted(&mut places[0].1).await;
    }

    #[tokio::test]
    async fn positions_move_up_when_somebody_leaves() {
        let queue = BuildQueue::new(1, 1);
        let _running = granted(&mut queue.enter(app(1), at(0))).await;
        let second = queue.enter(app(2), at(1));
        let mut third = queue.enter(app(3), at(2));
        assert_eq!(waits(&mut third).await.position, 2);
        drop(second);
        assert_eq!(waits(&mut third).await.position, 1);
    }

    #[tokio::test]
    async fn whoever_leaves_the_queue_takes_no_slot_along() {
        let queue = BuildQueue::new(1, 1);
        let first = granted(&mut queue.enter(app(1), at(0))).await;
        let leaver = queue.enter(app(2), at(1));
        // It is granted before it goes, and never takes the slot.
        drop(first);
        drop(leaver);
        granted(&mut queue.enter(app(3), at(2))).await;
    }

    #[tokio::test]
    async fn after_a_restart_the_first_asked_for_is_the_first_served() {
        let queue = BuildQueue::new(1, 1);
        let running = granted(&mut queue.enter(app(9), at(50))).await;
        // Deployments resume in any order.
        let mut young = queue.enter(app(1), at(20));
        let mut old = queue.enter(app(2), at(10));
        assert_eq!(waits(&mut old).await.position, 1);
        assert_eq!(waits(&mut young).await.position, 2);
        drop(running);
        granted(&mut old).await;
    }
}
