//! What this machine has room for. Asked here alone, by one after the other, so that no two are promised the same room.
//!
//! ```text
//!  memory   what serves (its whole spec) + what else is there (its instances) + databases + what was let in and has not settled
//!  disk     what is used + what was promised to builds and rollouts that go on
//!  network  apps that have a part of its addresses + those that were let in and have none yet; within an app: what runs
//! ```
//!
//! Whoever is let in holds a [`Claim`] until it is over; what it started counts by itself from then on. Sizes are limits that instances seldom
//! reach together: how far they may add up to more than the machine has is the operator's choice ([`CapacityConfig`]).

mod ledger;
mod machine;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mainstay_diagnosis::facts::{QuotaFacts, QuotaScope, QuotaUnit};
use mainstay_images::store::{disk_bytes, free_bytes};
use mainstay_spec::{
    AppSpec,
    ids::{AppId, DeploymentId},
    usage::Resource,
};

use self::{ledger::Ledger, machine::Sizes};
pub(crate) use self::{
    ledger::{Claim, Wish},
    machine::machine_memory,
};
use crate::{
    config::CapacityConfig,
    platform::{Platform, PlatformError},
};

/// What was promised, and what there is to promise.
#[derive(Debug)]
pub(crate) struct Capacity {
    config: CapacityConfig,
    ledger: Ledger,
    /// One wish is looked at after the other.
    turn: tokio::sync::Mutex<()>,
    /// A deployment's spec never changes.
    sizes: Mutex<HashMap<DeploymentId, Sizes>>,
}

/// Where a deployment keeps what was promised to its rollout. Clones are the same place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Promise(Arc<Mutex<Option<Claim>>>);

impl Promise {
    pub(crate) fn put(&self, claim: Claim) {
        *lock(&self.0) = Some(claim);
    }
}

/// One resource of the machine as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub resource: &'static str,
    pub unit: QuotaUnit,
    pub used: u64,
    pub limit: u64,
}

/// "memory by instance sizes": the account's limit on memory is another.
pub(super) const MEMORY: &str = "memory by instance sizes";
pub(super) const DISK: &str = "disk";
/// "the network's address ranges": each app that runs something has one.
pub(super) const RANGES: &str = "the network's address ranges";
/// Who is in no account of those that are told of it.
pub(super) const OTHERS: &str = "apps of other accounts";
/// Within the range of one app.
pub(super) const ADDRESSES: &str = "the addresses in its range of the network";

impl Capacity {
    pub(crate) fn new(config: CapacityConfig) -> Self {
        Self {
            config,
            ledger: Ledger::default(),
            turn: tokio::sync::Mutex::default(),
            sizes: Mutex::default(),
        }
    }

    /// What a rollout of this spec needs beside what runs already.
    pub(crate) fn rollout(&self, app: AppId, deployment: DeploymentId, spec: &AppSpec) -> Wish {
        Wish {
            memory_bytes: Resource::Memory.asked_by(spec),
            disk_bytes: self.config.disk_free_bytes,
            addresses: addresses(spec),
            ..Self::network(app, deployment, spec)
        }
    }

    /// What has to be there before anything of a deployment begins: a part of the network for its app.
    pub(crate) fn network(app: AppId, deployment: DeploymentId, spec: &AppSpec) -> Wish {
        Wish {
            app,
            deployment,
            user: spec.name.clone(),
            memory_bytes: 0,
            disk_bytes: 0,
            needs_range: addresses(spec) > 0,
            addresses: 0,
        }
    }

    /// What a build needs: its memory is bounded by the queue.
    pub(crate) fn build(&self, app: AppId, deployment: DeploymentId, spec: &AppSpec) -> Wish {
        Wish {
            disk_bytes: self.config.disk_free_bytes,
            ..Self::network(app, deployment, spec)
        }
    }

    /// How long a rollout or a build waits for room.
    pub(crate) fn wait(&self) -> Duration {
        Duration::from_secs(self.config.wait_seconds)
    }

    /// Whether it can never be granted, whatever else goes.
    pub(crate) fn is_hopeless(refused: &QuotaFacts) -> bool {
        refused.asked > refused.limit
    }

    /// Promises what is wished for, if there is room: the inner `Err` says what is missing.
    pub(crate) async fn let_in(
        &self,
        platform: &Platform,
        wish: &Wish,
    ) -> Result<Result<Claim, Box<QuotaFacts>>, PlatformError> {
        let _turn = self.turn.lock().await;
        let machine = machine::look(platform, &self.config, &self.sizes, Some(wish.app)).await?;
        Ok(self.ledger.claim(wish, &machine))
    }

