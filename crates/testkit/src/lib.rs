//! What tests of several rooms share: a load client, the small programs, a root file system to run, a part of the machine of their own, and
//! the one way to say that a test cannot run on this machine.

#![expect(
    clippy::missing_panics_doc,
    reason = "a test's world that cannot be built fails the test"
)]

mod binaries;
mod busybox;
pub mod load;
mod place;

use std::path::Path;

pub use binaries::{Profile, binaries, build_binaries};
pub use busybox::busybox_layer;
pub use place::Place;

/// Whether this machine can run a test that needs root and these programs. Says why not on standard error, so that a skipped test is
/// seen. With `MAINSTAY_TEST_MUST_RUN` set (as the gate does) a test that cannot run fails.
#[expect(
    clippy::print_stderr,
    reason = "the reason of a skip belongs into the test's output"
)]
pub fn can_run(programs: &[&str]) -> bool {
    let missing = missing(programs);
    if missing.is_empty() {
        return true;
    }
    let reason = format!("skipped: this machine lacks {}", missing.join(", "));
    assert!(std::env::var_os("MAINSTAY_TEST_MUST_RUN").is_none(), "{reason}");
    eprintln!("{reason}");
    false
}

fn missing(programs: &[&str]) -> Vec<String> {
    let mut missing: Vec<String> = programs
        .iter()
        .filter(|program| !is_installed(program))
        .map(|program| (*program).to_owned())
        .collect();
    if !rustix::process::geteuid().is_root() {
        missing.push("root".to_owned());
    }
    missing
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([Path::new("/usr/sbin").to_owned(), Path::new("/sbin").to_owned()])
        .any(|directory| directory.join(program).is_file())
}
