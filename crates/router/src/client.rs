//! Asking a running router, from any other program.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use crate::{
    control::{Answer, Request, Status},
    wire,
};

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("cannot reach the router on {}", socket.display())]
    Connect { socket: PathBuf, source: io::Error },
    #[error("the router on {} did not answer {request:?}", socket.display())]
    Conversation {
        socket: PathBuf,
        request: Request,
        source: io::Error,
    },
    #[error("the router on {} did not answer {request:?} within {limit:?}", socket.display())]
    Silent {
        socket: PathBuf,
        request: Request,
        limit: Duration,
    },
    #[error("the router refused {request:?}: {message}")]
    Refused { request: Request, message: String },
}

/// A router's control socket.
#[derive(Debug, Clone)]
pub struct Control {
    socket: PathBuf,
}

/// Time on top of what a request itself may take.
const GRACE: Duration = Duration::from_secs(5);

impl Control {
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Asks and waits for the answer; an error of the router is an error here.
    pub async fn ask(&self, request: Request) -> Result<Answer, ControlError> {
        let limit = duration_of(&request) + GRACE;
        let answer = match tokio::time::timeout(limit, self.converse(&request)).await {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(ControlError::Silent {
                    socket: self.socket.clone(),
                    request,
                    limit,
                });
            }
        };
        match answer {
            Answer::Error { message } => Err(ControlError::Refused { request, message }),
            answer => Ok(answer),
        }
    }

    pub async fn status(&self) -> Result<Status, ControlError> {
        match self.ask(Request::Status).await? {
            Answer::Status(status) => Ok(status),
            other => Err(ControlError::Refused {
                request: Request::Status,
                message: format!("it said {other:?}"),
            }),
        }
    }

    async fn converse(&self, request: &Request) -> Result<Answer, ControlError> {
        let socket = || self.socket.clone();
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|source| ControlError::Connect {
            socket: socket(),
            source,
        })?;
        let answer = exchange(stream, request).await;
        answer.map_err(|source| ControlError::Conversation {
            socket: socket(),
            request: request.clone(),
            source,
        })
    }
}

async fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<Answer> {
    stream.write_all(&wire::line(request)).await?;
    let mut text = String::new();
    BufReader::new(stream)
        .take(wire::LINE_BYTES_MAX)
        .read_line(&mut text)
        .await?;
    if text.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&text)?)
}

fn duration_of(request: &Request) -> Duration {
    match request {
        Request::WaitForVersion { timeout_ms, .. }
        | Request::Drain { timeout_ms, .. }
        | Request::Shutdown { timeout_ms } => Duration::from_millis(*timeout_ms),
        Request::HandOver => Duration::from_secs(30),
        Request::Status | Request::TakeTraffic | Request::Adopt => Duration::ZERO,
    }
}