    /// What a call is refused with that finds no room on the disk: it would have asked for what a deployment has to find free.
    pub(crate) fn full_disk(&self, platform: &Platform) -> Result<QuotaFacts, PlatformError> {
        let limit = disk_bytes(&platform.config.data_dir)?;
        let free = free_bytes(&platform.config.data_dir)?;
        Ok(QuotaFacts {
            resource: DISK.to_owned(),
            scope: QuotaScope::Node,
            unit: QuotaUnit::Bytes,
            limit,
            used: limit.saturating_sub(free),
            asked: self.config.disk_free_bytes,
            biggest: Vec::new(),
            waiting: false,
        })
    }

    /// Counts what a rollout holds that was let in before the server was restarted.
    pub(crate) fn take_up(&self, wish: &Wish) -> Claim {
        self.ledger.hold(wish)
    }

    pub(crate) async fn rooms(&self, platform: &Platform) -> Result<Vec<Room>, PlatformError> {
        let machine = machine::look(platform, &self.config, &self.sizes, None).await?;
        let mut rooms = vec![
            Room {
                resource: MEMORY,
                unit: QuotaUnit::Bytes,
                used: self.ledger.memory_used(&machine),
                limit: machine.memory_bytes,
            },
            Room {
                resource: DISK,
                unit: QuotaUnit::Bytes,
                used: machine.disk_bytes.saturating_sub(machine.disk_free_bytes),
                limit: machine.disk_bytes,
            },
        ];
        rooms.extend(machine.network.map(|network| Room {
            resource: RANGES,
            unit: QuotaUnit::Count,
            used: network.ranges_used(),
            limit: network.ranges(),
        }));
        Ok(rooms)
    }
}

/// How many addresses all that an app of this spec runs takes: every job counts as if it ran.
fn addresses(spec: &AppSpec) -> u64 {
    let instances = Resource::Instances.asked_by(spec);
    let databases = spec.databases.iter().filter(|database| !database.production);
    instances.saturating_add(u64::try_from(databases.count()).unwrap_or(u64::MAX))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use mainstay_testkit::Place;

    use super::*;
    use crate::system::World;

    const GIB: u64 = 1 << 30;

    #[test]
    fn beside_an_app_that_serves_as_many_rollouts_are_let_in_as_fit() {
        let place = Place::claim();
        let world = World::new(place.address(3).port(), 0);
        let lived = world.live(async |server| {
            let shop = server.serving_app().await;
            let capacity = Capacity::new(CapacityConfig {
                memory_bytes: 12 * GIB,
                disk_free_bytes: 0,
                wait_seconds: 0,
            });
            let platform = &server.application.platform;
            // Its two instances of 1 GiB.
            let memory = |rooms: Vec<Room>| (rooms[0].used, rooms[0].limit);
            assert_eq!(
                memory(capacity.rooms(platform).await.unwrap()),
                (2 * GIB, 12 * GIB)
            );
            let wishes: Vec<Wish> = (0..100)
                .map(|number| Wish {
                    deployment: DeploymentId::from_uuid(uuid::Uuid::from_u128(number)),
                    app: AppId::from_uuid(uuid::Uuid::from_u128(number)),
                    user: format!("app-{number}"),
                    memory_bytes: GIB,
                    disk_bytes: 0,
                    needs_range: true,
                    addresses: 1,
                })
                .collect();
            let asked = join_all(wishes.iter().map(|wish| capacity.let_in(platform, wish))).await;
            let too_much = Wish {
                app: shop,
                memory_bytes: 20 * GIB,
                ..wishes[0].clone()
            };
            let of_own = capacity.let_in(platform, &too_much).await.unwrap().unwrap_err();
            assert!(
                of_own.biggest.contains(&("shop".to_owned(), 2 * GIB)),
                "{of_own:?}"
            );
            let (let_in, refused): (Vec<_>, Vec<_>) =
                asked.into_iter().map(Result::unwrap).partition(Result::is_ok);
            assert_eq!(let_in.len(), 10);
            let facts = refused.into_iter().next().and_then(Result::err).unwrap();
            assert_eq!((facts.used, facts.limit, facts.asked), (12 * GIB, 12 * GIB, GIB));
            assert_eq!(
                facts.biggest,
                [(OTHERS.to_owned(), 12 * GIB)],
                "whose apps they are is not told"
            );
            assert_eq!(memory(capacity.rooms(platform).await.unwrap()).0, 12 * GIB);
            drop(let_in);
            assert_eq!(memory(capacity.rooms(platform).await.unwrap()).0, 2 * GIB);
        });
        assert!(lived.is_some());
    }
}
