//! What was promised to whom. Pure but for its lock.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use mainstay_diagnosis::facts::{QuotaFacts, QuotaScope, QuotaUnit};
use mainstay_spec::ids::{AppId, DeploymentId};

use super::{ADDRESSES, DISK, MEMORY, OTHERS, RANGES, lock, machine::Machine};

/// How many of the biggest users are named.
const BIGGEST: usize = 3;

/// What a build or a rollout asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub app: AppId,
    pub deployment: DeploymentId,
    /// The app's name.
    pub user: String,
    pub memory_bytes: u64,
    /// What has to be free, and to stay so for it alone.
    pub disk_bytes: u64,
    /// The app runs something, and so has to have a range of the network's addresses.
    pub needs_range: bool,
    /// How many of its range.
    pub addresses: u64,
}

/// By the claim's number.
type Held = HashMap<u64, Wish>;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    held: Arc<Mutex<Held>>,
    numbers: AtomicU64,
}

/// Room that is promised. Dropped, it is free for others.
#[derive(Debug)]
pub(crate) struct Claim {
    held: Arc<Mutex<Held>>,
    number: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.held).remove(&self.number);
    }
}

impl Ledger {
    /// Looks and promises at one instant: however many ask, nothing is promised twice.
    pub(super) fn claim(&self, wish: &Wish, machine: &Machine) -> Result<Claim, Box<QuotaFacts>> {
        let mut held = lock(&self.held);
        let refused = range_refused(&held, wish, machine)
            .or_else(|| addresses_refused(wish, machine))
            .or_else(|| memory_refused(&held, wish, machine))
            .or_else(|| disk_refused(&held, wish, machine));
        match refused {
            Some(facts) => Err(Box::new(facts)),
            None => Ok(self.note(&mut held, wish)),
        }
    }

    pub(super) fn hold(&self, wish: &Wish) -> Claim {
        self.note(&mut lock(&self.held), wish)
    }

    fn note(&self, held: &mut Held, wish: &Wish) -> Claim {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        held.insert(number, wish.clone());
        Claim {
            held: Arc::clone(&self.held),
            number,
        }
    }

    pub(super) fn memory_used(&self, machine: &Machine) -> u64 {
        let users = memory_by_user(&lock(&self.held), machine, None);
        users.into_values().fold(0, u64::saturating_add)
    }
}

/// An app has its range as long as it lives, so that nobody is a bigger user than others.
fn range_refused(held: &Held, wish: &Wish, machine: &Machine) -> Option<QuotaFacts> {
    let network = machine.network.as_ref()?;
    let has_none = |app: &AppId| !network.room.apps.contains(app);
    if !wish.needs_range || !has_none(&wish.app) {
        return None;
    }
    let promised: HashSet<AppId> = held
        .values()
        .filter(|held| held.needs_range && held.app != wish.app)
        .map(|held| held.app)
        .filter(has_none)
        .collect();
    let promised = u64::try_from(promised.len()).unwrap_or(u64::MAX);
    let used = network.ranges_used().saturating_add(promised);
    (used >= network.ranges()).then(|| QuotaFacts {
        resource: RANGES.to_owned(),
        unit: QuotaUnit::Count,
        limit: network.ranges(),
        used,
        asked: 1,
        ..of_node()
    })
}

/// Both versions count during a rollout, for both run; what the deployment itself has started already is asked for.
fn addresses_refused(wish: &Wish, machine: &Machine) -> Option<QuotaFacts> {
    let network = machine.network.as_ref()?;
    let limit = u64::from(network.room.instances_of_app);
    // A database's server is there before the rollout, and asked for with it.
    let mut asked = wish.addresses;
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    for (deployment, user, count) in &network.of_app {
        match deployment {
            None => asked = asked.saturating_sub(*count),
            Some(deployment) if *deployment == wish.deployment => continue,
            Some(_) => {}
        }
        *users.entry(user.clone()).or_default() += count;
    }
    let used = users.values().copied().fold(0, u64::saturating_add);
    if wish.addresses == 0 || used.saturating_add(asked) <= limit {
        return None;
    }
    Some(QuotaFacts {
        resource: ADDRESSES.to_owned(),
        unit: QuotaUnit::Count,
        limit,
        used,
        asked,
        biggest: biggest(users),
        ..of_node()
    })
}

fn memory_refused(held: &Held, wish: &Wish, machine: &Machine) -> Option<QuotaFacts> {
    if wish.memory_bytes == 0 {
        return None;
    }
    let users = memory_by_user(held, machine, Some(wish.deployment));
    let used = users.values().copied().fold(0, u64::saturating_add);
    let fits = used.saturating_add(wish.memory_bytes) <= machine.memory_bytes;
    (!fits).then(|| QuotaFacts {
        resource: MEMORY.to_owned(),
        limit: machine.memory_bytes,
        used,
        asked: wish.memory_bytes,
        biggest: biggest(users),
        ..of_node()
    })
}

