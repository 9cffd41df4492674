//! `mainstay-outside-server PLAN`: the first process of a server that is not the platform's. Started by the tests, in namespaces of its own.
#![allow(clippy::print_stderr, reason = "what it says is with the server's own log")]

use std::{env, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let Some(plan) = env::args_os().nth(1) else {
        eprintln!("usage: mainstay-outside-server PLAN");
        return ExitCode::from(2);
    };
    match mainstay_e2e::serve_outside(Path::new(&plan)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the server does not serve: {error}");
            ExitCode::FAILURE
        }
    }
}
