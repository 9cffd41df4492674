//! Logs as streams.
//!
//! A reader of files that grow has to learn when: the directory is watched with inotify, and looked at once more when the instance
//! has ended, for then nothing is added any more.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::stream;
use mainstay_shim::log::{LogError, LogLine, LogReader};
use mainstay_spec::ids::InstanceId;
use rustix::fs::inotify;
use tokio::{io::unix::AsyncFd, sync::mpsc, time::timeout};

use crate::api::{EngineError, LogQuery, LogStream};

use super::{
    Inner,
    instance::{Instance, Life},
};

/// Batches of lines that wait for a slow client; a batch is at most one chunk of a segment.
const BATCHES: usize = 4;

/// Should a notice be missed (the kernel's queue of them is bounded), the log is looked at anyhow.
const LOOK_ANYHOW: Duration = Duration::from_secs(1);

pub(super) async fn open(
    inner: &Arc<Inner>,
    id: InstanceId,
    query: LogQuery,
) -> Result<LogStream, EngineError> {
    let directory = inner.config.places(id).log();
    if !directory.is_dir() {
        return Err(EngineError::plain(format!("there is no log of an instance {id}")));
    }
    let operation = || format!("read the log of the instance {id}");
    // Before the first look, so that nothing falls between.
    let notices = Notices::open(&directory).map_err(EngineError::during(operation()))?;
    let opened = tokio::task::spawn_blocking(move || LogReader::open(&directory, query.tail, query.after));
    let reader = opened
        .await
        .map_err(EngineError::during(operation()))?
        .map_err(EngineError::during(operation()))?;
    let instance = inner.known(id).filter(|_| query.follow);
    let (sender, receiver) = mpsc::channel(BATCHES);
    let follower = Follower {
        id,
        instance,
        notices,
        sender,
    };
    tokio::spawn(follower.run(reader));
    Ok(lines_of(receiver))
}

type Batch = Result<Vec<LogLine>, EngineError>;

fn lines_of(receiver: mpsc::Receiver<Batch>) -> LogStream {
    let batches = stream::unfold(receiver, |mut receiver| async move {
        let batch = receiver.recv().await?;
        Some((batch, receiver))
    });
    Box::pin(futures_util::StreamExt::flat_map(batches, |batch| {
        let lines: Vec<Result<LogLine, EngineError>> = match batch {
            Ok(lines) => lines.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(lines)
    }))
}

/// Delivers a log until its end, or until nobody listens.
struct Follower {
    id: InstanceId,
    /// The instance to follow; `None`: deliver what is there.
    instance: Option<Arc<Instance>>,
    notices: Notices,
    sender: mpsc::Sender<Batch>,
}

impl Follower {
    async fn run(mut self, reader: LogReader) {
        self.deliver_all(reader).await;
        // First the reader hears that this is all: the kernel takes up to 20 ms to stop watching.
        drop(self.sender);
        tokio::task::spawn_blocking(move || drop(self.notices));
    }

    async fn deliver_all(&mut self, mut reader: LogReader) {
        loop {
            // In this order: what is written before the end was seen is read after it was seen.
            let ended = self.has_ended();
            loop {
                let read = tokio::task::spawn_blocking(move || {
                    let batch = reader.read();
                    (reader, batch)
                });
                let Ok((returned, batch)) = read.await else {
                    return;
                };
                reader = returned;
                match batch {
                    Ok(lines) if lines.is_empty() => break,
                    batch => {
                        let failed = batch.is_err();
                        if self.deliver(batch).await.is_err() || failed {
                            return;
                        }
                    }
                }
            }
            if ended || self.wait_for_more().await.is_err() {
                return;
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.instance
            .as_ref()
            .is_none_or(|instance| matches!(instance.life(), Life::Ended { .. } | Life::Failed))
    }

    async fn deliver(
        &self,
        batch: Result<Vec<LogLine>, LogError>,
    ) -> Result<(), mpsc::error::SendError<Batch>> {
        let batch = batch.map_err(EngineError::during(format!(
            "read the log of the instance {}",
            self.id
        )));
        self.sender.send(batch).await
    }

    /// Until something was written, the instance ended, or nobody listens any more (an error).
    async fn wait_for_more(&mut self) -> Result<(), ()> {
        let Some(instance) = &self.instance else {
            return Err(());
        };
        tokio::select! {
            () = self.sender.closed() => Err(()),
            _ = instance.ended() => Ok(()),
            () = self.notices.next() => Ok(()),
        }
    }
}

/// Changes of a log's directory and of the files in it.
#[derive(Debug)]
struct Notices {
    descriptor: AsyncFd<std::os::fd::OwnedFd>,
}

impl Notices {
    fn open(directory: &PathBuf) -> std::io::Result<Self> {
        let descriptor = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(
            &descriptor,
            directory,
            inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE,
        )?;
        #[expect(unsafe_code, reason = "the safe constructor of tokio is deprecated")]
        // SAFETY: the descriptor is owned by the value that is registered, so it stays open and the same until both are dropped.
        let descriptor = unsafe { AsyncFd::register(descriptor) }?;
        Ok(Self { descriptor })
    }

    async fn next(&self) {
        let Ok(Ok(mut ready)) = timeout(LOOK_ANYHOW, self.descriptor.readable()).await else {
            return;
        };
        let mut buffer = [0; 4096];
        while rustix::io::read(self.descriptor.get_ref(), &mut buffer).is_ok_and(|count| count > 0) {}
        ready.clear_ready();
    }
}
