//! Building the platform's programs.

use std::path::PathBuf;

use crate::{
    command::{cargo, run, target},
    step::step,
};

/// The programs besides the init, which is built on its own.
const PACKAGES: [&str; 4] = [
    "mainstay-cli",
    "mainstay-control",
    "mainstay-router",
    "mainstay-shim",
];

/// Builds everything for use; gives the directory.
pub(crate) fn build_for_use() -> Result<PathBuf, String> {
    step("build the programs", || {
        let mut command = cargo();
        command.args(["build", "--release", "--quiet"]);
        for package in PACKAGES {
            command.args(["--package", package]);
        }
        run(&mut command)?;
        build_init()
    })?;
    Ok(target().join("release"))
}

/// The init runs inside every image, whatever its libc: it is linked statically.
pub(crate) fn build_init() -> Result<(), String> {
    let mut command = cargo();
    command.args([
        "rustc",
        "--release",
        "--quiet",
        "--package",
        "mainstay-init",
        "--bin",
        "mainstay-init",
    ]);
    command.args([
        "--",
        "-C",
        "target-feature=+crt-static",
        "-C",
        "relocation-model=static",
    ]);
    run(&mut command)
}
