//! Talks to one shim: JSON lines over its socket.

use std::{path::Path, time::Duration};

use mainstay_shim::protocol::{Reply, Request};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

/// A shim answers from its poll loop; more than this means that it hangs.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// An open connection.
#[derive(Debug)]
pub(super) struct ShimConnection {
    stream: BufReader<UnixStream>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ShimError {
    #[error("nobody listens on the shim's socket")]
    NotThere(#[source] std::io::Error),
    #[error("the connection to the shim broke")]
    Broken(#[source] std::io::Error),
    #[error("the shim closed the connection")]
    Closed,
    #[error("the shim did not answer in {0:?}")]
    Silent(Duration),
    #[error("the shim said what nobody understands")]
    Nonsense(#[source] serde_json::Error),
    #[error("the shim reports: {0}")]
    Reported(String),
    #[error("the shim gave an answer to another question")]
    Unexpected(Box<Reply>),
}

impl ShimConnection {
    pub(super) async fn open(socket: &Path) -> Result<Self, ShimError> {
        let connected = timeout(ANSWER_DEADLINE, UnixStream::connect(socket)).await;
        let stream = connected
            .map_err(|_| ShimError::Silent(ANSWER_DEADLINE))?
            .map_err(ShimError::NotThere)?;
        Ok(Self::over(stream))
    }

    pub(super) fn over(stream: UnixStream) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Asks and waits for the answer; a fault that the shim reports is an error.
    pub(super) async fn ask(&mut self, request: &Request, deadline: Duration) -> Result<Reply, ShimError> {
        self.send(request).await?;
        timeout(deadline, self.next())
            .await
            .map_err(|_| ShimError::Silent(deadline))?
    }

    pub(super) async fn ask_soon(&mut self, request: &Request) -> Result<Reply, ShimError> {
        self.ask(request, ANSWER_DEADLINE).await
    }

    pub(super) async fn send(&mut self, request: &Request) -> Result<(), ShimError> {
        let mut line = serde_json::to_vec(request).map_err(ShimError::Nonsense)?;
        line.push(b'\n');
        let written = timeout(ANSWER_DEADLINE, self.stream.get_mut().write_all(&line)).await;
        written
            .map_err(|_| ShimError::Silent(ANSWER_DEADLINE))?
            .map_err(ShimError::Broken)
    }

    /// The next answer, however long it takes.
    pub(super) async fn next(&mut self) -> Result<Reply, ShimError> {
        let mut line = Vec::new();
        let count = self
            .stream
            .read_until(b'\n', &mut line)
            .await
            .map_err(ShimError::Broken)?;
        if count == 0 {
            return Err(ShimError::Closed);
        }
        match serde_json::from_slice(&line).map_err(ShimError::Nonsense)? {
            Reply::Failed { message } => Err(ShimError::Reported(message)),
            reply => Ok(reply),
        }
    }

    /// Waits until the shim, which took everything back, is gone itself. One that hangs is waited for no longer than for an answer.
    pub(super) async fn gone(mut self) {
        let mut rest = Vec::new();
        // However it ends, there is nobody left to talk to.
        let _ = timeout(ANSWER_DEADLINE, self.stream.read_to_end(&mut rest)).await;
    }

    /// The bare stream, for frames; what was read already comes with it.
    pub(super) fn into_stream(self) -> BufReader<UnixStream> {
        self.stream
    }
}
