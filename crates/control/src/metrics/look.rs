//! One look at all instances that run.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use mainstay_engine::InstanceStats;
use mainstay_spec::{
    ids::{DeploymentId, InstanceId},
    sizes::InstanceSize,
};
use mainstay_store::{NewSample, PlaceRow};
use tokio::time::timeout;

use crate::platform::{Platform, PlatformError};

/// Instances that are asked at the same time.
const AT_ONCE: usize = 16;
/// For the answer of one: there will be another look.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// What earlier looks found.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// CPU time that each instance had used.
    used: HashMap<InstanceId, Used>,
    /// Of components of deployments, neither of which change.
    sizes: HashMap<(DeploymentId, String), &'static InstanceSize>,
    is_first_over: bool,
}

#[derive(Debug, Clone, Copy)]
struct Used {
    at: Timestamp,
    cpu_micros: u64,
}

impl Looks {
    /// A sample of each place. An instance that gives no answer in time has none of its use.
    pub(super) async fn look(&mut self, platform: &Platform) -> Result<Vec<NewSample>, PlatformError> {
        let places = platform.store.measured_places().await?;
        self.learn_sizes(platform, &places).await?;
        let asked: Vec<_> = places.iter().map(|place| stats(platform, place)).collect();
        let stats: Vec<Option<InstanceStats>> = stream::iter(asked).buffered(AT_ONCE).collect().await;
        let samples = places.iter().zip(stats);
        let samples = samples
            .map(|(place, stats)| self.sample(place, stats.as_ref()))
            .collect();
        let present: HashSet<InstanceId> = places.iter().map(|place| place.instance).collect();
        self.used.retain(|id, _| present.contains(id));
        self.is_first_over = true;
        Ok(samples)
    }

    async fn learn_sizes(&mut self, platform: &Platform, places: &[PlaceRow]) -> Result<(), PlatformError> {
        let here: HashSet<DeploymentId> = places.iter().map(|place| place.deployment).collect();
        self.sizes.retain(|(deployment, _), _| here.contains(deployment));
        let known: HashSet<DeploymentId> = self.sizes.keys().map(|(deployment, _)| *deployment).collect();
        for deployment in here.difference(&known) {
            // Forgotten since it was listed: there is nothing to measure then.
            let Some(row) = platform.store.deployment(*deployment).await? else {
                continue;
            };
            let sizes = row.spec.components().map(|component| {
                let key = (*deployment, component.name().to_owned());
                (key, component.instance_size())
            });
            self.sizes.extend(sizes);
        }
        Ok(())
    }

    fn sample(&mut self, place: &PlaceRow, stats: Option<&InstanceStats>) -> NewSample {
        let size = self.sizes.get(&(place.deployment, place.component.clone()));
        let measured = stats.zip(size.copied());
        NewSample {
            app: place.app,
            component: place.component.clone(),
            ordinal: place.ordinal,
            cpu: measured.and_then(|(stats, size)| self.cpu(place, stats, size)),
            memory: measured.map(|(stats, size)| hundredths(stats.memory_bytes, size.memory_bytes)),
            restarts: place.restarts,
        }
    }

    /// Since the last look, or since the instance began if that was after it. What ran when the server came has no last look yet.
    fn cpu(&mut self, place: &PlaceRow, stats: &InstanceStats, size: &InstanceSize) -> Option<u32> {
        let began = Used {
            at: place.created_at,
            cpu_micros: 0,
        };
        let now = Used {
            at: stats.at,
            cpu_micros: stats.cpu_usage_micros,
        };
        let last = self.used.insert(place.instance, now);
        let last = last.or(self.is_first_over.then_some(began))?;
        let elapsed = u64::try_from(now.at.duration_since(last.at).as_micros()).ok()?;
        let allowed = elapsed.checked_mul(u64::from(size.cpu_millis))? / 1000;
        let used = now.cpu_micros.saturating_sub(last.cpu_micros);
        (allowed > 0).then(|| hundredths(used, allowed))
    }
}

/// Of a percent.
fn hundredths(part: u64, whole: u64) -> u32 {
    let share = u128::from(part) * 10_000 / u128::from(whole.max(1));
    u32::try_from(share).unwrap_or(u32::MAX)
}

async fn stats(platform: &Platform, place: &PlaceRow) -> Option<InstanceStats> {
    if !place.runs {
        return None;
    }
    // One that has just ended, or is only starting, has none either: no trouble of the platform's.
    let asked = timeout(ANSWERS_WITHIN, platform.engine.stats(place.instance)).await;
    asked.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_in_hundredths_of_a_percent() {
        assert_eq!(hundredths(256, 512), 5000);
        assert_eq!(hundredths(1, 3), 3333);
        assert_eq!(hundredths(1, 0), 10_000);
        assert_eq!(hundredths(u64::MAX, 1), u32::MAX);
    }
}
