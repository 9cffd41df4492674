//! Schedules: five cron fields, not more often than every fifteen minutes, in a time zone that exists.

use super::Findings;
use crate::{
    decode::closest,
    error::{Problem, SpecError},
    model::JobSchedule,
    schedule::{self, Schedule},
};

const INTERVAL_MINUTES_MIN: u32 = 15;

/// A field of a schedule: its name, its numbers, and the names that may stand for the first of them and on.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field::of_numbers("minute", 0, 59),
    Field::of_numbers("hour", 0, 23),
    Field::of_numbers("day of month", 1, 31),
    Field {
        words: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
        ..Field::of_numbers("month", 1, 12)
    },
    Field {
        words: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        ..Field::of_numbers("day of week", 0, 7)
    },
];

/// Names that other crons have for schedules.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// What is wrong with a schedule: the rule that is broken, and what to write instead.
struct Broken {
    problem: Problem,
    rule: String,
    suggestion: Option<String>,
}

pub(super) fn check(written: &JobSchedule, at: &str, findings: &mut Findings) {
    let (cron_at, zone_at) = (format!("{at}.cron"), format!("{at}.time_zone"));
    findings.required(&cron_at, &written.cron);
    let cron = (!written.cron.is_empty())
        .then(|| broken_rule(&written.cron))
        .flatten();
    let zone = written.time_zone.as_deref().filter(|name| !name.is_empty());
    let zone = zone.and_then(|name| Some((name, unknown_zone(name)?)));
    let is_readable = cron.is_none() && zone.is_none() && !written.cron.is_empty();
    // What the fields alone do not show: days that no month has.
    let never = is_readable.then(|| never_due(written)).flatten();
    let found = [
        cron.or(never)
            .map(|broken| (cron_at, written.cron.as_str(), broken)),
        zone.map(|(name, broken)| (zone_at, name, broken)),
    ];
    for (path, value, broken) in found.into_iter().flatten() {
        let mut error = SpecError::new(path, broken.problem, broken.rule).value(value);
        error.suggestion = broken.suggestion;
        findings.add(error);
    }
}

fn broken_rule(cron: &str) -> Option<Broken> {
    let written: Vec<&str> = cron.split_whitespace().collect();
    if written.len() != FIELDS.len() {
        return Some(Broken {
            problem: Problem::Malformed,
            rule: "must have five fields: minute, hour, day of month, month, day of week".to_owned(),
            suggestion: five_fields_for(cron, &written),
        });
    }
    for (text, field) in written.iter().zip(&FIELDS) {
        if field.values(text).is_none() {
            return Some(field.broken(text));
        }
    }
    let minutes = FIELDS[0].values(written[0]).unwrap_or_default();
    let hours = FIELDS[1].values(written[1]).unwrap_or_default();
    (shortest_gap(&minutes, &hours) < INTERVAL_MINUTES_MIN).then(|| Broken {
        problem: Problem::OutOfRange,
        rule: format!("must not run more often than every {INTERVAL_MINUTES_MIN} minutes"),
        suggestion: Some(format!(
            "`*/{INTERVAL_MINUTES_MIN}` as the minute is as often as can be"
        )),
    })
}

fn five_fields_for(cron: &str, fields: &[&str]) -> Option<String> {
    let known = NICKNAMES
        .iter()
        .find(|(name, _)| cron.trim().eq_ignore_ascii_case(name));
    match (known, fields) {
        (Some((_, meant)), _) => Some(format!("write `{meant}`")),
        (None, [_seconds, rest @ ..]) if rest.len() == FIELDS.len() => Some(format!(
            "there is no field for seconds: write `{}`",
            rest.join(" ")
        )),
        _ => None,
    }
}

impl Field {
    const fn of_numbers(name: &'static str, first: u32, last: u32) -> Self {
        Self {
            name,
            first,
            last,
            words: &[],
        }
    }

    fn broken(&self, text: &str) -> Broken {
        let Self {
            name, first, last, ..
        } = self;
        let names = match self.words {
            [] => String::new(),
            [one, ..] => format!(", names such as `{one}`"),
        };
        Broken {
            problem: Problem::Malformed,
            rule: format!(
                "has `{text}` for the {name}, which must hold numbers from {first} to {last}{names}, `*`, `a-b`, `*/n`, or several of them with commas"
            ),
            suggestion: None,
        }
    }

    /// The numbers that the text stands for, ascending.
    fn values(&self, text: &str) -> Option<Vec<u32>> {
        let mut all = Vec::new();
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)?),
                None => (part, 1),
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (self.first, self.last),
                Some((from, to)) => (self.number(from)?, self.number(to)?),
                None if part.contains('/') => (self.number(range)?, self.last),
                None => (self.number(range)?, self.number(range)?),
            };
            if from < self.first || to > self.last || from > to {
                return None;
            }
            all.extend((from..=to).step_by(step));
        }
        all.sort_unstable();
        all.dedup();
        Some(all)
    }

    fn number(&self, text: &str) -> Option<u32> {
        let named = self.words.iter().position(|word| text.eq_ignore_ascii_case(word));
        let named = named.and_then(|at| Some(self.first + u32::try_from(at).ok()?));
        // Signs are no part of a number here.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        named.or_else(|| text.parse().ok().filter(|_| digits))
    }
}

