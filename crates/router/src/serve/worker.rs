//! The serving process's main task: attends to its supervisor, or does without one, and ends when it has retired.

use std::{cell::RefCell, io, net::TcpListener, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::{Notify, mpsc, oneshot},
    task::spawn_local,
};

use super::{
    answers::Answers,
    loader::Loader,
    retire::retire,
    shared::{Phase, Shared},
};
use crate::{
    client::Control,
    control::{Answer, Request, Status},
    control_lock::ControlLock,
    control_server::{self, Verdict},
    end_signals::EndSignals,
    report,
    wire::{self, Ask, FAREWELL, Question, Reply},
};

/// How often a process without supervisor tries to become the owner of the control socket.
const OWNER_PAUSE: Duration = Duration::from_millis(20);
/// Idle connections are kept no longer than this where no successor serves.
const LINGER_MS_WITHOUT_SUCCESSOR: u64 = 500;
/// Replies that were not written yet; who has another one waits.
const UNSAID_MAX: usize = 64;
/// How long the last words to the supervisor may take.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// A reply, and who is told that it was written.
type Saying = (Reply, Option<oneshot::Sender<()>>);

#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    answers: Rc<Answers>,
    /// Kept to be passed on; dropped when no connection may be taken any more.
    listeners: RefCell<Vec<TcpListener>>,
    retired: Notify,
    /// What is sent here is told to the supervisor, while there is one.
    to_supervisor: RefCell<Option<mpsc::Sender<Saying>>>,
}

impl Worker {
    pub fn new(shared: Arc<Shared>, loader: Arc<Loader>, listeners: Vec<TcpListener>) -> Rc<Self> {
        let answers = Rc::new(Answers {
            shared: Arc::clone(&shared),
            loader,
        });
        Rc::new(Self {
            shared,
            answers,
            listeners: RefCell::new(listeners),
            retired: Notify::new(),
            to_supervisor: RefCell::default(),
        })
    }

    /// Returns once the process has retired.
    pub async fn run(self: Rc<Self>, supervisor: UnixStream) -> io::Result<()> {
        spawn_local(Rc::clone(&self).retire_on_signal());
        tokio::select! {
            () = self.retired.notified() => Ok(()),
            result = Rc::clone(&self).attend_supervisors(supervisor) => result,
        }
    }

    async fn attend_supervisors(self: Rc<Self>, mut supervisor: UnixStream) -> io::Result<()> {
        loop {
            Rc::clone(&self).attend(supervisor).await;
            if self.shared.is_retiring() {
                return std::future::pending().await;
            }
            report::line(format_args!(
                "the supervisor is gone; serving goes on until a new one takes over"
            ));
            let Some(next) = Rc::clone(&self).serve_alone().await? else {
                self.retire(
                    self.shared.settings.linger_ms,
                    self.shared.settings.drain_deadline_ms,
                )
                .await;
                return std::future::pending().await;
            };
            supervisor = next;
        }
    }

