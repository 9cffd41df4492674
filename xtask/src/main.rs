//! The project's own commands, behind `./x`. The standard library alone, so that the first call on a fresh machine is quick.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program talks on its standard streams"
)]

mod check;
mod command;
mod guest;
mod leftovers;
mod packages;
mod programs;
mod server;
mod step;
mod suite;
mod tidy;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "usage: ./x COMMAND

  up       install what is missing, build, start Mainstay, deploy an example
  down     stop everything and leave nothing behind (--purge: also delete all data)
  test     install what is missing and run all tests (--cgroup2: the engine's, in qemu, on Debian's kernel with cgroup v2 alone)
  check    formatting, lints, dependencies, docs, house rules
  faults   deploy every fault of the suite for real; prints expected and got
  bench    measure beside docker and nginx: start, unchanged, one-file, memory, many, router (--rounds N)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["up"] => server::up(),
        ["down"] => server::down(false),
        ["down", "--purge"] => server::down(true),
        ["test", "--cgroup2", filters @ ..] => guest::test(filters),
        ["test", filters @ ..] => suite::test(filters),
        ["check"] => check::check(),
        ["faults", filters @ ..] => suite::faults(filters),
        ["bench", arguments @ ..] => suite::bench(arguments),
        ["tidy"] => tidy::tidy(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("\n✘ {message}");
            ExitCode::FAILURE
        }
    }
}
