//! `mainstay`: the command line of the platform. Talks to the API only.
//!
//! Standard output carries data only, in text or (`--output json`) in the API's own shape; progress and errors go to standard error. The
//! exit status is 0 when what was asked for happened, 1 when it did not, 2 when the question was wrong.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program talks on its standard streams"
)]

mod args;
mod client;
mod commands;
mod connection;
mod contexts;
mod error;
mod output;
mod pack;
mod progress;
mod secret_input;

use std::process::ExitCode;

use clap::Parser;

use args::Arguments;
use output::Output;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(&arguments);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: could not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(commands::run(arguments, &output)) {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
