//! The build queue: so many builds at once on the machine, so many of one account and of one app; fair between apps; its position is visible to
//! each that waits.
//!
//! A free slot goes to the app with the fewest running builds; among those to the one whose latest slot is the longest ago; among the builds
//! of one app to the oldest. So an app with a hundred builds waits as long as one with a single build, and nobody starves: whoever waits
//! becomes the one who was served the longest ago.
//!
//! The queue itself lives in memory. After a restart, deployments that resume ask for their builds again; those are ordered by the time at
//! which they were first asked for, which is stored.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use mainstay_diagnosis::facts::{QueuePosition, QueueScope};
use mainstay_spec::ids::{AccountId, AppId};
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
    /// Of accounts that build or wait.
    limits: HashMap<AccountId, u32>,
    running: Running,
    /// Number of an app's latest slot, while it has builds.
    served: HashMap<AppId, u64>,
    slots_given: u64,
    tickets_given: u64,
    waiting: Vec<Waiting>,
}

/// Whose a build is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub app: AppId,
    pub account: AccountId,
}

/// Builds that have a slot.
#[derive(Debug, Clone, Default)]
struct Running {
    of_apps: HashMap<AppId, u32>,
    of_accounts: HashMap<AccountId, u32>,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    asker: Asker,
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
    asker: Asker,
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
            limits: HashMap::new(),
            running: Running::default(),
            served: HashMap::new(),
            slots_given: 0,
            tickets_given: 0,
            waiting: Vec::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Takes a place. `limit`: builds of the account at a time, from now on; `since`: when the build was first asked for.
    pub(crate) fn enter(&self, asker: Asker, limit: Option<u32>, since: Timestamp) -> Place {
        let (granted, grant) = oneshot::channel();
        let (position, positions) = watch::channel(None);
        let ticket = {
            let mut inner = self.lock();
            inner.tickets_given += 1;
            let ticket = inner.tickets_given;
            inner.set_limit(asker.account, limit);
            inner.waiting.push(Waiting {
                ticket,
                asker,
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

    /// For builds that run and wait; those that come later bring their account's limit along.
    pub(crate) fn limit_account(&self, account: AccountId, limit: Option<u32>) {
        self.lock().set_limit(account, limit);
        self.grant();
    }

    /// Of the account.
    pub(crate) fn running_of(&self, account: AccountId) -> u32 {
        self.lock().running.of_account(account)
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
                asker: next.asker,
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

impl Running {
    fn total(&self) -> u32 {
        self.of_apps.values().sum()
    }

    fn of_app(&self, app: AppId) -> u32 {
        self.of_apps.get(&app).copied().unwrap_or(0)
    }

    fn of_account(&self, account: AccountId) -> u32 {
        self.of_accounts.get(&account).copied().unwrap_or(0)
    }

    fn begin(&mut self, asker: Asker) {
        *self.of_apps.entry(asker.app).or_default() += 1;
        *self.of_accounts.entry(asker.account).or_default() += 1;
    }

    fn end(&mut self, asker: Asker) {
        one_less(&mut self.of_apps, asker.app);
        one_less(&mut self.of_accounts, asker.account);
    }
}

/// Who has none is not remembered.
fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

impl Inner {
    fn set_limit(&mut self, account: AccountId, limit: Option<u32>) {
        match limit {
            Some(limit) => self.limits.insert(account, limit),
            None => self.limits.remove(&account),
        };
    }

    /// The first limit that a build of theirs meets, with what runs of it.
    fn full(&self, asker: Asker) -> Option<(QueueScope, u32, u32)> {
        let of_account = self.limits.get(&asker.account).copied();
        let limits = [
            (QueueScope::Machine, self.limit, self.running.total()),
            (
                QueueScope::Account,
                of_account.unwrap_or(u32::MAX),
                self.running.of_account(asker.account),
            ),
            (
                QueueScope::App,
                self.limit_per_app,
                self.running.of_app(asker.app),
            ),
        ];
        limits.into_iter().find(|(_, limit, running)| running >= limit)
    }

    fn take_next(&mut self) -> Option<Waiting> {
        let turns = Turns::of(self);
        let next = self
            .waiting
            .iter()
            .filter(|waiting| self.full(waiting.asker).is_none())
            .min_by_key(|waiting| turns.rank(waiting))?;
        let ticket = next.ticket;
        let index = self.waiting.iter().position(|waiting| waiting.ticket == ticket)?;
        let next = self.waiting.remove(index);
        self.slots_given += 1;
        self.served.insert(next.asker.app, self.slots_given);
        self.running.begin(next.asker);
        Some(next)
    }

    fn release(&mut self, asker: Asker) {
        self.running.end(asker);
        // Who has no build is not remembered: the maps would grow with every app that ever built.
        let (running, waiting) = (&self.running, &self.waiting);
        self.served.retain(|app, _| {
            running.of_app(*app) > 0 || waiting.iter().any(|waiting| waiting.asker.app == *app)
        });
        self.limits.retain(|account, _| {
            running.of_account(*account) > 0
                || waiting.iter().any(|waiting| waiting.asker.account == *account)
        });
    }

    /// Positions are the order in which slots would be given if one came free after the other.
    fn tell_positions(&self) {
        let mut turns = Turns::of(self);
        let mut left: Vec<&Waiting> = self.waiting.iter().collect();
        let mut position = 0;
        while let Some(next) = left.iter().copied().min_by_key(|waiting| turns.rank(waiting)) {
            left.retain(|waiting| waiting.ticket != next.ticket);
            position += 1;
            turns.give(next.asker.app);
            let now = Some(self.at_position(next, position));
            next.position.send_if_modified(|known| {
                let changed = *known != now;
                *known = now;
                changed
            });
        }
    }

    fn at_position(&self, waiting: &Waiting, position: u32) -> QueuePosition {
        let machine = (QueueScope::Machine, self.limit, self.running.total());
        let (scope, limit, running) = self.full(waiting.asker).unwrap_or(machine);
        QueuePosition {
            scope,
            limit,
            running,
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
            running: inner.running.of_apps.clone(),
            served: inner.served.clone(),
            slots_given: inner.slots_given,
        }
    }

    /// The lowest is next.
    fn rank(&self, waiting: &Waiting) -> (u32, u64, Timestamp, u64) {
        let app = waiting.asker.app;
        let running = self.running.get(&app).copied().unwrap_or(0);
        let served = self.served.get(&app).copied().unwrap_or(0);
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
        self.queue.lock().release(self.asker);
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

    /// App 1 and the like, of the first account, which has no limit.
    fn enter(queue: &BuildQueue, number: u128, second: i64) -> Place {
        queue.enter(of(AccountId::FIRST, number), None, at(second))
    }

    fn of(account: AccountId, number: u128) -> Asker {
        Asker {
            app: app(number),
            account,
        }
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
        let first = granted(&mut enter(&queue, 1, 0)).await;
        let mut second = enter(&queue, 1, 1);
        let position = waits(&mut second).await;
        assert_eq!((position.position, position.since), (1, at(1)));
        assert_eq!(position.busy(), "1 of 1 builds of its app is running");
        let other = granted(&mut enter(&queue, 2, 2)).await;
        drop(other);
        drop(first);
        while !matches!(second.turn().await, Turn::Granted(_)) {}
    }

    #[tokio::test]
    async fn an_app_with_many_builds_starves_nobody() {
        let queue = BuildQueue::new(1, 1);
        let running = granted(&mut enter(&queue, 1, 0)).await;
        let mut many: Vec<Place> = (0..10).map(|second| enter(&queue, 1, second)).collect();
        let mut one = enter(&queue, 2, 100);
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
            granted(&mut enter(&queue, 9, 0)).await,
            granted(&mut enter(&queue, 9, 0)).await,
        ];
        let mut places: Vec<(u128, Place)> = [1, 1, 1, 2, 2, 3]
            .into_iter()
            .map(|number| (number, enter(&queue, number, 1)))
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
        let _running = granted(&mut enter(&queue, 1, 0)).await;
        let second = enter(&queue, 2, 1);
        let mut third = enter(&queue, 3, 2);
        assert_eq!(waits(&mut third).await.position, 2);
        drop(second);
        assert_eq!(waits(&mut third).await.position, 1);
    }

    #[tokio::test]
    async fn whoever_leaves_the_queue_takes_no_slot_along() {
        let queue = BuildQueue::new(1, 1);
        let first = granted(&mut enter(&queue, 1, 0)).await;
        let leaver = enter(&queue, 2, 1);
        // It is granted before it goes, and never takes the slot.
        drop(first);
        drop(leaver);
        granted(&mut enter(&queue, 3, 2)).await;
    }

    #[tokio::test]
    async fn after_a_restart_the_first_asked_for_is_the_first_served() {
        let queue = BuildQueue::new(1, 1);
        let running = granted(&mut enter(&queue, 9, 50)).await;
        // Deployments resume in any order.
        let mut young = enter(&queue, 1, 20);
        let mut old = enter(&queue, 2, 10);
        assert_eq!(waits(&mut old).await.position, 1);
        assert_eq!(waits(&mut young).await.position, 2);
        drop(running);
        granted(&mut old).await;
    }

    #[tokio::test]
    async fn an_account_at_its_limit_waits_while_another_builds() {
        let queue = BuildQueue::new(3, 1);
        let (first, second) = (AccountId::FIRST, AccountId::from_uuid(uuid::Uuid::from_u128(7)));
        let running = granted(&mut queue.enter(of(second, 1), Some(1), at(0))).await;
        let mut next = queue.enter(of(second, 2), Some(1), at(1));
        let position = waits(&mut next).await;
        assert_eq!(
            (position.scope, position.limit, position.running),
            (QueueScope::Account, 1, 1)
        );
        assert_eq!(position.busy(), "1 of 1 builds of its account is running");
        let _other = granted(&mut queue.enter(of(first, 3), None, at(2))).await;
        assert_eq!((queue.running_of(first), queue.running_of(second)), (1, 1));
        drop(running);
        granted(&mut next).await;
    }

    #[tokio::test]
    async fn a_raised_limit_counts_for_what_waits() {
        let queue = BuildQueue::new(3, 1);
        let account = AccountId::FIRST;
        let mut place = queue.enter(of(account, 1), Some(0), at(0));
        assert_eq!(
            waits(&mut place).await.busy(),
            "0 of 0 builds of its account are running"
        );
        queue.limit_account(account, Some(1));
        granted(&mut place).await;
    }
}
