//! When a SCHEDULED job is due: five cron fields, read on the clock of a time zone.
//!
//! Where that clock jumps forward, a time that it leaves out is due right after the jump; where it goes back, a time that it shows twice is due
//! once, at the first. Steps and `*` go on with what the clock shows: they leave out what it leaves out and run twice through what it shows twice.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    Timestamp, Zoned,
    tz::{TimeZone, TimeZoneDatabase},
};

use crate::model::JobSchedule;

/// Where it is due for the first time after this, it is ever due: all leap years come round within it.
const FIRST_LOOK: Timestamp = Timestamp::UNIX_EPOCH;

/// A schedule that can be asked.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

/// Why a schedule cannot be read; specs that were checked have none such.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error("there is no time zone {0:?}")]
    Zone(String),
    #[error("{0}")]
    Cron(String),
}

/// What came due within a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub latest: Timestamp,
    /// How many times there were before it.
    pub earlier: u32,
}

impl Schedule {
    /// # Errors
    /// When the time zone or a field is none.
    pub fn read(written: &JobSchedule) -> Result<Self, ScheduleError> {
        let name = written.time_zone.as_deref().filter(|name| !name.is_empty());
        let zone = match name {
            Some(name) => zone(name).ok_or_else(|| ScheduleError::Zone(name.to_owned()))?,
            None => TimeZone::UTC,
        };
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            // `10/20`, as the original reads it: every 20th from 10 on.
            .sloppy_ranges(true)
            .build();
        let cron = parser.parse(&written.cron);
        let cron = cron.map_err(|error| ScheduleError::Cron(error.to_string()))?;
        Ok(Self { cron, zone })
    }

    /// The first time after this one, which is excluded; `None` when there is none before the calendar ends.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_zoned(self.zone.clone());
        let next: Zoned = self.cron.find_next_occurrence(&after, false).ok()?;
        Some(next.timestamp())
    }

    /// What came due after `after`, up to and with `until`.
    pub fn due(&self, after: Timestamp, until: Timestamp) -> Option<Due> {
        let mut due = None;
        let mut at = after;
        while let Some(next) = self.next_after(at).filter(|next| *next <= until) {
            let earlier = due.map_or(0, |due: Due| due.earlier.saturating_add(1));
            due = Some(Due {
                latest: next,
                earlier,
            });
            at = next;
        }
        due
    }

    pub(crate) fn is_ever_due(&self) -> bool {
        self.next_after(FIRST_LOOK).is_some()
    }
}

/// The zone of this name, whatever its case, in the database that this program has with it.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

pub(crate) fn zone_names() -> Vec<String> {
    let database = TimeZoneDatabase::bundled();
    database.available().map(|name| name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, zone: &str) -> Schedule {
        let written = JobSchedule {
            cron: cron.to_owned(),
            time_zone: Some(zone.to_owned()),
        };
        Schedule::read(&written).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The times after `from`, as the zone's clock shows them.
    fn times(cron: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = schedule(cron, zone);
        let mut last = at(from);
        let next = || {
            last = schedule.next_after(last)?;
            Some(
                last.to_zoned(schedule.zone.clone())
                    .strftime("%d %H:%M%:z")
                    .to_string(),
            )
        };
        std::iter::from_fn(next).take(count).collect()
    }

    #[test]
    fn times_are_those_of_the_zone() {
        assert_eq!(
            times("30 6 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", 2),
            ["01 06:30+05:30", "02 06:30+05:30"]
        );
        let without = JobSchedule {
            cron: "30 6 * * *".into(),
            time_zone: None,
        };
        let next = Schedule::read(&without)
            .unwrap()
            .next_after(at("2026-01-01T06:30:00Z"));
        assert_eq!(next, Some(at("2026-01-02T06:30:00Z")), "its own time is excluded");
    }

    #[test]
    fn a_time_that_the_clock_leaves_out_is_due_right_after_the_jump() {
        // 2026-03-29, 02:00 → 03:00.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
            ["28 02:30+01:00", "29 03:00+02:00", "30 02:30+02:00"]
        );
        assert_eq!(
            times("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:10:00Z", 3),
            ["29 01:30+01:00", "29 03:00+02:00", "29 03:30+02:00"]
        );
    }

    #[test]
    fn a_time_that_the_clock_shows_twice_is_due_once() {
        // 2026-10-25, 03:00 → 02:00.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", 3),
            ["24 02:30+02:00", "25 02:30+02:00", "26 02:30+01:00"].map(str::to_owned)
        );
        assert_eq!(
            times("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:40:00Z", 5),
            [
                "25 02:00+02:00",
                "25 02:30+02:00",
                "25 02:00+01:00",
                "25 02:30+01:00",
                "25 03:00+01:00"
            ]
        );
    }

    #[test]
    fn days_of_month_and_of_week_add_up() {
        assert_eq!(
            times("0 0 13 * FRI", "UTC", "2026-02-01T00:00:00Z", 3),
            ["06 00:00+00:00", "13 00:00+00:00", "20 00:00+00:00"]
        );
        assert_eq!(
            times("0 0 * * 5-7", "UTC", "2026-02-02T00:00:00Z", 4),
            [
                "06 00:00+00:00",
                "07 00:00+00:00",
                "08 00:00+00:00",
                "13 00:00+00:00"
            ]
        );
    }

    #[test]
    fn of_what_came_due_the_latest_is_named_and_the_rest_is_counted() {
        let hourly = schedule("0 * * * *", "UTC");
        let from = at("2026-01-01T00:00:00Z");
        assert_eq!(hourly.due(from, at("2026-01-01T00:59:59Z")), None);
        let one = Due {
            latest: at("2026-01-01T01:00:00Z"),
            earlier: 0,
        };
        assert_eq!(hourly.due(from, one.latest), Some(one), "its own time counts");
        let many = Due {
            latest: at("2026-01-02T03:00:00Z"),
            earlier: 26,
        };
        assert_eq!(hourly.due(from, at("2026-01-02T03:30:00Z")), Some(many));
        assert_eq!(hourly.due(many.latest, from), None, "a clock that was put back");
    }

    #[test]
    fn every_nth_may_begin_at_a_number() {
        assert_eq!(
            times("10/20 4 * * *", "UTC", "2026-01-01T00:00:00Z", 4),
            [
                "01 04:10+00:00",
                "01 04:30+00:00",
                "01 04:50+00:00",
                "02 04:10+00:00"
            ]
        );
    }
}
