//! `mainstay exec`: a command or a shell in an instance, over a websocket.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use futures_util::{SinkExt, StreamExt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::AsyncReadExt,
    signal::unix::{SignalKind, signal},
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    args::Exec,
    client::{Client, escaped},
    error::CliError,
};

/// A frame of the server's.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Frame {
    data: String,
    stream: String,
    exit_code: Option<u8>,
}

pub(super) async fn exec(client: &Client, wish: Exec) -> Result<ExitCode, CliError> {
    let app = client.app(&wish.app).await?;
    let link = client
        .console_link(&app.id, &wish.component, wish.instance.as_deref())
        .await?;
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let words = wish
        .command
        .iter()
        .map(|word| format!("&command={}", escaped(word)))
        .collect::<String>();
    let url = format!("{}?tty={terminal}{words}", link.url);
    let socket = client.websocket(&url).await?;
    let _raw = terminal.then(RawTerminal::enter).flatten();
    converse(socket, terminal).await
}

async fn converse<S>(socket: S, terminal: bool) -> Result<ExitCode, CliError>
where
    S: futures_util::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>>
        + futures_util::Sink<Message>
        + Unpin,
{
    let (mut to_server, mut from_server) = socket.split();
    let mut resized =
        signal(SignalKind::window_change()).map_err(CliError::io("watch the terminal's size"))?;
    if terminal {
        drop(to_server.send(size()).await);
    }
    let mut stdin = tokio::io::stdin();
    let mut input = vec![0; 8192];
    let mut stdin_open = true;
    loop {
        tokio::select! {
            message = from_server.next() => {
                let Some(Ok(Message::Text(text))) = message else { return Ok(ExitCode::FAILURE) };
                let frame: Frame = serde_json::from_str(&text).unwrap_or_default();
                print(&frame);
                if let Some(code) = frame.exit_code {
                    return Ok(ExitCode::from(code));
                }
            }
            count = stdin.read(&mut input), if stdin_open => {
                let count = count.unwrap_or(0);
                stdin_open = count > 0;
                let operation = match count {
                    0 => json!({ "op": "close_stdin" }),
                    _ => json!({ "op": "stdin", "data": String::from_utf8_lossy(&input[..count]) }),
                };
                drop(to_server.send(Message::Text(operation.to_string().into())).await);
            }
            Some(()) = resized.recv(), if terminal => drop(to_server.send(size()).await),
        }
    }
}

fn print(frame: &Frame) {
    if frame.stream == "stderr" {
        eprint!("{}", frame.data);
    } else {
        print!("{}", frame.data);
        drop(std::io::stdout().flush());
    }
}

fn size() -> Message {
    let size = tcgetwinsize(std::io::stdout()).map_or((80, 24), |size| (size.ws_col, size.ws_row));
    Message::Text(
        json!({ "op": "resize", "width": size.0, "height": size.1 })
            .to_string()
            .into(),
    )
}

/// Hands keys through as they are typed; dropped, the terminal is as before.
struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    fn enter() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // There is nobody left to tell when the terminal is gone.
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.before).ok();
    }
}
