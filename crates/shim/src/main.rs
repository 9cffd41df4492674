//! The shim: one process per instance, which outlives the server.
//!
//! `mainstay-shim <run directory>` reads the spec there, listens on the socket there, detaches, and returns; from then on it speaks
//! the protocol of `mainstay_shim::protocol`. One thread and one poll loop, once the instance runs: nothing here may wait for the app, the disk of a client
//! or a server that is gone.
//!
//! `mainstay-shim --probe-file-owners <scratch directory> <directory> <first id>` only tries what an instance's layers need of the
//! kernel, and says it by its exit status: 0, or [`REFUSED_STATUS`] with the reason on standard error.

mod bundle;
mod create;
mod detach;
mod gate;
mod prompt_moves;
mod runtime;
mod start;
mod system;
mod watch;

use std::{
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::ExitCode,
};

use mainstay_shim::{
    PROBE_OPTION, REFUSED_STATUS,
    files::{self, FileError},
    protocol::SOCKET_FILE,
    spec::{SPEC_FILE, ShimSpec},
};

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    system::close_inherited_descriptors();
    match arguments.as_slice() {
        [run_dir] => run(run_dir),
        [option, scratch_dir, directory, id_base] if option.as_os_str() == PROBE_OPTION => {
            probe(scratch_dir, directory, id_base)
        }
        _ => {
            complain("usage: mainstay-shim <run directory>");
            ExitCode::from(64)
        }
    }
}

fn probe(scratch_dir: &Path, directory: &Path, id_base: &Path) -> ExitCode {
    let Some(id_base) = id_base.to_str().and_then(|text| text.parse().ok()) else {
        complain("the first id is no number");
        return ExitCode::from(64);
    };
    match create::probe::probe(scratch_dir, directory, id_base) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(refusal)) => {
            complain(&chain(&refusal));
            ExitCode::from(REFUSED_STATUS)
        }
        Err(error) => {
            complain(&chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(run_dir: &Path) -> ExitCode {
    let (spec, listener) = match prepare(run_dir) {
        Ok(prepared) => prepared,
        Err(error) => {
            complain(&chain(&error));
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = detach::detach(run_dir) {
        complain(&chain(&error));
        return ExitCode::FAILURE;
    }
    match start::serve(&spec, run_dir, listener) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// What can go wrong before the shim listens; told on standard error to the server that waits for it.
#[derive(Debug, thiserror::Error)]
enum PrepareError {
    #[error("the spec cannot be read")]
    Spec(#[source] FileError),
    #[error("there is no spec in {}", .0.display())]
    SpecMissing(PathBuf),
    #[error("cannot listen in {}", .0.display())]
    Listen(PathBuf, #[source] std::io::Error),
}

fn prepare(run_dir: &Path) -> Result<(ShimSpec, UnixListener), PrepareError> {
    let spec = files::read_json(&run_dir.join(SPEC_FILE))
        .map_err(PrepareError::Spec)?
        .ok_or_else(|| PrepareError::SpecMissing(run_dir.to_owned()))?;
    let listener = UnixListener::bind(run_dir.join(SOCKET_FILE))
        .map_err(|error| PrepareError::Listen(run_dir.to_owned(), error))?;
    Ok((spec, listener))
}

/// An error with everything that caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[expect(
    clippy::print_stderr,
    reason = "before it detaches, standard error is the shim's only way to tell the server"
)]
fn complain(text: &str) {
    eprintln!("mainstay-shim: {text}");
}
