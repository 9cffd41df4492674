//! The supervisor's end of a serving process: questions out, answers back, many at once.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::{mpsc, oneshot, watch},
    task::spawn_local,
};

use crate::{
    control::{Answer, Request},
    table::traffic::{self, Bytes},
    wire::{self, Ask, Question, Reply},
};

/// Questions that were not written yet; who asks another one waits.
const UNSENT_MAX: usize = 64;

type Waiting = Rc<RefCell<HashMap<u64, oneshot::Sender<Answer>>>>;

/// Traffic that serving processes told and nobody has taken yet.
pub type Left = Rc<RefCell<Bytes>>;

/// Cheap to clone; closed when the process is gone.
#[derive(Debug, Clone)]
pub struct Link {
    next: Rc<Cell<u64>>,
    waiting: Waiting,
    questions: mpsc::Sender<Ask>,
    closed: watch::Receiver<bool>,
}

impl Link {
    /// Traffic that is told unasked, or too late for who asked, is added to `left`.
    pub fn open(stream: UnixStream, left: Left) -> Self {
        let (reader, mut writer) = stream.into_split();
        let (questions, mut asked) = mpsc::channel::<Ask>(UNSENT_MAX);
        let (close, closed) = watch::channel(false);
        let waiting = Waiting::default();
        spawn_local(async move {
            while let Some(ask) = asked.recv().await {
                if writer.write_all(&wire::line(&ask)).await.is_err() {
                    return;
                }
            }
        });
        let answered = Rc::clone(&waiting);
        spawn_local(async move {
            let mut lines = BufReader::new(reader).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(Reply { id, answer }) = serde_json::from_str(&line) else {
                    continue;
                };
                let asker = answered.borrow_mut().remove(&id);
                let unheard = match asker {
                    Some(asker) => asker.send(answer).err(),
                    None => Some(answer),
                };
                if let Some(Answer::Traffic { bytes }) = unheard {
                    traffic::add(&mut left.borrow_mut(), bytes);
                }
            }
            close.send_replace(true);
            answered.borrow_mut().clear();
        });
        Self {
            next: Rc::default(),
            waiting,
            questions,
            closed,
        }
    }

    /// `None` when the process is gone. The process itself bounds how long an answer takes.
    pub async fn ask(&self, question: Question) -> Option<Answer> {
        if *self.closed.borrow() {
            return None;
        }
        let id = self.next.get();
        self.next.set(id + 1);
        let (asker, answer) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, asker);
        self.questions.send(Ask { id, question }).await.ok()?;
        answer.await.ok()
    }

    pub async fn control(&self, request: Request) -> Option<Answer> {
        self.ask(Question::Control(request)).await
    }

    /// Waits until the process is gone.
    pub async fn closed(&self) {
        let mut closed = self.closed.clone();
        let _ = closed.wait_for(|closed| *closed).await;
    }
}
