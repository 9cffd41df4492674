//! Serving processes as their supervisor sees them.

use std::{
    io, net::TcpListener, os::fd::OwnedFd, os::unix::net::UnixStream as StdStream, path::Path,
    process::Stdio, rc::Rc, time::Duration,
};

use tokio::{
    net::UnixStream,
    process::{Child, Command},
    sync::{Notify, mpsc},
    task::spawn_local,
};

use super::{
    Event,
    link::{Left, Link},
};
use crate::{
    control::{Answer, Request},
    settings::Settings,
    wire,
};

/// From the start of the program to its first answer.
const READY_MAX: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct WorkerProcess {
    pub pid: u32,
    pub link: Link,
    kill: Rc<Notify>,
}

/// What is needed to start one.
#[derive(Debug)]
pub struct Launch<'l> {
    pub program: &'l Path,
    pub settings: &'l Settings,
    pub listeners: &'l [TcpListener],
    pub left: Left,
}

impl WorkerProcess {
    /// Starts a serving process and waits until it serves. `events` is told of its end.
    pub async fn start(launch: Launch<'_>, events: mpsc::Sender<Event>) -> io::Result<Self> {
        let (ours, theirs) = StdStream::pair()?;
        let child = Command::new(launch.program)
            .arg("serve")
            .args(launch.settings.arguments())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("cannot start {}: {error}", launch.program.display()),
                )
            })?;
        wire::send_listeners(&ours, launch.listeners)?;
        ours.set_nonblocking(true)?;
        let worker = Self::watched(
            child,
            Link::open(UnixStream::from_std(ours)?, launch.left),
            events,
        );
        match tokio::time::timeout(READY_MAX, worker.link.control(Request::Status)).await {
            Ok(Some(Answer::Status(_))) => Ok(worker),
            Ok(_) => Err(io::Error::other("the serving process ended before it served")),
            Err(_) => {
                worker.kill();
                Err(io::Error::other(format!(
                    "the serving process was not ready within {READY_MAX:?}"
                )))
            }
        }
    }

    /// A serving process that lost its supervisor and is no child of ours.
    pub async fn adopt(stream: UnixStream, events: mpsc::Sender<Event>, left: Left) -> io::Result<Self> {
        let link = Link::open(stream, left);
        let Some(Answer::Status(status)) = link.control(Request::Status).await else {
            return Err(io::Error::other(
                "the serving process ended before it was adopted",
            ));
        };
        let worker = Self {
            pid: status.pid,
            link: link.clone(),
            kill: Rc::default(),
        };
        spawn_local(async move {
            link.closed().await;
            let ended = Event::Ended {
                pid: status.pid,
                how: "connection closed".into(),
            };
            let _ = events.send(ended).await;
        });
        Ok(worker)
    }

    fn watched(mut child: Child, link: Link, events: mpsc::Sender<Event>) -> Self {
        let pid = child.id().expect("the child was not waited for yet");
        let kill = Rc::new(Notify::new());
        let killed = Rc::clone(&kill);
        spawn_local(async move {
            let ended = loop {
                tokio::select! {
                    ended = child.wait() => break ended,
                    () = killed.notified() => { let _ = child.start_kill(); }
                }
            };
            let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            let _ = events.send(Event::Ended { pid, how }).await;
        });
        Self { pid, link, kill }
    }

    /// Notifying it kills the process, also after this value is gone.
    pub fn killer(&self) -> Rc<Notify> {
        Rc::clone(&self.kill)
    }

    pub fn kill(&self) {
        self.kill.notify_one();
    }
}
