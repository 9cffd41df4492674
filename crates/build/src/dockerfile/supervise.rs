//! Runs one program of a build to its end: passes its lines on, and stops it at the time limit, on cancel and over the disk budget.
//!
//! Stopping is polite first (SIGTERM; buildah then kills the step and removes its container), then hard (everything in the control group),
//! and nothing that it started is left when [`Supervisor::follow`] returns.

use std::{process::ExitStatus, time::Duration};

use mainstay_shim::log::LogSource;
use rustix::process::{Pid, Signal};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

use super::{
    cgroup::BuildCgroup,
    disk_watch::{DiskExceeded, DiskWatch},
    ending::TAIL_LINES,
    kernel_log::{KernelLog, Victim},
    memory_watch::MemoryWatch,
    process::Running,
};

const TICK: Duration = Duration::from_millis(100);
/// For the last processes to go and the last lines to come, after the hard stop.
pub(crate) const LAST_RESORT: Duration = Duration::from_secs(10);

/// Why we ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    TimeLimit,
    Canceled,
    Disk(DiskExceeded),
}

/// Is told what is observed, in order.
pub(crate) trait Observer {
    fn line(&mut self, source: LogSource, text: &str);
    /// The kernel's counter moved by `count`.
    fn memory_kills(&mut self, count: u64);
    /// How often the kernel refused a process so far: of this step (`cumulative` false) or of the whole build.
    fn process_limit_hits(&mut self, hits: u64, cumulative: bool);
    /// The kernel's log named who was killed.
    fn victims(&mut self, victims: Vec<Victim>);
}

/// How it ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// `None`: it could not even be killed.
    pub status: Option<ExitStatus>,
    pub stop: Option<Stop>,
    pub stderr_tail: Vec<String>,
}

/// The limits of a build, and the eyes on it.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub cgroup: BuildCgroup,
    pub memory: MemoryWatch,
    pub kernel_log: Option<KernelLog>,
    pub disk: Option<DiskWatch>,
    pub deadline: Instant,
    pub grace_period: Duration,
    pub cancel: watch::Receiver<bool>,
}

impl Supervisor {
    pub(crate) async fn follow(&mut self, mut running: Running, observer: &mut impl Observer) -> Ended {
        let mut ended = Ended {
            status: None,
            stop: None,
            stderr_tail: Vec::new(),
        };
        let mut kill_at: Option<Instant> = None;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lines_open = true;
        loop {
            let watching = ended.stop.is_none();
            let hard_stop = kill_at.unwrap_or(self.deadline);
            let stop = tokio::select! {
                line = running.lines.recv(), if lines_open => {
                    match line {
                        Some((source, text)) => self.note_line(observer, &mut ended, source, &text),
                        None => lines_open = false,
                    }
                    None
                }
                status = running.child.wait() => {
                    ended.status = status.ok();
                    break;
                }
                () = sleep_until(self.deadline), if watching => Some(Stop::TimeLimit),
                () = canceled(&mut self.cancel), if watching => Some(Stop::Canceled),
                () = sleep_until(hard_stop), if kill_at.is_some() => {
                    self.cgroup.kill_all(Instant::now() + LAST_RESORT).await;
                    kill_at = Some(Instant::now() + LAST_RESORT);
                    None
                }
                _ = tick.tick() => {
                    self.count_kills(observer);
                    self.read_kernel_log(observer);
                    if let Some(hits) = self.cgroup.pids_limit_hits() {
                        observer.process_limit_hits(hits, self.cgroup.is_v2());
                    }
                    self.check_disk(watching)
                }
            };
            if let Some(stop) = stop {
                ended.stop = Some(stop);
                kill_at = Some(Instant::now() + self.grace_period);
                terminate(running.pid);
            }
        }
        self.finish(running, observer, &mut ended).await;
        ended
    }

    /// Whatever is left in the group ends now; then the pipes close and the last lines are read.
    async fn finish(&mut self, mut running: Running, observer: &mut impl Observer, ended: &mut Ended) {
        let deadline = Instant::now() + LAST_RESORT;
        self.cgroup.kill_all(deadline).await;
        let rest = async {
            while let Some((source, text)) = running.lines.recv().await {
                self.note_line(observer, ended, source, &text);
            }
        };
        // A pipe that stays open belongs to a process that cannot be killed; its lines are not waited for.
        let _ = timeout(LAST_RESORT, rest).await;
        self.count_kills(observer);
        self.read_kernel_log(observer);
    }

    /// A line may begin the next step, so the kills until now are counted before it.
    fn note_line(&mut self, observer: &mut impl Observer, ended: &mut Ended, source: LogSource, text: &str) {
        self.count_kills(observer);
        if source == LogSource::Stderr {
            if ended.stderr_tail.len() >= TAIL_LINES {
                ended.stderr_tail.remove(0);
            }
            ended.stderr_tail.push(text.to_owned());
        }
        observer.line(source, text);
    }

    fn count_kills(&mut self, observer: &mut impl Observer) {
        let count = self.memory.new_kills();
        if count > 0 {
            observer.memory_kills(count);
        }
    }

    fn read_kernel_log(&mut self, observer: &mut impl Observer) {
        let Some(log) = &mut self.kernel_log else { return };
        let victims = log.victims_below(self.cgroup.path());
        if !victims.is_empty() {
            observer.victims(victims);
        }
    }

    fn check_disk(&mut self, watching: bool) -> Option<Stop> {
        if !watching {
            return None;
        }
        self.disk.as_mut()?.check().map(Stop::Disk)
    }
}

fn terminate(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // Gone already is fine.
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
}

/// Returns when the build is canceled; never, when nobody can cancel it any more.
pub(crate) async fn canceled(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|canceled| *canceled).await.is_err() {
        std::future::pending::<()>().await;
    }
}
