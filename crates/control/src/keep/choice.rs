//! Which logs and records go. Pure.
//!
//! Age decides first. Then, while an account's logs, or all together, take more than they may, the app that takes most gives way with its oldest:
//! one app's noise never costs another its evidence.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::{Duration, SystemTime},
};

use mainstay_deploy::PhaseKind;
use mainstay_spec::ids::{AccountId, AppId, BuildId, DeploymentId, InstanceId};
use mainstay_store::{PastDeployment, PastInstance};

/// What belongs to nobody may have an owner in a moment.
const ORPHANS_KEPT: Duration = Duration::from_hours(1);
/// Of the ended instances in one place: the first shows what began it, the newest two what goes on.
const FIRST_KEPT: usize = 1;
const NEWEST_KEPT: usize = 2;

/// A log, with or without a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Log {
    Build(BuildId),
    Deployment(DeploymentId),
    Instance(InstanceId),
}

/// A log that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeptLog {
    pub log: Log,
    pub bytes: u64,
    /// When it was written last.
    pub at: SystemTime,
}

/// How much may stay.
#[derive(Debug, Clone)]
pub(super) struct LogLimits {
    pub now: SystemTime,
    pub age_max: Duration,
    pub bytes_max: u64,
    /// Of an account's apps together; who is not there is not limited.
    pub account_bytes_max: HashMap<AccountId, u64>,
    pub deployments_max: usize,
    pub instances_max: usize,
}

/// What is known of the past, by id.
#[derive(Debug)]
pub(super) struct Past {
    pub deployments: Vec<PastDeployment>,
    pub builds: Vec<(BuildId, DeploymentId)>,
    pub instances: Vec<PastInstance>,
    /// Their images stay, so their rows do.
    pub held: HashSet<DeploymentId>,
}

/// What goes, in this order: a row goes when nothing on disk needs it any more to be found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub logs: Vec<KeptLog>,
    /// Instances to forget altogether.
    pub instances: Vec<InstanceId>,
    /// Deployments to forget altogether.
    pub deployments: Vec<DeploymentId>,
    /// Bytes of the logs that stay, by whose they are.
    pub staying: HashMap<AccountId, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tie {
    /// Stays.
    Firm,
    /// Goes by age or for room.
    Loose,
    /// Its place has too many, or its deployment is forgotten.
    Surplus,
}

pub(super) fn choose(past: &Past, kept: Vec<KeptLog>, limits: &LogLimits) -> Choice {
    let deployments = forgotten_deployments(past, limits);
    let instances = surplus_instances(past, limits);
    let ties = Ties::new(past, &deployments, &instances);
    let mut logs = Vec::new();
    let mut apps: BTreeMap<AppId, AppLogs> = BTreeMap::new();
    let age = |at: SystemTime| limits.now.duration_since(at).unwrap_or_default();
    for mut log in kept {
        let Some(owner) = ties.owner(log.log) else {
            if age(log.at) > ORPHANS_KEPT {
                logs.push(log);
            }
            continue;
        };
        log.at = owner.ended_at.unwrap_or(log.at);
        match owner.tie {
            Tie::Surplus => logs.push(log),
            Tie::Loose if age(log.at) > limits.age_max => logs.push(log),
            tie => apps
                .entry(owner.app)
                .or_insert_with(|| AppLogs::new(owner.account))
                .add(log, tie),
        }
    }
    apps.values_mut().for_each(AppLogs::sort);
    for (account, bytes_max) in &limits.account_bytes_max {
        let of_account = apps.values_mut().filter(|app| app.account == *account);
        logs.extend(give_way(of_account.collect(), *bytes_max));
    }
    logs.extend(give_way(apps.values_mut().collect(), limits.bytes_max));
    Choice {
        logs,
        instances,
        deployments,
        staying: by_account(apps.values()),
    }
}

fn by_account<'a>(apps: impl Iterator<Item = &'a AppLogs>) -> HashMap<AccountId, u64> {
    let mut accounts = HashMap::new();
    for app in apps {
        *accounts.entry(app.account).or_default() += app.bytes;
    }
    accounts
}

/// One app's logs that are young enough.
#[derive(Debug)]
struct AppLogs {
    account: AccountId,
    bytes: u64,
    loose: VecDeque<KeptLog>,
}

impl AppLogs {
    fn new(account: AccountId) -> Self {
        Self {
            account,
            bytes: 0,
            loose: VecDeque::new(),
        }
    }

    fn add(&mut self, log: KeptLog, tie: Tie) {
        self.bytes += log.bytes;
        if tie == Tie::Loose {
            self.loose.push_back(log);
        }
    }

    /// The oldest first.
    fn sort(&mut self) {
        self.loose.make_contiguous().sort_by_key(|log| log.at);
    }
}

/// What these apps let go of until they take no more than that together.
fn give_way(mut apps: Vec<&mut AppLogs>, bytes_max: u64) -> Vec<KeptLog> {
    let mut total: u64 = apps.iter().map(|app| app.bytes).sum();
    let mut gone = Vec::new();
    while total > bytes_max {
        let largest = apps
            .iter_mut()
            .filter(|app| !app.loose.is_empty())
            .max_by_key(|app| app.bytes);
        let Some(app) = largest else { break };
        let Some(oldest) = app.loose.pop_front() else {
            break;
        };
        app.bytes -= oldest.bytes;
        total -= oldest.bytes;
        gone.push(oldest);
    }
    gone
}

