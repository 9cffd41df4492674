//! What was measured of an app's instances.

use jiff::Timestamp;
use mainstay_spec::ids::AppId;
use mainstay_store::SampleRow;

use super::{Application, Refusal};
use crate::metrics::KEPT;

/// Of one place in one answer, about.
const POINTS_MAX: i64 = 1000;

impl Application {
    /// From `start` to `end`, by place and time; of one component, or of all. Far ends are moved to what there can be, and longer times have
    /// longer steps.
    pub(crate) async fn measured(
        &self,
        app: AppId,
        component: Option<&str>,
        (start, end): (Timestamp, Timestamp),
    ) -> Result<Vec<SampleRow>, Refusal> {
        let now = self.now();
        let oldest = now.checked_sub(KEPT).unwrap_or(Timestamp::UNIX_EPOCH);
        let (from, to) = (start.max(oldest), end.min(now));
        if from > to {
            return Ok(Vec::new());
        }
        let every = i64::try_from(self.platform.config.metrics.every_seconds).unwrap_or(1);
        let step = step_seconds(to.as_second() - from.as_second(), every);
        let store = &self.platform.store;
        Ok(store.samples(app, component, (from, to), step).await?)
    }
}

/// The shortest whole number of looks that makes so few steps of the time.
fn step_seconds(seconds: i64, every: i64) -> i64 {
    let least = seconds / POINTS_MAX + 1;
    (least + every - 1) / every * every
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_whole_looks_and_so_few_that_the_answer_has_a_bound() {
        let day = 24 * 60 * 60;
        assert_eq!(step_seconds(0, 60), 60);
        assert_eq!(step_seconds(60 * 1000 - 1, 60), 60);
        assert_eq!(step_seconds(60 * 1000, 60), 120);
        assert_eq!(step_seconds(day, 60), 120);
        assert_eq!(step_seconds(14 * day, 60), 1260);
        assert_eq!(step_seconds(999, 1), 1);
        for seconds in [0, 1, 59, 60, 999, 1000, 1001, 3600, day, 14 * day] {
            for every in [1, 7, 60] {
                let step = step_seconds(seconds, every);
                assert!(
                    step % every == 0 && seconds / step < POINTS_MAX,
                    "{seconds} {every}"
                );
            }
        }
    }
}
