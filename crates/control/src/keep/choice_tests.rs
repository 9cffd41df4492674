//! What goes, told on small pasts.

use jiff::Timestamp;
use mainstay_deploy::PhaseKind;
use uuid::Uuid;

use super::choice::*;
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, SystemTime},
};

use mainstay_spec::ids::{AccountId, AppId, BuildId, DeploymentId, InstanceId};
use mainstay_store::{PastDeployment, PastInstance};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Ids are numbers: account 0, its app 1, its deployments 11, 12, …, their builds the same, their instances 1101, 1102, …
struct World {
    past: Past,
    kept: Vec<KeptLog>,
    limits: LogLimits,
}

fn deployment(number: u128) -> DeploymentId {
    DeploymentId::from_uuid(Uuid::from_u128(number))
}

fn account(number: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(number))
}

fn instance(number: u128) -> InstanceId {
    InstanceId::from_uuid(Uuid::from_u128(number))
}

fn build(number: u128) -> BuildId {
    BuildId::from_uuid(Uuid::from_u128(number))
}

impl World {
    fn new() -> Self {
        Self {
            past: Past {
                deployments: Vec::new(),
                builds: Vec::new(),
                instances: Vec::new(),
                held: HashSet::new(),
            },
            kept: Vec::new(),
            limits: LogLimits {
                now: SystemTime::now(),
                age_max: 90 * DAY,
                bytes_max: u64::MAX,
                account_bytes_max: HashMap::new(),
                deployments_max: 100,
                instances_max: 20,
            },
        }
    }

    /// A deployment that ended so long ago, with a build log of that size. Newest first within an app.
    fn ended(mut self, number: u128, phase: PhaseKind, age: Duration, bytes: u64) -> Self {
        self.past.deployments.push(PastDeployment {
            id: deployment(number),
            app: AppId::from_uuid(Uuid::from_u128(number / 10)),
            account: account(number / 100),
            number: u64::try_from(number % 10).unwrap(),
            phase,
            settled: !matches!(phase, PhaseKind::Building),
            active: phase == PhaseKind::Active,
            updated_at: Timestamp::try_from(self.limits.now - age).unwrap(),
        });
        self.past.builds.push((build(number), deployment(number)));
        self.keep(Log::Build(build(number)), age, bytes)
    }

    /// So many instances in one place, started one after the other; the last one runs if `runs`.
    fn instances(mut self, of: u128, count: u128, runs: bool) -> Self {
        for number in 0..count {
            let is_removed = !(runs && number + 1 == count);
            self.past.instances.push(PastInstance {
                id: instance(of * 100 + number),
                deployment: deployment(of),
                component: "web".to_owned(),
                ordinal: 0,
                restarts: u32::try_from(number).unwrap(),
                removed: is_removed,
            });
            if is_removed {
                let age = HOUR * u32::try_from(count - number).unwrap();
                self = self.keep(Log::Instance(instance(of * 100 + number)), age, 10);
            }
        }
        self
    }

    fn keep(mut self, log: Log, age: Duration, bytes: u64) -> Self {
        let at = self.limits.now - age;
        self.kept.push(KeptLog { log, bytes, at });
        self
    }

    fn limits(mut self, change: impl FnOnce(&mut LogLimits)) -> Self {
        change(&mut self.limits);
        self
    }

    fn choose(&self) -> Choice {
        choose(&self.past, self.kept.clone(), &self.limits)
    }

    fn gone(&self) -> Vec<Log> {
        self.choose().logs.into_iter().map(|log| log.log).collect()
    }
}

#[test]
fn old_logs_go_with_their_deployments_rows() {
    let world = World::new()
        .ended(12, PhaseKind::Active, 100 * DAY, 1)
        .ended(11, PhaseKind::Superseded, 91 * DAY, 1)
        .ended(10, PhaseKind::Superseded, 89 * DAY, 1);
    let choice = world.choose();
    assert_eq!(choice.deployments, [deployment(11)]);
    assert_eq!(world.gone(), [Log::Build(build(11))]);
}

#[test]
fn the_row_of_what_can_be_rolled_back_to_stays_but_its_old_log_goes() {
    let mut world = World::new().ended(11, PhaseKind::Superseded, 91 * DAY, 1);
    world.past.held.insert(deployment(11));
    let choice = world.choose();
    assert_eq!(choice.deployments, []);
    assert_eq!(choice.logs.len(), 1);
}

