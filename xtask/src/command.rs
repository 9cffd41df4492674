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

pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
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
