//! The supervisor: holds the listening sockets and the control socket, keeps one serving process alive, and replaces it on request.
//!
//! One task owns the state ([`Supervisor`]); everything that waits runs beside it and reports back as an [`Event`].

use std::{
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot, watch},
    task::spawn_local,
};

pub mod fleet;
pub mod link;
pub mod listeners;
pub mod ownership;
pub mod supervisor;
pub mod worker_process;

use fleet::{Fleet, ask_all, take_traffic};
use link::Left;
use ownership::Ownership;
use supervisor::Supervisor;
use worker_process::WorkerProcess;

use crate::{
    control::{Answer, Request},
    control_server::{self, Verdict},
    end_signals::EndSignals,
    settings::Settings,
};

/// Events that the owner of the state has not looked at yet; who has another one waits.
const EVENTS_WAITING_MAX: usize = 64;

/// What the owner of the state is told.
#[derive(Debug)]
pub enum Event {
    /// Somebody asks for a new serving process.
    HandOver(oneshot::Sender<Answer>),
    /// Somebody, or a signal, asks for the end.
    Shutdown {
        deadline: Duration,
        reply: Option<oneshot::Sender<Verdict>>,
    },
    /// The time for the end is over.
    ShutdownDeadline,
    /// A process that was started serves, or could not be started.
    Started(io::Result<WorkerProcess>),
    /// A process is gone.
    Ended { pid: u32, how: String },
    /// The pause before the next try to start a process is over.
    Restart,
}

/// Supervises until it is told to end.
pub fn run(settings: Settings, listen: &[SocketAddr]) -> io::Result<()> {
    // Detached: what ends the session of whoever started it does not end the router. Fails where it already leads a session.
    let _ = rustix::process::setsid();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(supervise(settings, listen))
}

async fn supervise(settings: Settings, listen: &[SocketAddr]) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let Ownership {
        lock,
        listeners,
        orphan,
    } = Ownership::take(&settings.control, listen).await?;
    let control = control_server::bind(&settings.control)?;
    let path = settings.control.clone();
    let shutdown_deadline = Duration::from_millis(settings.shutdown_deadline_ms);
    let (events, received) = mpsc::channel(EVENTS_WAITING_MAX);
    let left = Left::default();
    let orphan = match orphan {
        Some(stream) => WorkerProcess::adopt(stream, events.clone(), left.clone())
            .await
            .ok(),
        None => None,
    };
    let supervisor = Supervisor::new(settings, program, listeners, events.clone(), left);
    let fleets = supervisor.fleets();
    spawn_local(signals(shutdown_deadline, events.clone()));
    let answering = spawn_local(async move {
        let decide = move |request| decide(request, events.clone(), fleets.clone());
        control_server::serve(&control, decide).await;
    });
    let ended = supervisor.run(received, orphan).await;
    answering.abort();
    let _ = std::fs::remove_file(&path);
    drop(lock);
    ended
}

async fn decide(request: Request, events: mpsc::Sender<Event>, fleets: watch::Receiver<Fleet>) -> Verdict {
    let gone = || {
        Verdict::Answer(Answer::Error {
            message: "the router is ending".into(),
        })
    };
    match request {
        Request::HandOver => {
            let (reply, answer) = oneshot::channel();
            let _ = events.send(Event::HandOver(reply)).await;
            answer.await.map_or_else(|_| gone(), Verdict::Answer)
        }
        Request::Shutdown { timeout_ms } => {
            let (reply, answer) = oneshot::channel();
            let deadline = Duration::from_millis(timeout_ms);
            let shutdown = Event::Shutdown {
                deadline,
                reply: Some(reply),
            };
            let _ = events.send(shutdown).await;
            answer.await.unwrap_or_else(|_| gone())
        }
        Request::Adopt => {
            let message = format!("a supervisor is running already (process {})", std::process::id());
            Verdict::Answer(Answer::Error { message })
        }
        Request::TakeTraffic => {
            let fleet = fleets.borrow().clone();
            Verdict::Answer(take_traffic(fleet).await)
        }
        request => Verdict::Answer(ask_all(fleets, request).await),
    }
}

async fn signals(deadline: Duration, events: mpsc::Sender<Event>) {
    let Ok(mut signals) = EndSignals::listen() else {
        return;
    };
    loop {
        signals.next().await;
        let shutdown = Event::Shutdown {
            deadline,
            reply: None,
        };
        let _ = events.send(shutdown).await;
    }
}

/// Tells whoever started the router that it serves, and where.
fn announce(listening: &[SocketAddr]) {
    let line = serde_json::json!({ "pid": std::process::id(), "listening": listening });
    // Nobody has to listen.
    let _ = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
}