// === whose a log is, and how firmly it stays ===

/// Whose a log is.
#[derive(Debug, Clone, Copy)]
struct Owner {
    app: AppId,
    account: AccountId,
    tie: Tie,
    /// When the deployment's last event was; `None` for an instance, whose record knows better.
    ended_at: Option<SystemTime>,
}

struct Ties {
    deployments: HashMap<DeploymentId, Owner>,
    builds: HashMap<BuildId, DeploymentId>,
    instances: HashMap<InstanceId, (DeploymentId, Tie)>,
}

impl Ties {
    fn new(past: &Past, forgotten: &[DeploymentId], surplus: &[InstanceId]) -> Self {
        let forgotten: HashSet<&DeploymentId> = forgotten.iter().collect();
        let surplus: HashSet<&InstanceId> = surplus.iter().collect();
        let failed = newest_failed(&past.deployments);
        let tie = |row: &PastDeployment| match () {
            () if forgotten.contains(&row.id) => Tie::Surplus,
            () if row.active || !row.settled || failed.contains(&row.id) => Tie::Firm,
            () => Tie::Loose,
        };
        let owner = |row: &PastDeployment| Owner {
            app: row.app,
            account: row.account,
            tie: tie(row),
            ended_at: Some(row.updated_at.into()),
        };
        let deployments = past.deployments.iter().map(|row| (row.id, owner(row)));
        let mut instances = HashMap::new();
        for place in places(&past.instances) {
            let last = place.len().saturating_sub(NEWEST_KEPT);
            for (index, row) in place.into_iter().enumerate() {
                let tie = match () {
                    () if surplus.contains(&row.id) => Tie::Surplus,
                    () if !row.removed || index < FIRST_KEPT || index >= last => Tie::Firm,
                    () => Tie::Loose,
                };
                instances.insert(row.id, (row.deployment, tie));
            }
        }
        Self {
            deployments: deployments.collect(),
            builds: past.builds.iter().copied().collect(),
            instances,
        }
    }

    /// `None`: nobody's.
    fn owner(&self, log: Log) -> Option<Owner> {
        let deployment = match log {
            Log::Deployment(id) => id,
            Log::Build(id) => *self.builds.get(&id)?,
            Log::Instance(id) => {
                let (deployment, own) = *self.instances.get(&id)?;
                let owner = *self.deployments.get(&deployment)?;
                return Some(Owner {
                    tie: weaker(own, owner.tie),
                    ended_at: None,
                    ..owner
                });
            }
        };
        self.deployments.get(&deployment).copied()
    }
}

fn weaker(one: Tie, other: Tie) -> Tie {
    match (one, other) {
        (Tie::Surplus, _) | (_, Tie::Surplus) => Tie::Surplus,
        (Tie::Loose, _) | (_, Tie::Loose) => Tie::Loose,
        _ => Tie::Firm,
    }
}

/// Instances by deployment, component and ordinal, each in the order of their starts. They come sorted from the store.
fn places(instances: &[PastInstance]) -> Vec<Vec<&PastInstance>> {
    let same = |one: &PastInstance, other: &PastInstance| {
        (one.deployment, &one.component, one.ordinal) == (other.deployment, &other.component, other.ordinal)
    };
    instances
        .chunk_by(same)
        .map(|place| place.iter().collect())
        .collect()
}

/// Of each place, what is between the first and the newest `instances_max`.
fn surplus_instances(past: &Past, limits: &LogLimits) -> Vec<InstanceId> {
    let mut surplus = Vec::new();
    for place in places(&past.instances) {
        let last = place.len().saturating_sub(limits.instances_max.max(NEWEST_KEPT));
        let between = place.into_iter().take(last).skip(FIRST_KEPT);
        surplus.extend(between.filter(|row| row.removed).map(|row| row.id));
    }
    surplus
}

/// Too old, or too many newer ones: of those that ended and are not held.
fn forgotten_deployments(past: &Past, limits: &LogLimits) -> Vec<DeploymentId> {
    let failed = newest_failed(&past.deployments);
    let mut forgotten = Vec::new();
    for app in past.deployments.chunk_by(|one, other| one.app == other.app) {
        for (index, row) in app.iter().enumerate() {
            let at = SystemTime::from(row.updated_at);
            let age = limits.now.duration_since(at).unwrap_or_default();
            let is_needed =
                !row.settled || row.active || past.held.contains(&row.id) || failed.contains(&row.id);
            if !is_needed && (age > limits.age_max || index >= limits.deployments_max) {
                forgotten.push(row.id);
            }
        }
    }
    forgotten
}

/// Each app's newest failure. Deployments come from the store by app, newest first.
fn newest_failed(deployments: &[PastDeployment]) -> HashSet<DeploymentId> {
    deployments
        .chunk_by(|one, other| one.app == other.app)
        .filter_map(|app| app.iter().find(|row| row.phase == PhaseKind::Failed))
        .map(|row| row.id)
        .collect()
}