/// Minutes between two runs, across the hour where it runs in neighbouring hours.
fn shortest_gap(minutes: &[u32], hours: &[u32]) -> u32 {
    let within = minutes.windows(2).map(|pair| pair[1] - pair[0]).min();
    let follows = |hour: &u32| hours.contains(&((hour + 1) % 24));
    let across = match (minutes.first(), minutes.last()) {
        (Some(first), Some(last)) if hours.iter().any(follows) => Some(first + 60 - last),
        _ => None,
    };
    within.into_iter().chain(across).min().unwrap_or(u32::MAX)
}

fn unknown_zone(name: &str) -> Option<Broken> {
    if schedule::zone(name).is_some() {
        return None;
    }
    let names = schedule::zone_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // Most people know the city and not the continent.
    let city = names.iter().find(|known| {
        let city = known.rsplit('/').next().unwrap_or_default();
        city.eq_ignore_ascii_case(&name.replace(' ', "_"))
    });
    let meant = city.copied().or_else(|| closest(name, &names));
    Some(Broken {
        problem: Problem::UnknownValue,
        rule: "must be the name of a time zone, such as Europe/Berlin".to_owned(),
        suggestion: meant.map(|meant| format!("did you mean `{meant}`?")),
    })
}

fn never_due(written: &JobSchedule) -> Option<Broken> {
    let rule = match Schedule::read(written) {
        Ok(schedule) if schedule.is_ever_due() => return None,
        Ok(_) => "names no day that any year has".to_owned(),
        Err(error) => format!("cannot be read: {error}"),
    };
    Some(Broken {
        problem: Problem::Malformed,
        rule,
        suggestion: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cron: &str, time_zone: Option<&str>) -> Vec<String> {
        let mut findings = Findings::default();
        let written = JobSchedule {
            cron: cron.to_owned(),
            time_zone: time_zone.map(str::to_owned),
        };
        check(&written, "jobs[0].schedule", &mut findings);
        findings.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn schedules_that_are_fine() {
        for cron in [
            "*/15 * * * *",
            "0 0 * * 1-5",
            "30 6 1,15 * *",
            "0,30 * * * *",
            "5 4 * JAN MON",
            "5 4 * jan-mar mon-fri",
            "7 12 * * *",
            "0 0 29 2 *",
            "10/20 * * * *",
            "0 0 * * 5-7",
        ] {
            assert_eq!(found(cron, None), Vec::<String>::new(), "{cron}");
            assert_eq!(found(cron, Some("Europe/Berlin")), Vec::<String>::new(), "{cron}");
        }
    }

    #[test]
    fn schedules_that_run_too_often() {
        for cron in ["* * * * *", "*/10 * * * *", "0,10 3 * * *", "0,50 * * * *"] {
            let found = found(cron, None);
            assert!(
                found[0].contains("more often") && found[0].contains("`*/15`"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn schedules_that_are_none_say_which_field() {
        for (cron, word) in [
            ("", "is required"),
            ("60 * * * *", "`60` for the minute"),
            ("a * * * *", "`a` for the minute"),
            ("JAN * * * *", "`JAN` for the minute"),
            ("5-1 * * * *", "`5-1` for the minute"),
            ("+5 * * * *", "`+5` for the minute"),
            ("*/0 * * * *", "`*/0` for the minute"),
            ("0 24 * * *", "`24` for the hour"),
            ("0 0 L * *", "`L` for the day of month"),
            ("0 0 * MON *", "`MON` for the month"),
            ("0 0 * * 8", "`8` for the day of week"),
            ("0 0 30 2 *", "no day that any year has"),
            ("0 0 31 4,6,9,11 *", "no day that any year has"),
        ] {
            let found = found(cron, None);
            assert!(found.len() == 1 && found[0].contains(word), "{cron}: {found:?}");
            assert!(found[0].starts_with("jobs[0].schedule.cron: "), "{found:?}");
        }
    }

    #[test]
    fn what_other_crons_allow_is_translated() {
        for (cron, suggestion) in [
            ("@daily", "write `0 0 * * *`"),
            ("0 30 4 * * *", "write `30 4 * * *`"),
        ] {
            assert!(found(cron, None)[0].ends_with(suggestion), "{cron}");
        }
    }

    #[test]
    fn a_time_zone_has_to_exist() {
        for (zone, meant) in [
            ("Europe/Berln", "did you mean `Europe/Berlin`?"),
            ("Berlin", "did you mean `Europe/Berlin`?"),
            ("new york", "did you mean `America/New_York`?"),
            ("Mars/Olympus", "such as Europe/Berlin (found Mars/Olympus)"),
            ("../../etc/passwd", "(found ../../etc/passwd)"),
        ] {
            let found = found("0 3 * * *", Some(zone));
            assert!(found.len() == 1 && found[0].ends_with(meant), "{zone}: {found:?}");
            assert!(found[0].starts_with("jobs[0].schedule.time_zone: "), "{found:?}");
        }
        for zone in ["UTC", "Etc/GMT+5", "Asia/Kolkata", "europe/berlin", ""] {
            assert_eq!(found("0 3 * * *", Some(zone)), Vec::<String>::new(), "{zone}");
        }
    }
}
