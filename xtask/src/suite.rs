//! Running tests, faults and benchmarks.

use std::process::Command;

use crate::{
    command::{cargo, exists, root, run, target},
    leftovers::Snapshot,
    packages, programs,
    step::step,
};

/// All tests, the real-container ones too.
pub(crate) fn test(filters: &[&str]) -> Result<(), String> {
    packages::require_root()?;
    packages::install_to_test()?;
    step("build the programs under test", || {
        programs::build_init()?;
        run(cargo().args(["build", "--workspace", "--bins", "--quiet"]))
    })?;
    let mut command = cargo();
    // A test process each, several at a time, is what the tests are written for; without nextest, one binary after the other.
    if exists("cargo-nextest") {
        command
            .args(["nextest", "run", "--workspace", "--no-fail-fast"])
            .args(filters);
    } else {
        command
            .args(["test", "--workspace", "--no-fail-fast"])
            .args(filters);
    }
    command.env("MAINSTAY_PROGRAMS", target().join("debug"));
    command.env("MAINSTAY_INIT", target().join("release").join("mainstay-init"));
    let before = Snapshot::take();
    let passed = run(&mut command);
    match (passed, before.compare()) {
        (Err(failed), Err(left)) => Err(format!("{failed}\n{left}")),
        (passed, clean) => passed.and(clean),
    }
}

pub(crate) fn faults(filters: &[&str]) -> Result<(), String> {
    packages::require_root()?;
    packages::install_to_test()?;
    try_with("faults", filters)
}

/// Everything beside its named alternative in one run; the programs are those of a release.
pub(crate) fn bench(arguments: &[&str]) -> Result<(), String> {
    packages::require_root()?;
    packages::install_to_bench()?;
    try_with("bench", arguments)
}

fn try_with(program: &str, arguments: &[&str]) -> Result<(), String> {
    let programs = programs::build_to_try()?;
    let mut command = Command::new(programs.join(program));
    command.current_dir(root()).args(arguments);
    run(command.env("MAINSTAY_PROGRAMS", programs))
}
