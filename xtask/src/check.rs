//! `./x check`: everything that can be said about the code without running it.

use std::process::Command;

use crate::{
    command::{cargo, root, run},
    step::step,
    tidy, tools,
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

/// Advisories come from a database on the network; where it cannot be had, the rest is still checked.
fn dependencies() -> Result<(), String> {
    let mut command = Command::new(tools::cargo_deny()?);
    command.current_dir(root());
    run(command.args(["--log-level", "error", "check", "bans", "licenses", "sources"]))
}
