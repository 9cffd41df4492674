//! What the tests that need a real machine share.
#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod registry;

use std::{path::Path, process::Command};

/// Says why a test is not run. Returns true so that `if needs(…) { return; }` reads well.
pub(crate) fn skip(reason: &str) -> bool {
    eprintln!("skipped: {reason}");
    true
}

/// True (and said) when the test cannot run: it makes device nodes, owners and mounts.
pub(crate) fn lacks_root() -> bool {
    !rustix::process::geteuid().is_root() && skip("needs root")
}

/// True (and said) when a program is not installed.
pub(crate) fn lacks(program: &str) -> bool {
    let found = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .any(|directory| Path::new(directory).join(program).exists());
    !found && skip(&format!("{program} is not installed"))
}

/// Runs a program to its end; its output, or a panic with what it said.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
