//! What each side's own processes hold in memory while the same app runs in several instances.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::{
    World,
    docker::Docker,
    shop::{self, Shop, in_docker},
    table::{Line, Target},
};
use crate::{Platform, wait_until};

/// Several, so that what the shims share is not counted as one's own.
const INSTANCES: u8 = 4;
const SERVER_MB_MOST: f64 = 40.0;
const SHIM_MB_MOST: f64 = 1.0;
const ROUTER_MB_MOST: f64 = 20.0;
/// Deployments that just ended are cleaned up after.
const IDLE_AFTER: Duration = Duration::from_secs(2);
const IDLE_WITHIN: Duration = Duration::from_secs(30);

/// Megabytes of some processes.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    resident: f64,
    proportional: f64,
    private: f64,
}

/// Names of programs, and what each process of them had when it was looked at.
type Processes = Vec<(String, Memory)>;

pub(super) fn run_section(world: &mut World) -> Vec<Line> {
    println!(
        "The Express app in {INSTANCES} instances on both sides, and nobody visits. MB are 2^20 bytes; proportional: shared pages by their"
    );
    println!("share; private: pages that nobody else has.\n");
    let (platform, docker, shop) = world.both_with_shop();
    let folder = shop.folder().clone().setting("instance_count", INSTANCES);
    let _ = platform.deploy_active(&folder);
    let their_processes = with_containers(docker, shop, || look_at(docker.processes().into_iter()));
    wait_until_idle(platform);
    let our_processes = look_at(platform.processes().into_iter().map(|(pid, _)| pid));
    let server = Memory::of(&our_processes, "mainstay-server").0;
    let fresh = after_restart(world);
    println!(
        "mainstay-server: {}; restarted, with the same instances: {}",
        server.show(),
        fresh.show()
    );
    let router = show(&our_processes, "mainstay-router", "together").0;
    let shims = show(&our_processes, "mainstay-shim", "each").1;
    show(&our_processes, "mainstay-init", "each");
    let daemon = show(&their_processes, "dockerd", "together").0;
    let containerd = show(&their_processes, "containerd", "together").0;
    let their_shims = show(&their_processes, "containerd-shim-runc-v2", "each").1;
    vec![
        line(
            "server, resident",
            server.resident,
            Some(daemon.resident + containerd.resident),
            "dockerd + containerd",
            SERVER_MB_MOST,
        ),
        line(
            "shim, private, per instance",
            shims.private,
            Some(their_shims.private),
            "containerd-shim",
            SHIM_MB_MOST,
        ),
        line(
            "router, resident, all processes",
            router.resident,
            None,
            "–",
            ROUTER_MB_MOST,
        ),
    ]
}

fn line(name: &str, ours: f64, theirs: Option<f64>, other: &str, most: f64) -> Line {
    Line {
        name: format!("memory: {name}"),
        unit: "MB".to_owned(),
        ours,
        theirs,
        other: other.to_owned(),
        target: Target::Most(most),
    }
}

/// Prints the memory of the processes of one program; gives their sum and their mean.
fn show(processes: &Processes, program: &str, how: &str) -> (Memory, Memory) {
    let (sum, count) = Memory::of(processes, program);
    let mean = sum.times(1.0 / f64::from(count.max(1)));
    let shown = if how == "each" { mean } else { sum };
    println!("{program} ({count}), {how}: {}", shown.show());
    (sum, mean)
}

/// Looks while the containers run.
fn with_containers<T>(docker: &Docker, shop: &Shop, look: impl FnOnce() -> T) -> T {
    let version = "in memory";
    let directory = shop.directories().1;
    shop::change(directory, version);
    let _ = in_docker::build(docker, directory);
    let names: Vec<String> = (0..INSTANCES).map(|number| format!("memory-{number}")).collect();
    for name in &names {
        in_docker::run(docker, name);
    }
    for name in &names {
        in_docker::await_page(docker, name, &shop::words(version));
    }
    let seen = look();
    for name in &names {
        let _ = docker.client(&["rm", "--force", name]);
    }
    seen
}

/// Until the server has not used a CPU for a while.
fn wait_until_idle(platform: &Platform) {
    let used = || {
        let path = format!("/proc/{}/schedstat", platform.server_process()?);
        fs::read_to_string(path)
            .ok()?
            .split(' ')
            .next()
            .map(str::to_owned)
    };
    let (mut last, mut since) = (used(), Instant::now());
    wait_until(IDLE_WITHIN, || {
        let now = used();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        since.elapsed() >= IDLE_AFTER
    });
}

/// The server alone, as it is when it found everything running.
fn after_restart(world: &mut World) -> Memory {
    let platform = world.platform_mut();
    platform.stop_server();
    platform.start_server();
    wait_until_idle(platform);
    let processes = look_at(platform.server_process().into_iter());
    Memory::of(&processes, "mainstay-server").0
}

/// Looks at the processes now.
fn look_at(pids: impl Iterator<Item = u32>) -> Processes {
    pids.filter_map(|pid| {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let program = command.split('\0').next()?;
        Some((program.rsplit('/').next()?.to_owned(), Memory::read(pid)?))
    })
    .collect()
}

impl Memory {
    /// Of all processes of a program, and how many there are.
    fn of(processes: &Processes, program: &str) -> (Self, u32) {
        let of_program = processes.iter().filter(|(name, _)| name == program);
        of_program.fold((Self::default(), 0), |(sum, count), (_, one)| {
            (sum.plus(*one), count + 1)
        })
    }

    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        Some(Self {
            resident: megabytes(&text, "Rss:")?,
            proportional: megabytes(&text, "Pss:")?,
            private: megabytes(&text, "Private_Clean:")? + megabytes(&text, "Private_Dirty:")?,
        })
    }

    fn plus(self, other: Self) -> Self {
        Self {
            resident: self.resident + other.resident,
            proportional: self.proportional + other.proportional,
            private: self.private + other.private,
        }
    }

    fn times(self, factor: f64) -> Self {
        Self {
            resident: self.resident * factor,
            proportional: self.proportional * factor,
            private: self.private * factor,
        }
    }

    fn show(self) -> String {
        let Self {
            resident,
            proportional,
            private,
        } = self;
        format!("{resident:.1} MB resident, {proportional:.1} proportional, {private:.2} private")
    }
}

fn megabytes(text: &str, field: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes / 1024.0)
}
