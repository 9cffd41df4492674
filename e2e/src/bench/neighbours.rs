//! What visitors of an app notice of builds beside it that take what they can.

use std::time::Duration;

use mainstay_testkit::load::Report;
use serde_json::json;

use super::{
    World, interrupt,
    measure::milliseconds,
    programs,
    table::{Line, Target},
};
use crate::{
    Deployment, Folder, Platform, Visiting,
    faults::{Fault, TIGHT_LIMITS},
    wait_until,
};

const APP: &str = "neighbour";
const PER_SECOND: f64 = 100.0;
/// Answers before a build begins: a p99 of fewer says little.
const QUIET_ANSWERS: u64 = 500;
/// A build that fails at once is begun again until there are as many answers beside it.
const BESIDE_ANSWERS: u64 = QUIET_ANSWERS;
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);

/// Faults of the suite, by their folders.
const BUILDS: [&str; 10] = [
    "build-dockerfile-exit-125",
    "build-exit-125-static",
    "healthy-build-memory-forgiven",
    "build-memory-behind-exit-7",
    "build-memory-behind-exit-7-static",
    "build-time-limit-dockerfile",
    "build-fork-bomb",
    "build-fork-bomb-static",
    "build-disk-dockerfile",
    "build-disk-static",
];

pub(super) fn run_section(world: &mut World) -> Vec<Line> {
    println!(
        "A Node.js app with {PER_SECOND} visits a second through the router: alone, and while a build beside it misbehaves. A build has"
    );
    println!("256 MiB of memory and of disk, 64 processes and 20 s here.\n");
    // It needs limits of its own.
    world.take_down();
    let platform = Platform::start_with(programs(), TIGHT_LIMITS);
    let registry = platform.start_registry();
    registry.push_busybox("library/alpine:latest", &[], "sh");
    let _ = platform.deploy_active(&neighbour());
    let faults = Fault::all();
    let lines = BUILDS.iter().map(|name| {
        let fault = faults.iter().find(|fault| fault.name == *name);
        beside(
            &platform,
            fault.unwrap_or_else(|| panic!("no fault is called {name}")),
        )
    });
    lines.collect()
}

/// Answers at once, from memory.
fn neighbour() -> Folder {
    let package = json!({ "name": APP, "version": "1.0.0", "private": true });
    Folder::service(APP)
        .setting("run_command", "node server.js")
        .with("package.json", &package.to_string())
        .with(
            "server.js",
            "require('node:http').createServer((_, response) => response.end('here\\n')).listen(process.env.PORT);\n",
        )
}

fn beside(platform: &Platform, fault: &Fault) -> Line {
    interrupt::check();
    let quiet = platform.visitors(APP, PER_SECOND);
    let came = wait_until(ANSWERS_WITHIN, || quiet.requests() >= QUIET_ANSWERS);
    assert!(came, "too few visits were answered");
    let quiet = quiet.stop();
    let visiting = platform.visitors(APP, PER_SECOND);
    let ended = misbehave(platform, fault, &visiting);
    let during = visiting.stop();
    println!(
        "{}: p99 {:.1} ms, worst {:.1} ms, {} of {} failed; alone p99 {:.1} ms, worst {:.1} ms. The build: {}",
        fault.name,
        p99(&during),
        worst(&during),
        during.failed(),
        during.requests,
        p99(&quiet),
        worst(&quiet),
        ended
            .code()
            .map_or("succeeded".to_owned(), |code| code.to_string()),
    );
    Line {
        name: format!("p99 beside {}", fault.name),
        unit: "ms".to_owned(),
        ours: p99(&during),
        theirs: Some(p99(&quiet)),
        other: "the app alone".to_owned(),
        target: Target::None,
    }
}

/// Deploys it as a new app, more than once if it is over before enough visitors came.
fn misbehave(platform: &Platform, fault: &Fault, visiting: &Visiting) -> Deployment {
    loop {
        interrupt::check();
        let folder = fault.folder("misbehaving");
        let ended = platform.deploy_directory(folder.path());
        platform.delete("misbehaving");
        if visiting.requests() >= BESIDE_ANSWERS {
            return ended;
        }
    }
}

fn p99(report: &Report) -> f64 {
    milliseconds(report.percentile(0.99))
}

fn worst(report: &Report) -> f64 {
    milliseconds(report.percentile(1.0))
}
