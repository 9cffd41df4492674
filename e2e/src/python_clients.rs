//! Programs that users have from PyPI, in an environment of their own that is kept between runs.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sha2::{Digest, Sha256};

use crate::{
    cache,
    run::{Answer, run},
};

const INSTALLS_WITHIN: Duration = Duration::from_mins(5);
const TOOL_WITHIN: Duration = Duration::from_mins(1);
/// Written last: an environment without it was never finished.
const COMPLETE: &str = "complete";

/// Scripts of `e2e/clients`, and the environment that they run in.
#[derive(Debug)]
pub struct PythonClients {
    environment: PathBuf,
}

impl PythonClients {
    /// Makes the environment if it is not there yet. `None`, with the reason on standard error, where PyPI cannot be reached; with
    /// `MAINSTAY_TEST_MUST_RUN` set that fails the test.
    pub fn find() -> Option<Self> {
        let _lock = cache::lock("clients.lock");
        let found = provide();
        if let Err(reason) = &found {
            assert!(
                std::env::var_os("MAINSTAY_TEST_MUST_RUN").is_none(),
                "no clients from PyPI: {reason}"
            );
            eprintln!("skipped: no clients from PyPI: {reason}");
        }
        found.ok()
    }

    /// Runs a script of ours to its end.
    pub fn run_script(&self, script: &str, arguments: &[&str], within: Duration) -> Answer {
        let mut command = Command::new(self.environment.join("bin/python"));
        command.arg(directory().join(script)).args(arguments);
        // Nothing is written into the checkout, and no proxy stands before the loopback.
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*");
        run(&mut command, within)
    }

    /// The original's description of its API.
    pub fn contract() -> PathBuf {
        directory().join("../contract/openapi-apps.json")
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

fn provide() -> Result<PythonClients, String> {
    let requirements = directory().join("requirements.txt");
    let wanted = fs::read(&requirements).map_err(|error| error.to_string())?;
    let name = format!(
        "clients-{}",
        data_encoding::HEXLOWER.encode(&Sha256::digest(&wanted)[..6])
    );
    let environment = cache::path(&name);
    if !environment.join(COMPLETE).is_file() {
        // What an interrupted run left is of no use.
        drop(fs::remove_dir_all(&environment));
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv"]).arg(&environment);
        succeed(&mut venv, TOOL_WITHIN)?;
        let mut pip = Command::new(environment.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ]);
        succeed(pip.arg(&requirements), INSTALLS_WITHIN)?;
        File::create(environment.join(COMPLETE)).map_err(|error| error.to_string())?;
        cache::forget_others("clients-", &name);
    }
    cache::note_use(&environment);
    Ok(PythonClients { environment })
}

fn succeed(command: &mut Command, within: Duration) -> Result<(), String> {
    let answer = run(command, within);
    if answer.is_success() {
        return Ok(());
    }
    let last = answer
        .stderr
        .lines()
        .last()
        .unwrap_or("it said nothing")
        .to_owned();
    Err(format!("{}: {last}", command.get_program().display()))
}
