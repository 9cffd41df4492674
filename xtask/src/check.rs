//! `./x check`: everything that can be said about the code without running it.

use std::process::Command;

use crate::{
    command::{cargo, exists, run, run_quietly},
    step::step,
    tidy,
};

pub(crate) fn check() -> Result<(), String> {
    step("formatting", || run(cargo().args(["fmt", "--all", "--check"])))?;
    step("lints", || {
        run(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ]))
    })?;
    step("docs", || {
        let mut command = cargo();
        command.args([
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--quiet",
        ]);
        run(command.env(
            "RUSTDOCFLAGS",
            "--deny warnings --allow rustdoc::private_intra_doc_links",
        ))
    })?;
    step("dependencies", dependencies)?;
    step("house rules", tidy::tidy)
}

/// cargo-deny is built from its sources on the first call.
fn dependencies() -> Result<(), String> {
    if !exists("cargo-deny") && run_quietly(Command::new("cargo-deny").arg("--version")).is_err() {
        run(cargo().args(["install", "--locked", "--quiet", "cargo-deny"]))?;
    }
    // Advisories come from a database on the network; where it cannot be had, the rest is still checked.
    run(cargo().args([
        "deny",
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}
