//! The replicas of one deployment, and what is known of each.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use mainstay_diagnosis::{Reason, facts::Changes};
use mainstay_engine::{InstanceState, InstanceStatus};
use mainstay_spec::ids::{DeploymentId, InstanceId};
use mainstay_store::DeploymentRow;
use tokio::sync::{mpsc, watch};

use super::{
    actor::Message,
    builds,
    instance_plan::InstancePlan,
    replica::{News, Orders, Replica, Report},
    starts::{Gate, Stragglers},
    switch::{self, ReadyInstances},
};
use crate::platform::{Platform, PlatformError};

const REPORTS: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Fleet {
    plans: Vec<Arc<InstancePlan>>,
    /// Of components whose instances are still another fleet's: see [`Fleet::take_in`].
    kept: Vec<Arc<InstancePlan>>,
    slots: BTreeMap<(String, u32), Slot>,
    lead: Option<Lead>,
}

/// What keeps the replicas going.
#[derive(Debug)]
struct Lead {
    released: watch::Sender<bool>,
    gate: Arc<Gate>,
    stragglers: Stragglers,
}

/// One replica, as last reported.
#[derive(Debug, Default)]
struct Slot {
    ready: Option<super::actor::ReadyInstance>,
    reason: Option<Box<Reason>>,
    /// The last reason, also when it was ready again since.
    last_reason: Option<Box<Reason>>,
}

impl Fleet {
    /// Plans everything, starts nothing. What is not renewed is left to the fleet that has it, until it is taken in.
    pub(crate) async fn prepare(
        platform: &Platform,
        row: &DeploymentRow,
        changes: &Changes,
        renewed: impl Fn(&str) -> bool,
    ) -> Result<Self, PlatformError> {
        let plans = builds::instance_plans(platform, row, changes).await?;
        // Jobs end by themselves: each run is planned on its own.
        let plans = plans.into_iter().filter(|plan| plan.job.is_none()).map(Arc::new);
        let (plans, kept) = plans.partition(|plan| renewed(&plan.component));
        let (released, _) = watch::channel(false);
        let (gate, stragglers) = Gate::new();
        Ok(Self {
            plans,
            kept,
            slots: BTreeMap::new(),
            lead: Some(Lead {
                released,
                gate: Arc::new(gate),
                stragglers,
            }),
        })
    }

    pub(crate) fn plans(&self) -> &[Arc<InstancePlan>] {
        &self.plans
    }

    pub(crate) async fn start_all(
        &mut self,
        platform: &Arc<Platform>,
        outbox: &mpsc::Sender<(DeploymentId, Message)>,
        was_ready: bool,
    ) -> Result<(), PlatformError> {
        for plan in self.plans.clone() {
            self.start(platform, &plan.component, outbox, was_ready).await?;
        }
        Ok(())
    }

    /// Whether the component's instances are another fleet's, and stay as they are.
    pub(crate) fn keeps(&self, component: &str) -> bool {
        self.kept.iter().any(|plan| plan.component == component)
    }

    /// Whether there are instances that it keeps and has not taken in.
    pub(crate) fn is_incomplete(&self) -> bool {
        !self.kept.is_empty()
    }

    /// What this fleet, which serves, has ready of the components that another one keeps.
    pub(crate) fn ready_for(&self, other: &Self) -> ReadyInstances {
        let mut ready = self.ready();
        ready.retain(|component, _| other.keeps(component));
        ready
    }

    /// The instances that it keeps are its own from now on. The store has to say so, and nobody else may look after them.
    pub(crate) async fn take_in(
        &mut self,
        platform: &Arc<Platform>,
        outbox: &mpsc::Sender<(DeploymentId, Message)>,
    ) -> Result<(), PlatformError> {
        for plan in std::mem::take(&mut self.kept) {
            let component = plan.component.clone();
            self.plans.push(plan);
            self.start(platform, &component, outbox, true).await?;
        }
        Ok(())
    }

    /// Starts the component's replicas. Instances that are running already are taken over.
    pub(crate) async fn start(
        &mut self,
        platform: &Arc<Platform>,
        component: &str,
        outbox: &mpsc::Sender<(DeploymentId, Message)>,
        was_ready: bool,
    ) -> Result<(), PlatformError> {
        let Some(plan) = self
            .plans
            .iter()
            .find(|plan| plan.component == component)
            .cloned()
        else {
            return Ok(());
        };
        let Some(lead) = &self.lead else {
            return Ok(());
        };
        let mut running = running(platform, &plan).await?;
        let reports = forward(platform, plan.deployment, outbox.clone());
        for ordinal in 0..plan.count {
            let adopted = running.remove(&ordinal);
            let mut slot = Slot::default();
            if was_ready {
                slot.ready = adopted
                    .as_ref()
                    .and_then(|status| Some((status.id, status.address?)));
            }
            self.slots.insert((component.to_owned(), ordinal), slot);
            let replica = Replica::new(
                Arc::clone(platform),
                Arc::clone(&plan),
                ordinal,
                was_ready,
                reports.clone(),
                Orders {
                    released: lead.released.subscribe(),
                    gate: Arc::clone(&lead.gate),
                },
            );
            platform.tasks.spawn(replica.run(adopted));
        }
        Ok(())
    }

