//! Releases that were found lately: an index has a thousand of them, and is read and searched anew for each build otherwise.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::ToolchainError;

/// More packages and ranges than the apps of one machine ask for; then it begins anew.
const KEPT_MAX: usize = 256;

/// A release, and how long it stays the answer: as long as its index is believed without asking.
#[derive(Debug, Clone)]
pub(super) struct Found<R> {
    pub(super) release: R,
    pub(super) fresh_for: Duration,
}

/// By package and range.
#[derive(Debug)]
pub(super) struct Recent<R>(Mutex<HashMap<(String, String), (Instant, R)>>);

impl<R> Default for Recent<R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<R: Clone> Recent<R> {
    /// What was found before, while it is fresh, else what `search` finds.
    pub(super) async fn or_search(
        &self,
        package: &str,
        range: &str,
        search: impl Future<Output = Result<Found<R>, ToolchainError>>,
    ) -> Result<R, ToolchainError> {
        let question = (package.to_owned(), range.to_owned());
        let now = Instant::now();
        if let Some((until, release)) = self.kept().get(&question)
            && *until > now
        {
            return Ok(release.clone());
        }
        let found = search.await?;
        let mut kept = self.kept();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(question, (now + found.fresh_for, found.release.clone()));
        Ok(found.release)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<(String, String), (Instant, R)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(recent: &Recent<u32>, range: &str, would_find: u32, fresh_for: Duration) -> u32 {
        let search = async {
            Ok(Found {
                release: would_find,
                fresh_for,
            })
        };
        recent.or_search("node", range, search).await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_stays_as_long_as_its_index_is_fresh() {
        let recent = Recent::default();
        let hour = Duration::from_hours(1);
        assert_eq!(ask(&recent, "20.x", 1, hour).await, 1);
        assert_eq!(ask(&recent, "20.x", 2, hour).await, 1);
        assert_eq!(ask(&recent, "22.x", 3, Duration::ZERO).await, 3);
        assert_eq!(ask(&recent, "22.x", 4, hour).await, 4);
    }

    #[tokio::test]
    async fn it_does_not_grow_without_end() {
        let recent = Recent::default();
        for number in 0..3 * u32::try_from(KEPT_MAX).unwrap() {
            ask(&recent, &number.to_string(), number, Duration::from_hours(1)).await;
        }
        assert!(recent.kept().len() <= KEPT_MAX);
    }
}
