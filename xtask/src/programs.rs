//! Building the platform's programs.

use std::{fs, path::PathBuf};

use crate::{
    command::{cargo, run, target},
    step::step,
};

const ROUTER: &str = "mainstay-router";
/// Of the workspace's Cargo.toml.
const ROUTER_PROFILE: &str = "router";
/// The programs besides those that are built in a way of their own.
const PACKAGES: [&str; 3] = ["mainstay-cli", "mainstay-control", "mainstay-shim"];

/// Builds everything for use; gives the directory.
pub(crate) fn build_for_use() -> Result<PathBuf, String> {
    build_and(&[])
}

/// Builds everything for use, and the programs that measure and try it, from one selection of packages: another one would have other
/// features, and build the dependencies once more. Gives the directory.
pub(crate) fn build_to_try() -> Result<PathBuf, String> {
    build_and(&["mainstay-e2e"])
}

fn build_and(others: &[&str]) -> Result<PathBuf, String> {
    step("build the programs", || {
        let mut command = cargo();
        command.args(["build", "--release", "--quiet"]);
        for package in PACKAGES.iter().chain(others) {
            command.args(["--package", package]);
        }
        run(&mut command)?;
        build_router()?;
        build_init()
    })?;
    Ok(target().join("release"))
}

/// Every request passes the router: it is optimised as a whole, which would take too long for all programs.
fn build_router() -> Result<(), String> {
    let mut command = cargo();
    command.args(["build", "--quiet", "--profile", ROUTER_PROFILE]);
    command.args(["--package", "mainstay-router", "--bin", ROUTER]);
    run(&mut command)?;
    let (built, used) = (target().join(ROUTER_PROFILE), target().join("release"));
    let draft = used.join(format!("{ROUTER}.new"));
    let put = fs::copy(built.join(ROUTER), &draft).and_then(|_| fs::rename(&draft, used.join(ROUTER)));
    put.map_err(|error| format!("could not put {ROUTER} beside the other programs: {error}"))
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