    pub(crate) fn note(&mut self, report: &Report) {
        let Some(slot) = self.slots.get_mut(&(report.component.clone(), report.ordinal)) else {
            return;
        };
        match &report.news {
            News::Ready { instance, address } => {
                slot.ready = Some((*instance, *address));
                slot.reason = None;
            }
            News::NotReady { reason } => {
                slot.ready = None;
                slot.reason.clone_from(reason);
                slot.last_reason = reason.clone().or(slot.last_reason.take());
            }
            News::Failed { reason } => {
                slot.ready = None;
                slot.reason = Some(reason.clone());
                slot.last_reason = Some(reason.clone());
            }
        }
    }

    /// Whether all replicas of the component are ready.
    pub(crate) fn is_ready(&self, component: &str) -> bool {
        self.slots
            .iter()
            .filter(|((name, _), _)| name == component)
            .all(|(_, slot)| slot.ready.is_some())
    }

    pub(crate) fn ready(&self) -> ReadyInstances {
        let mut ready = ReadyInstances::new();
        for ((component, _), slot) in &self.slots {
            ready.entry(component.clone()).or_default().extend(slot.ready);
        }
        ready
    }

    /// Whether something is wrong with one of the component's replicas.
    pub(crate) fn is_troubled(&self, component: &str) -> bool {
        let of_component =
            |((name, _), slot): (&(String, u32), &Slot)| name == component && slot.reason.is_some();
        self.slots.iter().any(of_component)
    }

    /// What is wrong with the first replica that is not ready.
    pub(crate) fn first_reason(&self) -> Option<(String, Box<Reason>)> {
        self.slots
            .iter()
            .find_map(|((component, _), slot)| Some((component.clone(), slot.reason.clone()?)))
    }

    /// What the component's replicas told last, whether or not they are ready now.
    pub(crate) fn last_reason(&self, component: &str) -> Option<Box<Reason>> {
        let mut slots = self.slots.iter();
        slots.find_map(|((name, _), slot)| slot.last_reason.clone().filter(|_| name == component))
    }

    /// Brings the router and the app's network in line with what is ready.
    pub(crate) async fn show(&self, platform: &Platform, row: &DeploymentRow) -> Result<(), PlatformError> {
        let ready = self.ready();
        let hosts = switch::hosts(platform, row, &ready, &self.reasons()).await?;
        platform.routes.set_app(row.app, hosts).await?;
        switch::announce(platform, row, &ready).await
    }

    /// Component → what its visitors are told while none of its replicas is ready.
    fn reasons(&self) -> HashMap<String, Box<Reason>> {
        self.slots
            .iter()
            .filter_map(|((component, _), slot)| Some((component.clone(), slot.reason.clone()?)))
            .collect()
    }

    /// Ends the replicas; their instances go on until they are retired, which has to wait for the stragglers.
    pub(crate) fn release(&mut self) -> Option<Stragglers> {
        let lead = self.lead.take()?;
        lead.gate.close();
        lead.released.send_replace(true);
        Some(lead.stragglers)
    }
}

/// The component's running instances by ordinal. Whose they are is for the store to say: a restart may have handed them over.
async fn running(
    platform: &Platform,
    plan: &InstancePlan,
) -> Result<HashMap<u32, InstanceStatus>, PlatformError> {
    let rows = platform.store.instances_of_deployment(plan.deployment).await?;
    let own: HashMap<InstanceId, u32> = rows
        .into_iter()
        .filter(|row| !row.removed && row.invocation.is_none() && row.component == plan.component)
        .map(|row| (row.id, row.ordinal))
        .collect();
    let listed = platform.engine.list().await?;
    let running = listed
        .into_iter()
        .filter(|status| status.state == InstanceState::Running);
    Ok(running
        .filter_map(|status| Some((*own.get(&status.id)?, status)))
        .collect())
}

/// Marks the replicas' reports with their deployment.
fn forward(
    platform: &Platform,
    deployment: DeploymentId,
    outbox: mpsc::Sender<(DeploymentId, Message)>,
) -> mpsc::Sender<Report> {
    let (sender, mut reports) = mpsc::channel(REPORTS);
    platform.tasks.spawn(async move {
        while let Some(report) = reports.recv().await {
            if outbox.send((deployment, Message::Report(report))).await.is_err() {
                return;
            }
        }
    });
    sender
}
