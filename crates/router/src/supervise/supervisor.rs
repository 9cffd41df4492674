//! The owner of the supervisor's state.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_local,
    time::{Instant, sleep, timeout},
};

use super::{
    Event, announce,
    fleet::Fleet,
    link::Left,
    listeners,
    worker_process::{Launch, WorkerProcess},
};
use crate::{
    control::{Answer, Request},
    control_server::Verdict,
    report,
    settings::Settings,
    wire::Question,
};

/// A process that served for this long died of something new.
const STABLE_AFTER: Duration = Duration::from_secs(10);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Replaced processes that may drain at once; with one more, the oldest is ended.
const DRAINING_MAX: usize = 4;
/// A process that did not end by its own deadline is killed this much later.
const KILL_GRACE: Duration = Duration::from_secs(2);
/// Idle connections are kept for this time when nobody will serve after us.
const LINGER_MS_AT_END: u64 = 500;

#[derive(Debug)]
pub struct Supervisor {
    settings: Settings,
    program: PathBuf,
    listeners: Vec<TcpListener>,
    listening: Vec<SocketAddr>,
    events: mpsc::Sender<Event>,
    fleet: watch::Sender<Fleet>,
    serving: Option<WorkerProcess>,
    draining: Vec<WorkerProcess>,
    starting: Option<Start>,
    served_since: Instant,
    failures_in_a_row: u32,
    deaths_total: u64,
    left: Left,
    ending: Option<Ending>,
}

/// A process is being started.
#[derive(Debug)]
struct Start {
    /// Told how it went.
    asker: Option<oneshot::Sender<Answer>>,
}

#[derive(Debug)]
struct Ending {
    reply: Option<oneshot::Sender<Verdict>>,
    /// What was cut at the deadline.
    timed_out: Option<u64>,
}

impl Supervisor {
    pub fn new(
        settings: Settings,
        program: PathBuf,
        listeners: Vec<TcpListener>,
        events: mpsc::Sender<Event>,
        left: Left,
    ) -> Self {
        let listening = listeners::addresses(&listeners);
        Self {
            settings,
            program,
            listeners,
            listening,
            events,
            fleet: watch::Sender::default(),
            serving: None,
            draining: Vec::new(),
            starting: None,
            served_since: Instant::now(),
            failures_in_a_row: 0,
            deaths_total: 0,
            left,
            ending: None,
        }
    }

    pub fn fleets(&self) -> watch::Receiver<Fleet> {
        self.fleet.subscribe()
    }

    /// Returns at the end, or when the first process cannot be started.
    pub async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        orphan: Option<WorkerProcess>,
    ) -> io::Result<()> {
        let mut has_served = orphan.is_some();
        self.serving = orphan;
        self.start(None);
        while !self.is_over() {
            self.publish();
            match events.recv().await.expect("the supervisor holds a sender itself") {
                Event::Started(Err(error)) if !has_served && self.ending.is_none() => return Err(error),
                Event::Started(started) => {
                    has_served |= started.is_ok();
                    self.started(started);
                }
                Event::Ended { pid, how } => self.ended(pid, &how),
                Event::Restart => self.start(None),
                Event::HandOver(reply) => self.hand_over(reply),
                Event::Shutdown { deadline, reply } => self.shut_down(deadline, reply),
                Event::ShutdownDeadline => self.cut().await,
            }
        }
        self.say_last_words().await;
        Ok(())
    }

    fn publish(&self) {
        self.fleet.send_replace(Fleet {
            serving: self.serving.as_ref().map(|worker| worker.link.clone()),
            draining: self.draining.iter().map(|worker| worker.link.clone()).collect(),
            draining_pids: self.draining.iter().map(|worker| worker.pid).collect(),
            listening: self.listening.clone(),
            deaths_total: self.deaths_total,
            left: self.left.clone(),
        });
    }
}

// === Starting and replacing ===

impl Supervisor {
    fn start(&mut self, asker: Option<oneshot::Sender<Answer>>) {
        if self.starting.is_some() || self.ending.is_some() {
            return;
        }
        let listeners: io::Result<Vec<TcpListener>> =
            self.listeners.iter().map(TcpListener::try_clone).collect();
        let (program, settings, events) = (self.program.clone(), self.settings.clone(), self.events.clone());
        let left = self.left.clone();
        self.starting = Some(Start { asker });
        spawn_local(async move {
            let started = match listeners {
                Ok(listeners) => {
                    let launch = Launch {
                        program: &program,
                        settings: &settings,
                        listeners: &listeners,
                        left,
                    };
                    WorkerProcess::start(launch, events.clone()).await
                }
                Err(error) => Err(error),
            };
            let _ = events.send(Event::Started(started)).await;
        });
    }

    fn started(&mut self, started: io::Result<WorkerProcess>) {
        let asker = self.starting.take().and_then(|start| start.asker);
        match started {
            Ok(worker) if self.ending.is_some() => {
                retire(&worker, 0, Duration::ZERO, None);
                self.draining.push(worker);
            }
            Ok(worker) => self.install(worker, asker),
            Err(error) => {
                report::line(format_args!("cannot start a serving process: {error}"));
                if let Some(asker) = asker {
                    let _ = asker.send(Answer::Error {
                        message: error.to_string(),
                    });
                }
                if self.serving.is_none() {
                    self.restart_later();
                }
            }
        }
    }