fn biggest(users: BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut biggest: Vec<(String, u64)> = users.into_iter().collect();
    biggest.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
    biggest.truncate(BIGGEST);
    biggest
}

/// A deployment counts by what is there of it or by what was promised to it, whatever is more; `but` does not count.
fn memory_by_user(held: &Held, machine: &Machine, but: Option<DeploymentId>) -> BTreeMap<String, u64> {
    let mut of_deployments: HashMap<DeploymentId, (&str, u64)> = HashMap::new();
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    for taken in &machine.memory_taken {
        let bytes = match taken.deployment {
            Some(deployment) => &mut of_deployments.entry(deployment).or_insert((&taken.user, 0)).1,
            None => users.entry(taken.user.clone()).or_default(),
        };
        *bytes = bytes.saturating_add(taken.bytes);
    }
    for wish in held.values() {
        let is_told = machine.named.contains(&wish.app);
        let user = if is_told { wish.user.as_str() } else { OTHERS };
        let (_, bytes) = of_deployments.entry(wish.deployment).or_insert((user, 0));
        *bytes = (*bytes).max(wish.memory_bytes);
    }
    for (deployment, (user, bytes)) in of_deployments {
        if Some(deployment) != but && bytes > 0 {
            let sum = users.entry(user.to_owned()).or_default();
            *sum = sum.saturating_add(bytes);
        }
    }
    users
}

fn disk_refused(held: &Held, wish: &Wish, machine: &Machine) -> Option<QuotaFacts> {
    // The builds and the rollout of one deployment share their room.
    let others: HashMap<DeploymentId, u64> = held
        .values()
        .filter(|held| held.deployment != wish.deployment)
        .map(|held| (held.deployment, held.disk_bytes))
        .collect();
    let promised = others.into_values().fold(0, u64::saturating_add);
    let free = machine.disk_free_bytes.saturating_sub(promised);
    (wish.disk_bytes > free).then(|| QuotaFacts {
        resource: DISK.to_owned(),
        limit: machine.disk_bytes,
        used: machine.disk_bytes.saturating_sub(free),
        asked: wish.disk_bytes,
        ..of_node()
    })
}

fn of_node() -> QuotaFacts {
    QuotaFacts {
        resource: String::new(),
        scope: QuotaScope::Node,
        unit: QuotaUnit::Bytes,
        limit: 0,
        used: 0,
        asked: 0,
        biggest: Vec::new(),
        waiting: false,
    }
}

#[cfg(test)]
mod tests {
    use mainstay_engine::NetworkRoom;

    use super::*;
    use crate::capacity::machine::{Network, Taken};

    const GIB: u64 = 1 << 30;

