//! The table of faults, the confusion matrix, and how quickly reasons were stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{Got, Outcome, Since};

/// Above the rows.
pub fn heading() -> String {
    row("", "FAULT", "EXPECTED", "GOT", "DELAY", "TOOK")
}

/// One fault, with what differs below it.
pub fn line(outcome: &Outcome) -> String {
    let mark = if outcome.differences.is_empty() {
        "✔"
    } else {
        "✘"
    };
    let delay = outcome
        .delay
        .map_or("-".into(), |delay| format!("{:.3}", delay.seconds));
    let took = format!("{:.1}", outcome.took.as_secs_f64());
    let mut text = row(
        mark,
        &outcome.fault.name,
        &long(expected(outcome), cause(outcome)),
        &got_long(outcome),
        &delay,
        &took,
    );
    for difference in &outcome.differences {
        let _ = write!(text, "\n    {}", difference.replace('\n', "\n    "));
    }
    text
}

fn row(mark: &str, name: &str, expected: &str, got: &str, delay: &str, took: &str) -> String {
    format!("{mark:1} {name:<34} {expected:<56} {got:<56} {delay:>7} {took:>6}")
}

fn expected(outcome: &Outcome) -> &str {
    outcome.fault.expect.code.map_or("healthy", |code| code.as_str())
}

fn cause(outcome: &Outcome) -> &str {
    outcome.fault.expect.cause.map_or("", |cause| cause.as_str())
}

fn long(code: &str, cause: &str) -> String {
    if cause.is_empty() {
        code.to_owned()
    } else {
        format!("{code}/{cause}")
    }
}

/// "healthy" is what an app is that was ACTIVE and had no reason.
fn got_code(outcome: &Outcome) -> String {
    match &outcome.got {
        None => "nothing".to_owned(),
        Some(Got { code: Some(code), .. }) => code.to_string(),
        Some(got) if got.phase == "ACTIVE" => "healthy".to_owned(),
        Some(got) => got.phase.clone(),
    }
}

fn got_long(outcome: &Outcome) -> String {
    let cause = outcome.got.as_ref().and_then(|got| got.cause);
    long(&got_code(outcome), cause.map_or("", |cause| cause.as_str()))
}

/// Everything below the rows.
pub fn summary(outcomes: &[Outcome]) -> String {
    let right = outcomes
        .iter()
        .filter(|outcome| outcome.differences.is_empty())
        .count();
    format!(
        "{}{}{}\n{right} of {} are as they must be\n",
        matrix(outcomes),
        other_causes(outcomes),
        delays(outcomes),
        outcomes.len()
    )
}

/// Expected codes downwards, codes that came to the right.
fn matrix(outcomes: &[Outcome]) -> String {
    let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
    for outcome in outcomes {
        *counts
            .entry((expected(outcome).to_owned(), got_code(outcome)))
            .or_default() += 1;
    }
    let columns: BTreeSet<&String> = counts.keys().map(|(_, got)| got).collect();
    let rows: BTreeSet<&String> = counts.keys().map(|(expected, _)| expected).collect();
    let mut text = String::from("\nexpected ╲ got");
    for (index, column) in columns.iter().enumerate() {
        let _ = write!(text, "\n  {} {column}", letter(index));
    }
    let _ = write!(text, "\n{:<32}", "");
    for index in 0..columns.len() {
        let _ = write!(text, "{:>4}", letter(index));
    }
    for row in rows {
        let _ = write!(text, "\n{row:<32}");
        for column in &columns {
            let count = counts.get(&(row.clone(), (*column).clone()));
            let _ = write!(text, "{:>4}", count.map_or("·".to_owned(), ToString::to_string));
        }
    }
    text.push('\n');
    text
}

fn letter(index: usize) -> char {
    (b'A'..=b'Z').nth(index).map_or('?', char::from)
}

/// Right code, another cause.
fn other_causes(outcomes: &[Outcome]) -> String {
    let differs = |outcome: &&Outcome| {
        let cause = outcome.got.as_ref().and_then(|got| got.cause);
        got_code(outcome) == expected(outcome) && cause != outcome.fault.expect.cause
    };
    let lines: Vec<String> = outcomes
        .iter()
        .filter(differs)
        .map(|outcome| {
            format!(
                "  {}: {} instead of {}",
                outcome.fault.name,
                got_long(outcome),
                cause(outcome)
            )
        })
        .collect();
    if lines.is_empty() {
        "every cause is as expected\n".to_owned()
    } else {
        format!("other causes than expected:\n{}\n", lines.join("\n"))
    }
}

fn delays(outcomes: &[Outcome]) -> String {
    let mut text = String::from("\nfrom the fact to the reason that is stored, in seconds\n");
    for (since, seconds) in by_fact(outcomes) {
        let _ = writeln!(
            text,
            "  after {:<34} median {:.3}, worst {:.3} of {} (target {:.1})",
            since.words(),
            median(&seconds),
            seconds.last().copied().unwrap_or_default(),
            seconds.len(),
            since.target()
        );
    }
    text
}

/// Kinds of facts whose median delay is above its target.
pub fn too_slow(outcomes: &[Outcome]) -> Vec<Since> {
    let slow = by_fact(outcomes)
        .into_iter()
        .filter(|(since, seconds)| median(seconds) > since.target());
    slow.map(|(since, _)| since).collect()
}

fn by_fact(outcomes: &[Outcome]) -> BTreeMap<Since, Vec<f64>> {
    let mut delays: BTreeMap<Since, Vec<f64>> = BTreeMap::new();
    for delay in outcomes.iter().filter_map(|outcome| outcome.delay) {
        delays.entry(delay.since).or_default().push(delay.seconds);
    }
    for seconds in delays.values_mut() {
        seconds.sort_by(f64::total_cmp);
    }
    delays
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