    fn install(&mut self, worker: WorkerProcess, asker: Option<oneshot::Sender<Answer>>) {
        self.served_since = Instant::now();
        if self.deaths_total == 0 && self.draining.is_empty() && asker.is_none() {
            announce(&self.listening);
        }
        let Some(replaced) = self.serving.replace(worker) else {
            return;
        };
        let deadline = Duration::from_millis(self.settings.drain_deadline_ms);
        retire(&replaced, self.settings.linger_ms, deadline, asker);
        self.draining.push(replaced);
        if self.draining.len() > DRAINING_MAX {
            report::line(format_args!(
                "{DRAINING_MAX} replaced processes still drain; the oldest one is ended"
            ));
            self.draining[0].kill();
        }
    }

    fn hand_over(&mut self, reply: oneshot::Sender<Answer>) {
        if self.starting.is_some() || self.ending.is_some() {
            let message =
                "a serving process is being started or the router is ending; ask again later".into();
            let _ = reply.send(Answer::Error { message });
            return;
        }
        self.start(Some(reply));
    }

    fn ended(&mut self, pid: u32, how: &str) {
        self.draining.retain(|worker| worker.pid != pid);
        if self.serving.take_if(|worker| worker.pid == pid).is_none() {
            return;
        }
        self.deaths_total += 1;
        report::line(format_args!("serving process {pid} ended: {how}"));
        if self.served_since.elapsed() > STABLE_AFTER {
            self.failures_in_a_row = 0;
        }
        self.restart_later();
    }

    /// At once after the first failure, then with growing pauses. The kernel queues connections meanwhile.
    fn restart_later(&mut self) {
        self.failures_in_a_row += 1;
        let pause = pause_after(self.failures_in_a_row);
        let events = self.events.clone();
        spawn_local(async move {
            sleep(pause).await;
            let _ = events.send(Event::Restart).await;
        });
    }
}

fn pause_after(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => (Duration::from_millis(50) * 2_u32.saturating_pow(more - 2)).min(RESTART_PAUSE_MAX),
    }
}

/// Tells a process to finish, and kills it when it does not end in time. `asker` hears when it takes no connections any more.
fn retire(
    worker: &WorkerProcess,
    linger_ms: u64,
    deadline: Duration,
    asker: Option<oneshot::Sender<Answer>>,
) {
    let (link, killer) = (worker.link.clone(), worker.killer());
    spawn_local(async move {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let _ = link
            .ask(Question::Retire {
                linger_ms,
                deadline_ms,
            })
            .await;
        if let Some(asker) = asker {
            let _ = asker.send(Answer::Done);
        }
        tokio::select! {
            () = link.closed() => {}
            () = sleep(deadline + KILL_GRACE) => killer.notify_one(),
        }
    });
}

// === The end ===

impl Supervisor {
    fn is_over(&self) -> bool {
        self.ending.is_some() && self.serving.is_none() && self.draining.is_empty() && self.starting.is_none()
    }

    fn shut_down(&mut self, deadline: Duration, reply: Option<oneshot::Sender<Verdict>>) {
        if self.ending.is_some() {
            // Asked twice: whoever asks again does not want to wait.
            self.draining.iter().for_each(WorkerProcess::kill);
            return;
        }
        self.ending = Some(Ending {
            reply,
            timed_out: None,
        });
        self.listeners.clear();
        self.draining.extend(self.serving.take());
        for worker in &self.draining {
            // Cutting is this process's task, so that it can say what was cut.
            retire(worker, LINGER_MS_AT_END, deadline + KILL_GRACE, None);
        }
        let events = self.events.clone();
        spawn_local(async move {
            sleep(deadline).await;
            let _ = events.send(Event::ShutdownDeadline).await;
        });
    }

    async fn cut(&mut self) {
        let mut in_flight = 0;
        for worker in &self.draining {
            let status = timeout(Duration::from_millis(500), worker.link.control(Request::Status)).await;
            if let Ok(Some(Answer::Status(status))) = status {
                in_flight += status.in_flight;
            }
            worker.kill();
        }
        if let Some(ending) = &mut self.ending {
            ending.timed_out = Some(in_flight);
        }
    }

    async fn say_last_words(&mut self) {
        let Some(Ending {
            reply: Some(reply),
            timed_out,
        }) = self.ending.take()
        else {
            return;
        };
        let answer = match timed_out {
            Some(in_flight) if in_flight > 0 => Answer::TimedOut { in_flight },
            _ => Answer::Done,
        };
        let (written, told) = oneshot::channel();
        if reply.send(Verdict::LastAnswer(answer, written)).is_ok() {
            let _ = timeout(Duration::from_secs(1), told).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_at_once_first_and_never_rarer_than_every_five_seconds() {
        let pauses: Vec<u128> = [1, 2, 3, 4, 9, 40]
            .map(|failures| pause_after(failures).as_millis())
            .into();
        assert_eq!(pauses, [0, 50, 100, 200, 5000, 5000]);
    }
}
