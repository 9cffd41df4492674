//! `./x faults [filter…]`: deploys every fault of the suite on a platform of its own, and shows what the platform says beside what it must say.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program talks on its standard streams"
)]

use std::process::ExitCode;

use mainstay_e2e::{
    Platform, Programs,
    faults::{self, Fault, Since},
};

fn main() -> ExitCode {
    let filters: Vec<String> = std::env::args().skip(1).collect();
    let chosen = faults::chosen(&filters);
    if chosen.is_empty() {
        let known: Vec<String> = Fault::all().into_iter().map(|fault| fault.name).collect();
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
    println!("{}", faults::heading());
    let outcomes = faults::run(&platform, &chosen, &|outcome| {
        println!("{}", faults::line(outcome));
    });
    println!("{}", faults::summary(&outcomes));
    let slow = faults::too_slow(&outcomes);
    for since in &slow {
        println!("✘ the median after {} is above its target", Since::words(*since));
    }
    let right = outcomes.iter().all(|outcome| outcome.differences.is_empty());
    if right && slow.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
