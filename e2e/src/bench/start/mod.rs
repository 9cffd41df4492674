//! `/bin/true` in the same root file system with the same limits, from the wish to start it until nothing of it is left.

mod engine;

use std::time::{Duration, Instant};

use mainstay_engine::Network;
use serde_json::{Value, json};

use self::engine::{OurEngine, Wish};
use super::{
    World,
    docker::{Docker, LIMITS},
    measure::{Series, in_turn},
    table::{Line, Target},
};

const ROUNDS: usize = 15;
const RATIO_MOST: f64 = 0.35;
const IMAGE: &str = "mainstay-bench/busybox";

/// One way of starting, on both sides.
struct Case {
    name: &'static str,
    other: &'static str,
    wish: Wish,
    theirs: fn(&Docker),
    target: Target,
}

const CASES: [Case; 4] = [
    Case {
        name: "start to exit",
        other: "docker run --rm",
        wish: Wish {
            network: Network::App,
            disk_bytes: None,
        },
        theirs: |docker| run(docker, "bridge"),
        target: Target::Ratio(RATIO_MOST),
    },
    Case {
        name: "start to exit, with a disk limit too",
        other: "docker run --rm, which has none",
        wish: Wish {
            network: Network::App,
            disk_bytes: Some(4 << 30),
        },
        theirs: |docker| run(docker, "bridge"),
        target: Target::Ratio(RATIO_MOST),
    },
    Case {
        name: "start to exit, no network",
        other: "docker run --rm --network none",
        wish: Wish {
            network: Network::None,
            disk_bytes: None,
        },
        theirs: |docker| run(docker, "none"),
        target: Target::Ratio(RATIO_MOST),
    },
    Case {
        name: "start to exit, without a client",
        other: "Docker's API, no docker program",
        wish: Wish {
            network: Network::App,
            disk_bytes: None,
        },
        theirs: ask_the_engine,
        target: Target::None,
    },
];

pub(super) fn run_section(world: &mut World) -> Vec<Line> {
    let rounds = world.rounds(ROUNDS);
    println!(
        "/bin/true in one busybox root file system; 512 MiB without swap, one CPU, 2048 processes; overlayfs, runc, seccomp on"
    );
    println!(
        "both sides. Ours: from the engine's `start` to the end of `remove`, in a user namespace of its own, output kept in log"
    );
    println!(
        "files. Docker: `docker run --rm`, as root. The network is the app's own bridge there, Docker's bridge here."
    );
    println!("{rounds} rounds in turn; median (least–most):\n");
    let docker = world.docker();
    docker.import(&[mainstay_testkit::busybox_layer()], &[], IMAGE);
    let ours = OurEngine::open();
    CASES
        .iter()
        .map(|case| measure(case, rounds, &ours, docker))
        .collect()
}

fn measure(case: &Case, rounds: usize, engine: &OurEngine, docker: &Docker) -> Line {
    let (starts, theirs) = in_turn(
        rounds,
        || engine.start_to_exit(&case.wish),
        || timed(|| (case.theirs)(docker)),
    );
    let series = |part: fn(&engine::Took) -> Duration| Series::of_times(starts.iter().map(part));
    let (running, ended, removed) = (
        series(|took| took.running),
        series(|took| took.ended),
        series(|took| took.removed),
    );
    let theirs = Series::of_times(theirs);
    println!(
        "{}: running {running}, ended {ended}, removed {removed}; {} {theirs}",
        case.name, case.other
    );
    Line {
        name: case.name.to_owned(),
        unit: "ms".to_owned(),
        ours: removed.median(),
        theirs: Some(theirs.median()),
        other: case.other.to_owned(),
        target: case.target,
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn run(docker: &Docker, network: &str) {
    let arguments = [
        &["run", "--rm", "--network", network],
        &LIMITS[..],
        &[IMAGE, "/bin/true"],
    ]
    .concat();
    let _ = docker.client(&arguments);
}

/// The same four verbs as ours: create and start, wait, remove.
fn ask_the_engine(docker: &Docker) {
    let limits = json!({
        "Memory": 512 << 20, "MemorySwap": 512 << 20, "NanoCpus": 1_000_000_000, "PidsLimit": 2048,
    });
    let wish = json!({ "Image": IMAGE, "Cmd": ["/bin/true"], "HostConfig": limits });
    let created = docker.api("POST", "/containers/create", Some(&wish));
    let id = created["Id"]
        .as_str()
        .expect("a created container has an id")
        .to_owned();
    let _: Value = docker.api("POST", &format!("/containers/{id}/start"), None);
    let ended = docker.api("POST", &format!("/containers/{id}/wait"), None);
    assert_eq!(ended["StatusCode"], 0, "/bin/true failed: {ended}");
    docker.api("DELETE", &format!("/containers/{id}"), None);
}
