//! `./x bench [--rounds N] [filter…]`: measures Mainstay beside Docker and nginx, and says which targets are met.
#![allow(
    clippy::print_stderr,
    reason = "a command line program talks on its standard streams"
)]

use std::{path::Path, process::ExitCode};

use mainstay_e2e::bench::{DOCKER_DAEMON, Options, become_docker_daemon, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let [DOCKER_DAEMON, directory, name] = words.as_slice() {
        let error = become_docker_daemon(Path::new(directory), name);
        eprintln!("Docker's daemon cannot be started: {error}");
        return ExitCode::FAILURE;
    }
    let Some(options) = options(&words) else {
        eprintln!("usage: ./x bench [--rounds N] [filter…]");
        return ExitCode::from(2);
    };
    if run(&options) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn options(words: &[&str]) -> Option<Options> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--rounds" => options.rounds = Some(words.next()?.parse().ok().filter(|rounds| *rounds > 0)?),
            option if option.starts_with('-') => return None,
            filter => options.filters.push(filter.to_owned()),
        }
    }
    Some(options)
}