#[test]
fn the_newest_failure_stays_whatever_comes() {
    let world = World::new()
        .ended(14, PhaseKind::Active, DAY, 50)
        .ended(13, PhaseKind::Superseded, 100 * DAY, 50)
        .ended(12, PhaseKind::Failed, 200 * DAY, 50)
        .ended(11, PhaseKind::Failed, 201 * DAY, 50)
        .limits(|limits| {
            limits.bytes_max = 0;
            limits.deployments_max = 1;
        });
    assert_eq!(world.gone(), [Log::Build(build(13)), Log::Build(build(11))]);
    assert_eq!(world.choose().deployments, [deployment(13), deployment(11)]);
}

#[test]
fn what_goes_on_stays() {
    let world = World::new()
        .ended(11, PhaseKind::Building, 100 * DAY, 50)
        .instances(11, 2, false)
        .limits(|limits| limits.bytes_max = 0);
    let choice = world.choose();
    assert_eq!(
        (choice.logs, choice.instances, choice.deployments),
        Default::default()
    );
    assert_eq!(choice.staying, HashMap::from([(account(0), 70)]));
}

#[test]
fn the_largest_app_gives_way_with_its_oldest_first() {
    let world = World::new()
        .ended(13, PhaseKind::Canceled, DAY, 40)
        .ended(12, PhaseKind::Canceled, 2 * DAY, 40)
        .ended(11, PhaseKind::Canceled, 3 * DAY, 40)
        // Older than all of the noisy app's, and still no reason to go.
        .ended(21, PhaseKind::Canceled, 9 * DAY, 10);
    let gone = |world: World, bytes_max: u64| world.limits(|limits| limits.bytes_max = bytes_max).gone();
    assert_eq!(gone(world, 90), [Log::Build(build(11))]);
}

#[test]
fn an_account_above_its_limit_gives_way_alone() {
    let world = World::new()
        .ended(12, PhaseKind::Canceled, DAY, 40)
        .ended(11, PhaseKind::Canceled, 2 * DAY, 40)
        .ended(21, PhaseKind::Canceled, 3 * DAY, 10)
        .ended(101, PhaseKind::Canceled, 9 * DAY, 500)
        .limits(|limits| limits.account_bytes_max = HashMap::from([(account(0), 50)]));
    assert_eq!(world.gone(), [Log::Build(build(11))]);
    let staying = HashMap::from([(account(0), 50), (account(1), 500)]);
    assert_eq!(world.choose().staying, staying);
}

#[test]
fn too_many_deployments_are_forgotten_with_their_logs() {
    let world = World::new()
        .ended(13, PhaseKind::Canceled, HOUR, 1)
        .ended(12, PhaseKind::Canceled, 2 * HOUR, 1)
        .ended(11, PhaseKind::Canceled, 3 * HOUR, 1)
        .instances(11, 1, false)
        .limits(|limits| limits.deployments_max = 2);
    assert_eq!(world.choose().deployments, [deployment(11)]);
    assert_eq!(
        world.gone(),
        [Log::Build(build(11)), Log::Instance(instance(1100))]
    );
}

#[test]
fn of_a_crash_loop_the_first_and_the_newest_ends_are_kept() {
    let world = World::new()
        .ended(11, PhaseKind::Active, 100 * DAY, 1)
        .instances(11, 8, true)
        .limits(|limits| limits.instances_max = 4);
    let choice = world.choose();
    let expected = [1101, 1102, 1103].map(instance);
    assert_eq!(choice.instances, expected);
    assert_eq!(world.gone(), expected.map(Log::Instance));

    // For want of room, what is between the first and the one before goes, too; never the one that runs.
    let world = world.limits(|limits| limits.bytes_max = 0);
    let gone = [1101, 1102, 1103, 1104, 1105].map(instance).map(Log::Instance);
    assert_eq!(world.gone(), gone);
}

#[test]
fn what_is_nobodys_goes_when_it_stays_nobodys() {
    let world = World::new()
        .keep(Log::Build(build(1)), HOUR / 2, 1)
        .keep(Log::Build(build(2)), 2 * HOUR, 1)
        .keep(Log::Deployment(deployment(3)), 2 * HOUR, 1)
        .keep(Log::Instance(instance(4)), 2 * HOUR, 1);
    let expected = [
        Log::Build(build(2)),
        Log::Deployment(deployment(3)),
        Log::Instance(instance(4)),
    ];
    assert_eq!(world.gone(), expected);
}