    /// Answers the supervisor's questions until it is gone.
    async fn attend(self: Rc<Self>, supervisor: UnixStream) {
        let (reader, mut writer) = supervisor.into_split();
        let (replies, mut written) = mpsc::channel::<Saying>(UNSAID_MAX);
        *self.to_supervisor.borrow_mut() = Some(replies.clone());
        let writing = spawn_local(async move {
            while let Some((reply, told)) = written.recv().await {
                if writer.write_all(&wire::line(&reply)).await.is_err() {
                    return;
                }
                if let Some(told) = told {
                    let _ = told.send(());
                }
            }
        });
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(ask) = serde_json::from_str::<Ask>(&line) else {
                report::line(format_args!(
                    "the supervisor asked what this version does not know"
                ));
                continue;
            };
            let (worker, replies) = (Rc::clone(&self), replies.clone());
            spawn_local(async move {
                let answer = worker.answer(ask.question).await;
                let _ = replies.send((Reply { id: ask.id, answer }, None)).await;
            });
        }
        *self.to_supervisor.borrow_mut() = None;
        writing.abort();
    }

    async fn answer(self: Rc<Self>, question: Question) -> Answer {
        match question {
            Question::Control(request) => Rc::clone(&self.answers).answer(request).await,
            Question::Retire {
                linger_ms,
                deadline_ms,
            } => {
                self.retire(linger_ms, deadline_ms).await;
                Answer::Done
            }
        }
    }

    /// Returns once no connection is taken any more; the rest goes on by itself. A second call can only bring the end nearer.
    async fn retire(self: &Rc<Self>, linger_ms: u64, deadline_ms: u64) {
        if !self.shared.is_retiring() {
            self.shared.enter(Phase::Announcing);
        }
        self.listeners.borrow_mut().clear();
        self.shared.stopped_accepting().await;
        let worker = Rc::clone(self);
        spawn_local(async move {
            let (linger, deadline) = (
                Duration::from_millis(linger_ms),
                Duration::from_millis(deadline_ms),
            );
            retire(Arc::clone(&worker.shared), linger, deadline).await;
            worker.say_farewell().await;
            worker.retired.notify_one();
        });
    }

    /// Tells the supervisor what this process counted and nobody took.
    async fn say_farewell(&self) {
        let Some(supervisor) = self.to_supervisor.borrow().clone() else {
            return;
        };
        let bytes = self.shared.endpoints.traffic.take();
        let (told, heard) = oneshot::channel();
        let last = Reply {
            id: FAREWELL,
            answer: Answer::Traffic { bytes },
        };
        let said = async {
            supervisor.send((last, Some(told))).await.ok()?;
            heard.await.ok()
        };
        let _ = tokio::time::timeout(FAREWELL_MAX, said).await;
    }

    /// A signal to the whole group reaches the supervisor too; both ways lead to the same end.
    async fn retire_on_signal(self: Rc<Self>) {
        let Ok(mut signals) = EndSignals::listen() else {
            return;
        };
        loop {
            signals.next().await;
            self.retire(
                LINGER_MS_WITHOUT_SUCCESSOR,
                self.shared.settings.shutdown_deadline_ms,
            )
            .await;
        }
    }
}

// === Without a supervisor ===

impl Worker {
    /// Owns the control socket until a new supervisor asks for the listening sockets. `None` when another process serves already.
    async fn serve_alone(self: Rc<Self>) -> io::Result<Option<UnixStream>> {
        let path = &self.shared.settings.control;
        let Some(lock) = self.become_owner().await? else {
            return Ok(None);
        };
        let listener = control_server::bind(path)?;
        let worker = Rc::clone(&self);
        let stream =
            control_server::serve(&listener, move |request| Rc::clone(&worker).decide(request)).await;
        drop(listener);
        // The new supervisor takes the lock as soon as it has the sockets.
        drop(lock);
        wire::send_listeners(&stream, &self.listeners.borrow())?;
        Ok(Some(stream))
    }

    async fn become_owner(&self) -> io::Result<Option<ControlLock>> {
        let path = &self.shared.settings.control;
        loop {
            if let Some(lock) = ControlLock::try_take(path)? {
                return Ok(Some(lock));
            }
            if Control::new(path)
                .status()
                .await
                .is_ok_and(|status| status.pid != std::process::id())
            {
                report::line(format_args!("another process serves; this one retires"));
                return Ok(None);
            }
            tokio::time::sleep(OWNER_PAUSE).await;
        }
    }

    async fn decide(self: Rc<Self>, request: Request) -> Verdict {
        match request {
            Request::Adopt if !self.shared.is_retiring() => Verdict::TakeOver,
            Request::Status => Verdict::Answer(Answer::Status(Status {
                listening: self.listening(),
                ..self.answers.status()
            })),
            Request::Shutdown { timeout_ms } => Verdict::Answer(self.shut_down(timeout_ms).await),
            request => Verdict::Answer(Rc::clone(&self.answers).answer(request).await),
        }
    }

    fn listening(&self) -> Vec<std::net::SocketAddr> {
        self.listeners
            .borrow()
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    async fn shut_down(self: &Rc<Self>, timeout_ms: u64) -> Answer {
        // The answer comes before the end of the process.
        self.retire(LINGER_MS_WITHOUT_SUCCESSOR, timeout_ms.saturating_add(500))
            .await;
        let emptied = tokio::time::timeout(Duration::from_millis(timeout_ms), self.shared.emptied()).await;
        match emptied {
            Ok(()) => Answer::Done,
            Err(_) => Answer::TimedOut {
                in_flight: self.answers.status().in_flight,
            },
        }
    }
}
