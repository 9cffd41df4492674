//! Running other programs: argument vectors in, a sentence out when they fail.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Runs to the end with the terminal's own streams.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let text = describe(command);
    let status = command
        .status()
        .map_err(|error| format!("could not run {text}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{text} ended with {status}"))
    }
}

/// Runs to the end and keeps the output for when it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Result<String, String> {
    let text = describe(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("could not run {text}: {error}"))?;
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(lossy(&output.stdout));
    }
    Err(format!(
        "{text} ended with {}\n{}{}",
        output.status,
        lossy(&output.stdout),
        lossy(&output.stderr)
    ))
}

/// Whether a program of this name is on the PATH.
pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps administrators' programs where a user's PATH may not look.
    let also = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(also)
        .any(|directory| directory.join(program).is_file())
}

/// Cargo, called as a person would. `./x` runs this program by `cargo run`, which tells it in variables which package it is; passed on, they
/// would be different from those of a call by hand, and build scripts that look at them, with all that is built on them, would run again.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root());
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_cargo_run(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
}

/// What cargo sets for a program that it runs, by the cargo book's "Environment variables".
fn is_of_cargo_run(name: &str) -> bool {
    const NAMES: [&str; 5] = [
        "CARGO",
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
        "OUT_DIR",
    ];
    NAMES.contains(&name) || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// The checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the checkout")
}

/// Where cargo builds to.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
