//! Another process in a running instance: the client's side of the shim's frames.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt, sink, stream};
use mainstay_diagnosis::facts::ExecFault;
use mainstay_shim::protocol::{
    ExecCommand, ExecEnd, FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, FrameKind, Reply, Request, frame,
    parse_frame_header,
};
use mainstay_spec::ids::InstanceId;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::api::{EngineError, ExecInput, ExecOutput, ExecRequest, ExecSession};

use super::{Inner, refusal, shim_client::ShimConnection, shim_client::ShimError};

/// Begins it; the session's first output may already be its end.
pub(super) async fn exec(
    inner: &Arc<Inner>,
    id: InstanceId,
    request: ExecRequest,
) -> Result<ExecSession, EngineError> {
    let failed = || EngineError::during(format!("run a command in the instance {id}"));
    inner.get(id)?.running()?;
    if request.argv.is_empty() {
        return Err(EngineError::plain("run a command: argv is empty"));
    }
    let argv = request.argv.clone();
    let command = ExecCommand {
        argv: request.argv,
        env: request.env,
        terminal: request.terminal,
    };
    let mut connection = ShimConnection::open(&inner.config.places(id).socket())
        .await
        .map_err(failed())?;
    match connection
        .ask_soon(&Request::Exec(command))
        .await
        .map_err(failed())?
    {
        Reply::Accepted => Ok(session(connection.into_stream(), argv)),
        other => Err(failed()(ShimError::Unexpected(Box::new(other)))),
    }
}

/// The two halves of the connection. When both are dropped it closes, and the shim hangs up on the process.
fn session(stream: BufReader<UnixStream>, argv: Vec<String>) -> ExecSession {
    // Nothing but frames follows the acceptance, and they are read through the same buffer.
    let buffered = stream.buffer().to_vec();
    let (read, write) = stream.into_inner().into_split();
    let output = Output {
        buffered,
        read,
        argv,
        over: false,
    };
    let output = stream::unfold(output, |mut output| async move {
        let next = output.next().await?;
        Some((next, output))
    });
    let input = sink::unfold(write, |write: OwnedWriteHalf, input: ExecInput| async move {
        send(write, input).await
    });
    ExecSession {
        output: output.boxed(),
        input: Box::pin(input.sink_map_err(EngineError::during("pass input to a command"))),
    }
}

async fn send(mut write: OwnedWriteHalf, input: ExecInput) -> Result<OwnedWriteHalf, std::io::Error> {
    match input {
        ExecInput::Stdin(bytes) => {
            for piece in bytes.chunks(FRAME_PAYLOAD_BYTES_MAX) {
                write.write_all(&frame(FrameKind::Stdin, piece)).await?;
            }
        }
        ExecInput::CloseStdin => write.write_all(&frame(FrameKind::CloseStdin, &[])).await?,
        ExecInput::Resize { columns, rows } => {
            let [c0, c1] = columns.to_le_bytes();
            let [r0, r1] = rows.to_le_bytes();
            write
                .write_all(&frame(FrameKind::Resize, &[c0, c1, r0, r1]))
                .await?;
        }
    }
    Ok(write)
}

struct Output {
    /// Read together with the acceptance.
    buffered: Vec<u8>,
    read: OwnedReadHalf,
    argv: Vec<String>,
    over: bool,
}

impl Output {
    async fn next(&mut self) -> Option<ExecOutput> {
        if self.over {
            return None;
        }
        let Ok((kind, payload)) = self.frame().await else {
            // The shim is gone, and with it the instance: what became of the process nobody knows.
            self.over = true;
            return Some(ExecOutput::Ended(Err(other(
                &self.argv,
                "the instance ended or its shim was killed",
            ))));
        };
        Some(match kind {
            FrameKind::Stdout => ExecOutput::Stdout(payload),
            FrameKind::Stderr => ExecOutput::Stderr(payload),
            _ => {
                self.over = true;
                ExecOutput::Ended(ended(&self.argv, &payload))
            }
        })
    }

    async fn frame(&mut self) -> std::io::Result<(FrameKind, Vec<u8>)> {
        let mut header = [0; FRAME_HEADER_BYTES];
        self.fill(&mut header).await?;
        let (kind, length) = parse_frame_header(header).ok_or(std::io::ErrorKind::InvalidData)?;
        let mut payload = vec![0; length];
        self.fill(&mut payload).await?;
        Ok((kind, payload))
    }

    async fn fill(&mut self, target: &mut [u8]) -> std::io::Result<()> {
        let ready = self.buffered.len().min(target.len());
        for (to, from) in target.iter_mut().zip(self.buffered.drain(..ready)) {
            *to = from;
        }
        self.read.read_exact(&mut target[ready..]).await?;
        Ok(())
    }
}

fn ended(argv: &[String], payload: &[u8]) -> Result<mainstay_diagnosis::facts::Termination, ExecFault> {
    match serde_json::from_slice(payload) {
        Ok(ExecEnd::Terminated { termination }) => Ok(termination),
        Ok(ExecEnd::Refused(refused)) => Err(refusal::by_errno(argv, "the working directory", refused)),
        Ok(ExecEnd::Failed { message }) => Err(other(argv, &message)),
        Err(_) => Err(other(argv, "the shim's last word was not understood")),
    }
}

fn other(argv: &[String], message: &str) -> ExecFault {
    ExecFault {
        argv: argv.to_vec(),
        kind: mainstay_diagnosis::facts::ExecFaultKind::Other {
            message: message.to_owned(),
        },
        resolved_path: None,
        errno: None,
        search_path: None,
        close_matches: Vec::new(),
        preflight: false,
    }
}
