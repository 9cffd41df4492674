//! The router against nginx: a benchmark of its own room, run from here so that its results stand in the same table.

use std::{fs, path::Path, process::Command};

use serde::Deserialize;

use super::{
    World,
    table::{Line, Target},
};

/// One line of what that benchmark writes down.
#[derive(Debug, Deserialize)]
struct Measured {
    name: String,
    unit: String,
    router: f64,
    nginx: f64,
    target: Target,
}

pub(super) fn run_section(world: &mut World) -> Vec<Line> {
    // It needs both cores for itself.
    world.take_down();
    let results = tempfile::NamedTempFile::new().expect("the temporary directory is writable");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command.args([
        "bench",
        "--quiet",
        "--profile",
        "router",
        "--package",
        "mainstay-router",
        "--bench",
        "against_nginx",
        "--",
    ]);
    command.arg("--results").arg(results.path());
    if let Some(rounds) = world.rounds_wanted() {
        command.args(["--rounds", &rounds.to_string()]);
    }
    let status = command.status().expect("cargo is a program");
    assert!(status.success(), "the router's benchmark ended with {status}");
    let text = fs::read_to_string(results.path()).expect("our own file");
    let measured: Vec<Measured> = serde_json::from_str(&text).expect("the router's benchmark writes JSON");
    measured.into_iter().map(line).collect()
}

fn line(measured: Measured) -> Line {
    Line {
        name: format!("router: {}", measured.name),
        unit: measured.unit,
        ours: measured.router,
        theirs: Some(measured.nginx),
        other: "nginx".to_owned(),
        target: measured.target,
    }
}
