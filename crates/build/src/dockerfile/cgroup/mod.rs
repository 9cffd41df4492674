//! The control groups of one build.
//!
//! ```text
//! <prefix>/<build>/          memory limit and kill counter, cpu weight and quota: nothing escapes them
//!                  engine/   buildah itself, so that commits count too
//!                  steps/    pids limit: a fork bomb may starve the steps, never buildah
//!                        ctr the runtime's: one per step, made and removed by it
//! ```
//!
//! Limits sit on parents because the runtime removes the step's own group, with its counters, when the step ends.

mod hierarchy;

use std::{
    fmt::Display,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use tokio::time::{Instant, sleep};

pub(crate) use hierarchy::Hierarchies;

use crate::api::BuildLimits;

/// Share of the CPU under contention; apps have 1024 (v1) or 100 (v2).
const CPU_SHARES_V1: u64 = 512;
const CPU_WEIGHT_V2: u64 = 50;
const CPU_PERIOD_MICROS: u64 = 100_000;
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The trees of v1 that we make directories in ourselves; the runtime makes its own in the others.
const V1_CONTROLLERS: [&str; 5] = ["memory", "pids", "cpu", "cpuacct", "freezer"];

/// The groups of one build. Not removed on drop: [`BuildCgroup::kill_all`] and [`BuildCgroup::remove`] have to wait.
#[derive(Debug, Clone)]
pub(crate) struct BuildCgroup {
    hierarchies: Hierarchies,
    /// From the root of the tree, with a leading slash.
    path: String,
}

/// A cgroup file or directory could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}")]
pub(crate) struct CgroupError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl BuildCgroup {
    pub(crate) fn new(hierarchies: Hierarchies, prefix: &str, name: &str) -> Self {
        Self {
            hierarchies,
            path: format!("{}/{name}", prefix.trim_end_matches('/')),
        }
    }

    /// Makes the directories and sets the limits.
    pub(crate) fn create(&self, limits: &BuildLimits) -> Result<(), CgroupError> {
        if self.hierarchies.is_v2() {
            self.create_v2(limits)
        } else {
            self.create_v1(limits)
        }
    }

    fn create_v1(&self, limits: &BuildLimits) -> Result<(), CgroupError> {
        for controller in V1_CONTROLLERS {
            let base = self.v1(controller);
            for child in ["engine", "steps"] {
                make_directory(&base.join(child))?;
            }
        }
        let memory = self.v1("memory");
        write(&memory.join("memory.limit_in_bytes"), limits.memory_bytes)?;
        let with_swap = memory.join("memory.memsw.limit_in_bytes");
        if with_swap.exists() {
            write(&with_swap, limits.memory_bytes)?;
        }
        write(&self.v1("pids").join("steps/pids.max"), limits.pids)?;
        let cpu = self.v1("cpu");
        write(&cpu.join("cpu.shares"), CPU_SHARES_V1)?;
        write(&cpu.join("cpu.cfs_period_us"), CPU_PERIOD_MICROS)?;
        write(&cpu.join("cpu.cfs_quota_us"), cpu_quota_micros(limits.cpu_millis))
    }

    fn create_v2(&self, limits: &BuildLimits) -> Result<(), CgroupError> {
        let base = self.base();
        let root = self
            .hierarchies
            .unified()
            .unwrap_or(Path::new("/sys/fs/cgroup"))
            .to_owned();
        let mut directory = root;
        for part in self.path.split('/').filter(|part| !part.is_empty()) {
            enable_controllers(&directory)?;
            directory.push(part);
            make_directory(&directory)?;
        }
        enable_controllers(&base)?;
        for child in ["engine", "steps"] {
            make_directory(&base.join(child))?;
        }
        write(&base.join("memory.max"), limits.memory_bytes)?;
        let swap = base.join("memory.swap.max");
        if swap.exists() {
            write(&swap, 0)?;
        }
        write(&base.join("steps/pids.max"), limits.pids)?;
        write(&base.join("cpu.weight"), CPU_WEIGHT_V2)?;
        let quota = format!("{} {CPU_PERIOD_MICROS}", cpu_quota_micros(limits.cpu_millis));
        write(&base.join("cpu.max"), quota)
    }

    /// The group whose memory events are ours: in the kernel's log, with a leading slash.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// For `--cgroup-parent`: buildah 1.28 uses this very group for each step and removes it after.
    pub(crate) fn step_path(&self) -> String {
        format!("{}/steps/ctr", self.path)
    }

    /// Moves a process (and what it will start) to the engine's group.
    pub(crate) fn add_to_engine(&self, pid: u32) -> Result<(), CgroupError> {
        if self.hierarchies.is_v2() {
            return write(&self.base().join("engine/cgroup.procs"), pid);
        }
        for controller in V1_CONTROLLERS {
            write(&self.v1(controller).join("engine/cgroup.procs"), pid)?;
        }
        Ok(())
    }

    /// v1: the directory whose `memory.oom_control` is watched; v2: the one with `memory.events`.
    pub(crate) fn memory_directory(&self) -> PathBuf {
        if self.is_v2() {
            self.base()
        } else {
            self.v1("memory")
        }
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.hierarchies.is_v2()
    }

    /// The most memory that was in use at once.
    pub(crate) fn memory_peak(&self) -> Option<u64> {
        let file = if self.is_v2() {
            "memory.peak"
        } else {
            "memory.max_usage_in_bytes"
        };
        let text = fs::read_to_string(self.memory_directory().join(file)).ok()?;
        text.trim().parse().ok()
    }

    /// How often the process limit refused a new process: v1 counts per step (in the group of the step), v2 since the build began.
    pub(crate) fn pids_limit_hits(&self) -> Option<u64> {
        let file = if self.is_v2() {
            self.base().join("steps/pids.events")
        } else {
            self.v1("pids").join("steps/ctr/pids.events")
        };
        let text = fs::read_to_string(file).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix("max ")?.trim().parse().ok())
    }

    /// Every process of the build.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        collect_processes(&self.process_tree(), &mut found);
        found
    }

    /// Kills everything in the groups, the children they make meanwhile included. False: something is still there at the deadline
    /// (a process in an uninterruptible wait).
    pub(crate) async fn kill_all(&self, deadline: Instant) -> bool {
        loop {
            let processes = self.processes();
            if processes.is_empty() {
                return true;
            }
            self.kill_once(&processes);
            if Instant::now() >= deadline {
                return false;
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    fn kill_once(&self, processes: &[i32]) {
        if self.is_v2() {
            // Errors show in the next look at the processes.
            let _ = fs::write(self.base().join("cgroup.kill"), "1");
            return;
        }
        // Frozen, a fork bomb cannot outrun the kills; the signals take effect when it is thawed.
        let freezer = self.v1("freezer").join("freezer.state");
        let _ = fs::write(&freezer, "FROZEN");
        for pid in processes.iter().chain(&self.processes()) {
            if let Some(pid) = Pid::from_raw(*pid) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        let _ = fs::write(&freezer, "THAWED");
    }

    /// Removes the directories in every tree; they must be empty of processes. The kernel may need a moment after the last exit.
    pub(crate) async fn remove(&self, deadline: Instant) -> Result<(), CgroupError> {
        let roots: Vec<PathBuf> = self.hierarchies.roots().map(Path::to_owned).collect();
        for root in roots {
            let directory = root.join(self.path.trim_start_matches('/'));
            while let Err(error) = remove_tree(&directory) {
                if Instant::now() >= deadline {
                    return Err(error);
                }
                sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// Names of the groups below the prefix, in any tree.
    pub(crate) fn existing(hierarchies: &Hierarchies, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = hierarchies
            .roots()
            .filter_map(|root| fs::read_dir(root.join(prefix.trim_start_matches('/'))).ok())
            .flat_map(Iterator::flatten)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn process_tree(&self) -> PathBuf {
        if self.is_v2() {
            self.base()
        } else {
            self.v1("freezer")
        }
    }

    fn base(&self) -> PathBuf {
        self.in_tree(self.hierarchies.unified())
    }

    fn v1(&self, controller: &str) -> PathBuf {
        self.in_tree(self.hierarchies.controller(controller))
    }

    fn in_tree(&self, root: Option<&Path>) -> PathBuf {
        root.unwrap_or(Path::new("/sys/fs/cgroup"))
            .join(self.path.trim_start_matches('/'))
    }
}

fn cpu_quota_micros(cpu_millis: u32) -> u64 {
    // The kernel refuses less than 1 ms.
    (u64::from(cpu_millis) * CPU_PERIOD_MICROS / 1000).max(1000)
}

fn make_directory(path: &Path) -> Result<(), CgroupError> {
    fs::create_dir_all(path).map_err(|source| CgroupError {
        action: "creating",
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, value: impl Display) -> Result<(), CgroupError> {
    fs::write(path, value.to_string()).map_err(|source| CgroupError {
        action: "writing",
        path: path.to_owned(),
        source,
    })
}

fn enable_controllers(directory: &Path) -> Result<(), CgroupError> {
    write(&directory.join("cgroup.subtree_control"), "+memory +cpu +pids")
}

fn collect_processes(directory: &Path, found: &mut Vec<i32>) {
    if let Ok(text) = fs::read_to_string(directory.join("cgroup.procs")) {
        found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    for child in child_directories(directory) {
        collect_processes(&child, found);
    }
}

fn child_directories(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .map(|entries| {
            entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path())
                .collect()
        })
        .unwrap_or_default()
}

/// Removes the directory and those below it, deepest first; that it is not there is fine.
fn remove_tree(directory: &Path) -> Result<(), CgroupError> {
    for child in child_directories(directory) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(directory) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(CgroupError {
            action: "removing",
            path: directory.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}