    fn deployment(number: u128) -> DeploymentId {
        DeploymentId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn app(number: u128) -> AppId {
        AppId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn wish(number: u128, memory_bytes: u64) -> Wish {
        Wish {
            app: app(number),
            deployment: deployment(number),
            user: format!("app-{number}"),
            memory_bytes,
            disk_bytes: GIB,
            needs_range: true,
            addresses: 1,
        }
    }

    fn machine(taken: &[(u128, u64)]) -> Machine {
        let taken = taken.iter().map(|(number, bytes)| Taken {
            deployment: Some(deployment(*number)),
            user: format!("app-{number}"),
            bytes: *bytes,
        });
        Machine {
            memory_bytes: 10 * GIB,
            memory_taken: taken.collect(),
            named: HashSet::new(),
            disk_bytes: 1000 * GIB,
            disk_free_bytes: 500 * GIB,
            network: None,
        }
    }

    /// Of these apps each has a range; one has room for ten instances.
    fn with_network(apps: &[u128], free: usize, of_app: &[(Option<u128>, &str, u64)]) -> Machine {
        let of_app = of_app
            .iter()
            .map(|(number, user, count)| (number.map(deployment), (*user).to_owned(), *count));
        Machine {
            network: Some(Network {
                room: NetworkRoom {
                    apps: apps.iter().copied().map(app).collect(),
                    free,
                    instances_of_app: 10,
                },
                of_app: of_app.collect(),
            }),
            ..machine(&[])
        }
    }

    #[test]
    fn the_last_range_is_promised_to_one_app() {
        let ledger = Ledger::default();
        let machine = with_network(&[1, 2], 1, &[]);
        let claim = ledger.claim(&wish(3, 0), &machine).unwrap();
        let refused = ledger.claim(&wish(4, 0), &machine).unwrap_err();
        assert_eq!(
            (
                refused.resource.as_str(),
                refused.limit,
                refused.used,
                refused.asked
            ),
            (RANGES, 3, 3, 1)
        );
        assert!(ledger.claim(&wish(1, 0), &machine).is_ok(), "it has its own");
        assert!(
            ledger.claim(&wish(3, 0), &machine).is_ok(),
            "it is promised its own"
        );
        let site = Wish {
            needs_range: false,
            addresses: 0,
            ..wish(5, 0)
        };
        assert!(ledger.claim(&site, &machine).is_ok(), "files need none");
        drop(claim);
        assert!(ledger.claim(&wish(4, 0), &machine).is_ok());
    }

    #[test]
    fn both_versions_of_an_app_and_its_databases_have_to_fit_in_its_range() {
        let ledger = Ledger::default();
        let running = [(Some(7), "web", 4), (None, "db", 1), (Some(1), "web", 2)];
        let machine = with_network(&[1], 0, &running);
        let asks = |addresses| Wish {
            addresses,
            ..wish(1, 0)
        };
        // The database, which is there, and five more.
        assert!(ledger.claim(&asks(6), &machine).is_ok());
        let refused = ledger.claim(&asks(7), &machine).unwrap_err();
        assert_eq!(
            (
                refused.resource.as_str(),
                refused.limit,
                refused.used,
                refused.asked
            ),
            (ADDRESSES, 10, 5, 6)
        );
        let biggest = [("web", 4), ("db", 1)].map(|(user, count)| (user.to_owned(), count));
        assert_eq!(refused.biggest, biggest);
        assert!(super::super::Capacity::is_hopeless(
            &ledger.claim(&asks(12), &machine).unwrap_err()
        ));
    }

    #[test]
    fn of_a_hundred_at_once_as_many_are_let_in_as_fit() {
        let (ledger, machine) = (Ledger::default(), machine(&[]));
        let claims: Vec<Claim> = std::thread::scope(|scope| {
            let asks: Vec<_> = (0..100)
                .map(|number| {
                    let (ledger, machine) = (&ledger, &machine);
                    scope.spawn(move || ledger.claim(&wish(number, GIB), machine).ok())
                })
                .collect();
            asks.into_iter().filter_map(|ask| ask.join().unwrap()).collect()
        });
        assert_eq!((claims.len(), ledger.memory_used(&machine)), (10, 10 * GIB));
        drop(claims);
        assert_eq!(ledger.memory_used(&machine), 0, "what is given back is free");
    }

    #[test]
    fn a_refusal_has_the_numbers_and_the_biggest_users() {
        let ledger = Ledger::default();
        let machine = machine(&[(1, GIB), (2, 4 * GIB), (3, 2 * GIB), (4, 2 * GIB)]);
        let refused = ledger.claim(&wish(5, 2 * GIB), &machine).unwrap_err();
        assert_eq!(
            (refused.limit, refused.used, refused.asked),
            (10 * GIB, 9 * GIB, 2 * GIB)
        );
        let biggest = [("app-2", 4 * GIB), ("app-3", 2 * GIB), ("app-4", 2 * GIB)];
        assert_eq!(
            refused.biggest,
            biggest.map(|(user, bytes)| (user.to_owned(), bytes))
        );
        assert_eq!(refused.scope, QuotaScope::Node);
        assert!(ledger.claim(&wish(5, GIB), &machine).is_ok());
    }

    #[test]
    fn what_a_rollout_has_started_of_its_promise_counts_once() {
        let ledger = Ledger::default();
        let empty = machine(&[]);
        let _claim = ledger.claim(&wish(1, 6 * GIB), &empty).unwrap();
        let half = machine(&[(1, 3 * GIB)]);
        assert_eq!(ledger.memory_used(&half), 6 * GIB);
        assert!(ledger.claim(&wish(2, 5 * GIB), &half).is_err());
        assert!(
            ledger.claim(&wish(1, 6 * GIB), &half).is_ok(),
            "it asks again after a restart"
        );
    }

    #[test]
    fn the_same_disk_is_not_promised_twice() {
        let ledger = Ledger::default();
        let tight = Machine {
            disk_free_bytes: 2 * GIB,
            ..machine(&[])
        };
        let claims = [1, 2].map(|number| ledger.claim(&wish(number, 0), &tight).unwrap());
        let refused = ledger.claim(&wish(3, 0), &tight).unwrap_err();
        assert_eq!((refused.resource.as_str(), refused.asked), (DISK, GIB));
        assert_eq!(refused.used, refused.limit);
        assert!(
            ledger.claim(&wish(1, 0), &tight).is_ok(),
            "a deployment's builds share their room"
        );
        drop(claims);
        assert!(ledger.claim(&wish(3, 0), &tight).is_ok());
    }
}
