//! Schedules: five cron fields, not more often than every fifteen minutes.

const INTERVAL_MINUTES_MIN: u32 = 15;

/// What is wrong with a schedule.
pub(super) fn broken_rule(cron: &str) -> Option<String> {
    const FIELDS: [(&str, u32, u32); 5] = [
        ("minute", 0, 59),
        ("hour", 0, 23),
        ("day of month", 1, 31),
        ("month", 1, 12),
        ("day of week", 0, 7),
    ];
    let fields: Vec<&str> = cron.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Some("must have five fields: minute, hour, day of month, month, day of week".into());
    }
    for (field, (name, first, last)) in fields.iter().zip(FIELDS) {
        if values(field, first, last).is_none() {
            return Some(format!(
                "the field for the {name} must hold numbers from {first} to {last}, `*`, `a-b`, `/n`"
            ));
        }
    }
    let minutes = values(fields[0], 0, 59).unwrap_or_default();
    let hours = values(fields[1], 0, 23).unwrap_or_default();
    (shortest_gap(&minutes, &hours) < INTERVAL_MINUTES_MIN)
        .then(|| format!("must not run more often than every {INTERVAL_MINUTES_MIN} minutes"))
}

/// The numbers that a field stands for, ascending.
fn values(field: &str, first: u32, last: u32) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (first, last),
            Some((from, to)) => (number(from)?, number(to)?),
            None if part.contains('/') => (number(range)?, last),
            None => (number(range)?, number(range)?),
        };
        if from < first || to > last || from > to {
            return None;
        }
        all.extend((from..=to).step_by(step));
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// Numbers, and the English names of months and days.
fn number(text: &str) -> Option<u32> {
    const NAMES: [&str; 19] = [
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC", "SUN", "MON",
        "TUE", "WED", "THU", "FRI", "SAT",
    ];
    let named = NAMES
        .iter()
        .position(|name| text.eq_ignore_ascii_case(name))
        .and_then(|at| u32::try_from(at).ok());
    named
        .map(|at| if at < 12 { at + 1 } else { at - 12 })
        .or_else(|| text.parse().ok())
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

/// The shape of an IANA name; whether it exists is known where the clock is.
pub(super) fn is_time_zone_name(text: &str) -> bool {
    let part_is_fine = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
    };
    text.split('/').all(part_is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_that_are_fine() {
        for cron in [
            "*/15 * * * *",
            "0 0 * * 1-5",
            "30 6 1,15 * *",
            "0,30 * * * *",
            "5 4 * JAN MON",
            "7 12 * * *",
        ] {
            assert_eq!(broken_rule(cron), None, "{cron}");
        }
    }

    #[test]
    fn schedules_that_run_too_often_or_are_none() {
        for cron in ["* * * * *", "*/10 * * * *", "0,10 3 * * *", "0,50 * * * *"] {
            assert!(broken_rule(cron).unwrap().contains("more often"), "{cron}");
        }
        for cron in [
            "",
            "@daily",
            "60 * * * *",
            "0 0 0 * *",
            "a * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
        ] {
            assert!(broken_rule(cron).is_some(), "{cron}");
        }
    }
}
