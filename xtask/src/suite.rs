//! Running tests, faults and benchmarks.

use crate::{
    command::{cargo, exists, run, target},
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
    let programs = programs::build_for_use()?;
    let mut command = cargo();
    command
        .args([
            "run",
            "--release",
            "--quiet",
            "--package",
            "mainstay-e2e",
            "--bin",
            "faults",
            "--",
        ])
        .args(filters);
    run(command.env("MAINSTAY_PROGRAMS", programs))
}

/// Everything beside its named alternative in one run; the programs are those of a release.
pub(crate) fn bench(arguments: &[&str]) -> Result<(), String> {
    packages::require_root()?;
    packages::install_to_bench()?;
    let programs = programs::build_for_use()?;
    let mut command = cargo();
    command
        .args([
            "run",
            "--release",
            "--quiet",
            "--package",
            "mainstay-e2e",
            "--bin",
            "bench",
            "--",
        ])
        .args(arguments);
    run(command.env("MAINSTAY_PROGRAMS", programs))
}
