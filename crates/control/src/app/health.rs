//! How the components of an app are now.

use std::time::Duration;

use futures_util::future::join_all;
use mainstay_api::{ComponentHealth, HealthState, Reason};
use mainstay_engine::{InstanceState, InstanceStats};
use mainstay_spec::{ComponentRef, ids::AppId, kind::ComponentKind};
use mainstay_store::{InstanceEvent, InstanceEventRow, InstanceRow, ReasonRow};

use super::{Application, Refusal};

/// Between the two looks whose difference is the use of the CPU.
const LOOK: Duration = Duration::from_millis(250);
/// Among these the last one of each place is found.
const EVENTS_LOOKED_AT: u64 = 200;

/// An instance at one moment.
struct Seen {
    row: InstanceRow,
    ready: bool,
    stats: Option<(InstanceStats, InstanceStats)>,
}

impl Application {
    /// Services and workers of the deployment that serves.
    pub(crate) async fn health(&self, app: AppId) -> Result<Vec<ComponentHealth>, Refusal> {
        let Some(active) = self.app(app).await?.active else {
            return Ok(Vec::new());
        };
        let rows = self.instances(app).await?;
        let store = &self.platform.store;
        let reasons = store.reasons(active.id).await?;
        let (events, _) = store.instance_events(app, None, 0, EVENTS_LOOKED_AT).await?;
        let seen = join_all(rows.into_iter().map(|row| self.look_at(row, &events))).await;
        let keeps_running = |component: &ComponentRef<'_>| {
            matches!(component.kind(), ComponentKind::Service | ComponentKind::Worker)
        };
        let components = active.spec.components().filter(keeps_running);
        Ok(components
            .map(|component| health_of(component, &seen, &reasons))
            .collect())
    }

    async fn look_at(&self, row: InstanceRow, events: &[InstanceEventRow]) -> Seen {
        let engine = &self.platform.engine;
        let status = engine.status(row.id).await.ok().flatten();
        let runs = status.is_some_and(|status| status.state == InstanceState::Running);
        let last = events
            .iter()
            .find(|event| event.deployment == row.deployment && event.place() == row.name());
        let first = if runs {
            engine.stats(row.id).await.ok()
        } else {
            None
        };
        let mut stats = None;
        if let Some(first) = first {
            tokio::time::sleep(LOOK).await;
            let second = engine.stats(row.id).await.ok();
            stats = second.map(|second| (first, second));
        }
        Seen {
            ready: runs && last.is_none_or(|event| event.event == InstanceEvent::Ready),
            stats,
            row,
        }
    }
}

fn health_of(component: ComponentRef<'_>, seen: &[Seen], reasons: &[ReasonRow]) -> ComponentHealth {
    let of_component: Vec<&Seen> = seen
        .iter()
        .filter(|seen| seen.row.component == component.name() && seen.row.invocation.is_none())
        .collect();
    let desired = component.instance_count();
    let ready = of_component.iter().filter(|seen| seen.ready).count();
    let ready = u32::try_from(ready).unwrap_or(u32::MAX);
    let trouble = reasons
        .iter()
        .find(|row| row.component == component.name() && row.stage == "run" && row.resolved_at.is_none());
    let size = component.instance_size();
    let measured: Vec<_> = of_component
        .iter()
        .filter_map(|seen| seen.stats.as_ref())
        .collect();
    ComponentHealth {
        name: component.name().to_owned(),
        cpu_usage_percent: mean(
            measured
                .iter()
                .map(|(first, second)| cpu_share(first, second, size.cpu_millis)),
        ),
        memory_usage_percent: mean(
            measured
                .iter()
                .map(|(_, second)| percent(second.memory_bytes, size.memory_bytes)),
        ),
        replicas_desired: desired,
        replicas_ready: ready,
        state: if ready >= desired && trouble.is_none() {
            HealthState::Healthy
        } else {
            HealthState::Unhealthy
        },
        reason: trouble.map(|row| Reason::from(row.reason.clone())),
    }
}

/// Of the CPU time that the size allows.
fn cpu_share(first: &InstanceStats, second: &InstanceStats, cpu_millis: u32) -> f64 {
    let elapsed = second.at.duration_since(first.at).as_micros();
    let allowed = u64::try_from(elapsed).unwrap_or(0) * u64::from(cpu_millis) / 1000;
    percent(
        second.cpu_usage_micros.saturating_sub(first.cpu_usage_micros),
        allowed,
    )
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share of a whole needs no more than 52 bits"
)]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64 * 10_000.0).round() / 100.0
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_in_percent_of_what_is_allowed() {
        assert!((percent(256, 512) - 50.0).abs() < f64::EPSILON);
        assert!(percent(1, 0).abs() < f64::EPSILON);
        assert!((mean([10.0, 20.0].into_iter()) - 15.0).abs() < f64::EPSILON);
        assert!(mean(std::iter::empty()).abs() < f64::EPSILON);
    }
}
