//! `./x faults [filter…]`: breaks an app in every known way on a platform of its own, and shows what the platform says beside what it must say.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program talks on its standard streams"
)]

use std::process::ExitCode;

use mainstay_e2e::{
    Platform, Programs,
    faults::{FAULTS, Fault, Outcome, check, healthy},
};

const APP: &str = "faulty";
const GREETING: &str = "the version before";

fn main() -> ExitCode {
    let filters: Vec<String> = std::env::args().skip(1).collect();
    let chosen = |fault: &&Fault| {
        filters.is_empty() || filters.iter().any(|filter| fault.name.contains(filter.as_str()))
    };
    let faults: Vec<&Fault> = FAULTS.iter().filter(chosen).collect();
    if faults.is_empty() {
        let known: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        eprintln!(
            "no fault is called like {filters:?}; known are {}",
            known.join(", ")
        );
        return ExitCode::from(2);
    }
    let Some(programs) = Programs::find() else {
        return ExitCode::FAILURE;
    };
    let platform = Platform::start(programs);
    println!("› deploy the app that gets broken");
    let healthy = platform.deploy_active(&healthy(APP, GREETING));
    println!("✔ {healthy}\n");
    println!("{}", row("", "FAULT", "EXPECTED", "GOT", "SECONDS"));
    let right = faults
        .iter()
        .map(|fault| show(fault, &check(&platform, fault, APP, GREETING)))
        .filter(|right| *right)
        .count();
    println!(
        "\n{right} of {} faults are explained as they must be",
        faults.len()
    );
    if right == faults.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints the fault's row, and what differs below it.
fn show(fault: &Fault, outcome: &Outcome) -> bool {
    let right = outcome.differences.is_empty();
    let pair = |code: Option<String>, cause: Option<String>| {
        format!("{}/{}", code.unwrap_or("-".into()), cause.unwrap_or("-".into()))
    };
    let expected = pair(Some(fault.code.to_string()), Some(fault.cause.to_string()));
    let deployment = &outcome.deployment;
    let got = match deployment.phase() {
        "ERROR" => pair(
            deployment.code().map(|code| code.to_string()),
            deployment.cause().map(|cause| cause.to_string()),
        ),
        other => other.to_owned(),
    };
    let seconds = format!("{:.1}", outcome.took.as_secs_f64());
    println!(
        "{}",
        row(
            if right { "✔" } else { "✘" },
            fault.name,
            &expected,
            &got,
            &seconds
        )
    );
    for difference in &outcome.differences {
        println!("    {}", difference.replace('\n', "\n    "));
    }
    right
}

fn row(mark: &str, name: &str, expected: &str, got: &str, seconds: &str) -> String {
    format!("{mark:1} {name:<22} {expected:<52} {got:<52} {seconds:>7}")
}
