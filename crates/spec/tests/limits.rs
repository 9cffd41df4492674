//! No text takes much time or memory, whatever it holds.

use std::time::Duration;

use mainstay_spec::{Format, Problem, SpecErrors, TEXT_BYTES_MAX, parse};

/// Processor time, so that a busy machine fails no test; the promise is 100 ms of an optimized build.
const TIME_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 5000 } else { 100 });

fn refused(name: &str, text: &str) -> SpecErrors {
    let start = processor_time();
    let result = parse(text, Format::Auto);
    let took = processor_time().saturating_sub(start);
    assert!(took < TIME_MAX, "{name} took {took:?}");
    result.map(|parsed| parsed.spec.name).expect_err(name)
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("time does not run backwards")
}

fn repeated(unit: &str) -> String {
    unit.repeat(TEXT_BYTES_MAX / unit.len())
}

#[test]
fn a_hundred_megabytes_are_refused_unread() {
    let errors = refused("100 MB", &"a".repeat(100 * 1024 * 1024));
    assert_eq!(errors.as_slice()[0].problem, Problem::TooLarge);
}

#[test]
fn deep_nesting_is_refused() {
    for unit in ["[", "{a: ", "{\"a\":", "- ", "? ", "a:\n", "&a [", "[[{"] {
        refused(unit, &repeated(unit));
    }
    let mut indented = String::new();
    for depth in 0..1000 {
        indented += &" ".repeat(depth);
        indented += "a:\n";
    }
    let errors = refused("indented", &indented);
    assert_eq!(errors.as_slice()[0].problem, Problem::TooLarge, "{errors}");
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut lines = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        let below = below.trim_end_matches(", ");
        lines += &[
            "a",
            &level.to_string(),
            ": &a",
            &level.to_string(),
            " [",
            below,
            "]\n",
        ]
        .concat();
    }
    let errors = refused("laughs", &lines);
    assert_eq!(errors.as_slice()[0].problem, Problem::TooLarge);

    let long = format!("a: &a {}\nb: [{}]", "x".repeat(500_000), "*a, ".repeat(100_000));
    assert_eq!(
        refused("long text", &long).as_slice()[0].problem,
        Problem::TooLarge
    );
}

#[test]
fn masses_of_small_things_are_refused_in_time() {
    for unit in [
        "a: 1\n", "- a\n", "\"", "'", "#\n", "\n", "\t", "*a ", "!a ", "%a\n", "|\n", "&a\n", "a", "a ",
        ", ", ": ", "é", "\u{0}", "<<: {}\n", "---\n",
    ] {
        refused(unit, &repeated(unit));
    }
    refused(
        "unknown fields",
        &numbered(60_000, |n| format!("htp_port{n}: 1\n")),
    );
    let wrong = numbered(40_000, |_| "- {nam: x}\n".into());
    refused("errors", &format!("services:\n{wrong}"));
    let base = numbered(2000, |n| format!("k{n}: 1, "));
    refused(
        "merges",
        &format!("base: &b {{{base}}}\nx:\n{}", "  <<: *b\n".repeat(20)),
    );
    let variables = numbered(12_000, |n| format!("- {{key: K{n}, value: v}}\n"));
    refused("variables", &format!("name: shop\nenvs:\n{variables}"));
}

fn numbered(count: usize, line: impl Fn(usize) -> String) -> String {
    let lines: Vec<String> = (0..count).map(line).collect();
    lines.concat()
}
