//! How often a token may ask: so many requests an hour, told with every answer as the original does (`app-platform.md` b.1).
//!
//! Calls without a valid token are counted by the address that they come from, in counts of their own: nobody can use up what belongs to a token
//! that he does not have.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    http::{HeaderName, HeaderValue, header::RETRY_AFTER},
    response::Response,
};
use jiff::Timestamp;

const WINDOW: Duration = Duration::from_hours(1);
/// More than this many at once are strangers' addresses mostly: the oldest gives way.
const COUNTED_MAX: usize = 10_000;
/// Refused calls without a valid token are noted this often for an address: its guesses must not drive out what others did.
const REFUSALS_NOTED_EVERY: i64 = 60;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    Token(String),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Count {
    /// Seconds since 1970.
    since: i64,
    requests: u64,
    refusal_noted: Option<i64>,
}

/// All counts. They begin anew with the server.
#[derive(Debug, Clone)]
pub(super) struct Rate {
    /// An hour; 0: as many as they like.
    limit: u64,
    counts: Arc<Mutex<HashMap<Asker, Count>>>,
}

/// What is told with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    limit: u64,
    remaining: u64,
    /// Seconds since 1970.
    reset: i64,
    pub(super) within: bool,
}

impl Rate {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            counts: Arc::default(),
        }
    }

    /// Counts a request. `None`: there is no limit.
    pub(super) fn count(&self, asker: &Asker, now: Timestamp) -> Option<Standing> {
        if self.limit == 0 {
            return None;
        }
        let now = now.as_second();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = entry(&mut counts, asker, now);
        count.requests = count.requests.saturating_add(1);
        Some(Standing {
            limit: self.limit,
            remaining: self.limit.saturating_sub(count.requests),
            reset: count.since + WINDOW.as_secs().cast_signed(),
            within: count.requests <= self.limit,
        })
    }

    /// Whether a refusal of this address is to be noted.
    pub(super) fn is_refusal_due(&self, asker: &Asker, now: Timestamp) -> bool {
        let now = now.as_second();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = entry(&mut counts, asker, now);
        let due = count
            .refusal_noted
            .is_none_or(|noted| now - noted >= REFUSALS_NOTED_EVERY);
        if due {
            count.refusal_noted = Some(now);
        }
        due
    }
}

/// The asker's count of this hour.
fn entry<'a>(counts: &'a mut HashMap<Asker, Count>, asker: &Asker, now: i64) -> &'a mut Count {
    let is_over = |count: &Count| now - count.since >= WINDOW.as_secs().cast_signed();
    if counts.get(asker).is_some_and(is_over) {
        counts.remove(asker);
    }
    if counts.len() >= COUNTED_MAX && !counts.contains_key(asker) {
        counts.retain(|_, count| !is_over(count));
        let oldest = counts
            .iter()
            .min_by_key(|(_, count)| count.since)
            .map(|(asker, _)| asker.clone());
        if let Some(oldest) = oldest.filter(|_| counts.len() >= COUNTED_MAX) {
            counts.remove(&oldest);
        }
    }
    counts.entry(asker.clone()).or_insert(Count {
        since: now,
        requests: 0,
        refusal_noted: None,
    })
}

impl Standing {
    pub(super) fn tell(self, mut response: Response, now: Timestamp) -> Response {
        let headers = response.headers_mut();
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(self.reset));
        if !self.within {
            headers.insert(
                RETRY_AFTER,
                HeaderValue::from((self.reset - now.as_second()).max(1)),
            );
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn token(name: &str) -> Asker {
        Asker::Token(name.to_owned())
    }

    #[test]
    fn each_asker_has_its_own_hour() {
        let rate = Rate::new(2);
        let start = Timestamp::from_second(1_000_000).unwrap();
        let standing = |asker: &str, after: i64| {
            let standing = rate
                .count(&token(asker), start + SignedDuration::from_secs(after))
                .unwrap();
            (standing.remaining, standing.reset, standing.within)
        };
        assert_eq!(standing("a", 0), (1, 1_003_600, true));
        assert_eq!(standing("a", 10), (0, 1_003_600, true));
        assert_eq!(standing("a", 3599), (0, 1_003_600, false));
        assert_eq!(standing("b", 3599), (1, 1_007_199, true));
        assert_eq!(standing("a", 3600), (1, 1_007_200, true));
        assert!(Rate::new(0).count(&token("a"), start).is_none());
    }

    #[test]
    fn strangers_are_counted_only_so_many() {
        let rate = Rate::new(5);
        let start = Timestamp::from_second(1_000_000).unwrap();
        for number in 0..20_000_u32 {
            let asker = Asker::Address(IpAddr::from(number.to_be_bytes()));
            rate.count(&asker, start).unwrap();
        }
        assert_eq!(rate.counts.lock().unwrap().len(), COUNTED_MAX);
    }

    #[test]
    fn refusals_of_an_address_are_noted_once_a_minute() {
        let rate = Rate::new(0);
        let asker = Asker::Address(IpAddr::from([127, 0, 0, 1]));
        let start = Timestamp::from_second(1_000_000).unwrap();
        let due = |after: i64| rate.is_refusal_due(&asker, start + SignedDuration::from_secs(after));
        assert_eq!([due(0), due(1), due(59), due(60)], [true, false, false, true]);
    }
}
