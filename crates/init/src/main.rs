//! PID 1 of every instance, and the last step of every exec.
//!
//! ```text
//! mainstay-init run  <stop signal> <working directory> <command> [argument]...
//! mainstay-init exec <working directory> <command> [argument]...
//! ```
//!
//! `run` starts the command as its own session, forwards signals to it, reaps, and reports on descriptor 3 (see the library) the
//! command's start and its raw wait status: seen from outside, PID 1 could not tell `exit 137` from a kill. `exec` replaces
//! itself with the command and reports only a failure. Neither ever asks a shell: what the kernel refuses, stays refused.

#![expect(unsafe_code, reason = "process control is nothing but system calls")]

mod command;
mod run;
mod signals;
mod system;

use std::{ffi::CString, os::unix::ffi::OsStringExt};

use command::Command;

fn main() {
    let arguments: Vec<CString> = std::env::args_os()
        .skip(1)
        .map(|argument| CString::new(argument.into_vec()).expect("an argument of a process holds no NUL"))
        .collect();
    let code = match arguments.split_first() {
        Some((mode, rest)) if mode.as_bytes() == b"run" => match rest {
            [stop_signal, directory, argv @ ..] if !argv.is_empty() => {
                run::run(&Command::new(directory, argv), signals::parse(stop_signal))
            }
            _ => USAGE_ERROR,
        },
        Some((mode, rest)) if mode.as_bytes() == b"exec" => match rest {
            [directory, argv @ ..] if !argv.is_empty() => run::exec(&Command::new(directory, argv)),
            _ => USAGE_ERROR,
        },
        _ => USAGE_ERROR,
    };
    system::exit_now(code);
}

/// What the shim passes is made by the shim; a wrong command line is a fault of ours, told by this code alone.
const USAGE_ERROR: i32 = 64;
