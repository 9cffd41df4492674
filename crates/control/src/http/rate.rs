//! How often a token may ask: so many requests an hour, told with every answer as the original does (`app-platform.md` b.1), and so many a minute,
//! of which only who asks too often is told.
//!
//! Calls without a valid token are counted by the address that they come from, in counts of their own: nobody can use up what belongs to a token
//! that he does not have.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    http::{HeaderName, HeaderValue, header::RETRY_AFTER},
    response::Response,
};
use jiff::Timestamp;

use crate::config::ApiConfig;

const HOUR_SECONDS: i64 = 3600;
const MINUTE_SECONDS: i64 = 60;
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
    hour: Window,
    minute: Window,
    refusal_noted: Option<i64>,
}

/// Requests since a time.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// Seconds since 1970.
    since: i64,
    requests: u64,
}

/// All counts. They begin anew with the server.
#[derive(Debug, Clone)]
pub(super) struct Rate {
    /// 0: as many as they like.
    per_hour: u64,
    per_minute: u64,
    counts: Arc<Mutex<HashMap<Asker, Count>>>,
}

/// What is told with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// `None`: an hour has no limit.
    hour: Option<OfHour>,
    /// Who asks too often may again from then on, in seconds since 1970.
    again: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OfHour {
    limit: u64,
    remaining: u64,
    /// Seconds since 1970.
    reset: i64,
}

impl Window {
    fn begin(now: i64) -> Self {
        Self {
            since: now,
            requests: 0,
        }
    }

    fn count(&mut self, now: i64, seconds: i64) {
        if self.is_over(now, seconds) {
            *self = Self::begin(now);
        }
        self.requests = self.requests.saturating_add(1);
    }

    fn is_over(&self, now: i64, seconds: i64) -> bool {
        now - self.since >= seconds
    }

    /// When it is over, if there were more requests in it than may be.
    fn exceeded(&self, limit: u64, seconds: i64) -> Option<i64> {
        (limit > 0 && self.requests > limit).then_some(self.since + seconds)
    }
}

impl Rate {
    pub(super) fn new(config: &ApiConfig) -> Self {
        Self {
            per_hour: config.requests_per_hour,
            per_minute: config.requests_per_minute,
            counts: Arc::default(),
        }
    }

    /// Counts a request.
    pub(super) fn count(&self, asker: &Asker, now: Timestamp) -> Standing {
        let now = now.as_second();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = entry(&mut counts, asker, now);
        count.hour.count(now, HOUR_SECONDS);
        count.minute.count(now, MINUTE_SECONDS);
        let of_hour = count.hour.exceeded(self.per_hour, HOUR_SECONDS);
        let of_minute = count.minute.exceeded(self.per_minute, MINUTE_SECONDS);
        Standing {
            hour: (self.per_hour > 0).then(|| OfHour {
                limit: self.per_hour,
                remaining: self.per_hour.saturating_sub(count.hour.requests),
                reset: count.hour.since + HOUR_SECONDS,
            }),
            again: of_hour.max(of_minute),
        }
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

/// The asker's count; nothing is left of one from more than an hour ago.
fn entry<'a>(counts: &'a mut HashMap<Asker, Count>, asker: &Asker, now: i64) -> &'a mut Count {
    let is_over = |count: &Count| count.hour.is_over(now, HOUR_SECONDS);
    if counts.get(asker).is_some_and(is_over) {
        counts.remove(asker);
    }
    if counts.len() >= COUNTED_MAX && !counts.contains_key(asker) {
        counts.retain(|_, count| !is_over(count));
        let oldest = counts
            .iter()
            .min_by_key(|(_, count)| count.hour.since)
            .map(|(asker, _)| asker.clone());
        if let Some(oldest) = oldest.filter(|_| counts.len() >= COUNTED_MAX) {
            counts.remove(&oldest);
        }
    }
    counts.entry(asker.clone()).or_insert(Count {
        hour: Window::begin(now),
        minute: Window::begin(now),
        refusal_noted: None,
    })
}

impl Standing {
    pub(super) fn is_within(self) -> bool {
        self.again.is_none()
    }

    pub(super) fn tell(self, mut response: Response, now: Timestamp) -> Response {
        let headers = response.headers_mut();
        if let Some(hour) = self.hour {
            headers.insert(LIMIT, HeaderValue::from(hour.limit));
            headers.insert(REMAINING, HeaderValue::from(hour.remaining));
            headers.insert(RESET, HeaderValue::from(hour.reset));
        }
        if let Some(again) = self.again {
            let seconds = (again - now.as_second()).max(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn rate(requests_per_hour: u64, requests_per_minute: u64) -> Rate {
        Rate::new(&ApiConfig {
            requests_per_hour,
            requests_per_minute,
            ..ApiConfig::default()
        })
    }

    fn token(name: &str) -> Asker {
        Asker::Token(name.to_owned())
    }

    #[test]
    fn each_asker_has_its_own_hour() {
        let rate = rate(2, 0);
        let start = Timestamp::from_second(1_000_000).unwrap();
        let standing = |asker: &str, after: i64| {
            let standing = rate.count(&token(asker), start + SignedDuration::from_secs(after));
            let hour = standing.hour.unwrap();
            (hour.remaining, hour.reset, standing.is_within())
        };
        assert_eq!(standing("a", 0), (1, 1_003_600, true));
        assert_eq!(standing("a", 10), (0, 1_003_600, true));
        assert_eq!(standing("a", 3599), (0, 1_003_600, false));
        assert_eq!(standing("b", 3599), (1, 1_007_199, true));
        assert_eq!(standing("a", 3600), (1, 1_007_200, true));
    }

    #[test]
    fn a_minute_has_a_limit_of_its_own() {
        let rate = rate(4, 2);
        let start = Timestamp::from_second(1_000_000).unwrap();
        let again = |after: i64| {
            rate.count(&token("a"), start + SignedDuration::from_secs(after))
                .again
        };
        assert_eq!([again(0), again(1), again(59)], [None, None, Some(1_000_060)]);
        assert_eq!(again(60), None, "the next minute");
        assert_eq!(
            again(61),
            Some(1_003_600),
            "a refused request counts, too: the hour is used up"
        );
    }

    #[test]
    fn without_limits_everybody_may_ask() {
        let rate = rate(0, 0);
        for _ in 0..3 {
            let standing = rate.count(&token("a"), Timestamp::UNIX_EPOCH);
            assert!(standing.is_within() && standing.hour.is_none());
        }
    }

    #[test]
    fn strangers_are_counted_only_so_many() {
        let rate = rate(5, 0);
        let start = Timestamp::from_second(1_000_000).unwrap();
        for number in 0..20_000_u32 {
            let asker = Asker::Address(IpAddr::from(number.to_be_bytes()));
            rate.count(&asker, start);
        }
        assert_eq!(rate.counts.lock().unwrap().len(), COUNTED_MAX);
    }

    #[test]
    fn refusals_of_an_address_are_noted_once_a_minute() {
        let rate = rate(0, 0);
        let asker = Asker::Address(IpAddr::from([127, 0, 0, 1]));
        let start = Timestamp::from_second(1_000_000).unwrap();
        let due = |after: i64| rate.is_refusal_due(&asker, start + SignedDuration::from_secs(after));
        assert_eq!([due(0), due(1), due(59), due(60)], [true, false, false, true]);
    }
}
