//! The control socket's server: one JSON request per line, one JSON answer per line, many per connection.

use std::{fs, future::Future, io, os::unix::fs::PermissionsExt, path::Path, rc::Rc};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, oneshot},
};

use crate::{
    control::{Answer, Request},
    report, wire,
};

/// Further connections wait.
const CONNECTIONS_MAX: usize = 64;
const REQUEST_BYTES_MAX: u64 = 64 << 10;

/// What happens with a request.
#[derive(Debug)]
pub enum Verdict {
    Answer(Answer),
    /// The process ends after this answer, and waits to be told that it was written.
    LastAnswer(Answer, oneshot::Sender<()>),
    /// The connection itself is taken over; nothing more is read from it.
    TakeOver,
}

/// Binds the socket, replacing what a dead process left. Only the owner may connect.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves until dropped, or until a connection is taken over, which is returned. Cancel safe between requests.
pub async fn serve<F>(listener: &UnixListener, decide: impl Fn(Request) -> F + 'static) -> UnixStream
where
    F: Future<Output = Verdict> + 'static,
{
    let decide = Rc::new(decide);
    let places = Rc::new(Semaphore::new(CONNECTIONS_MAX));
    let (taken_over, mut adopted) = tokio::sync::mpsc::channel(1);
    loop {
        let place = Rc::clone(&places);
        tokio::select! {
            Some(stream) = adopted.recv() => return stream,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (decide, taken_over) = (Rc::clone(&decide), taken_over.clone());
                    tokio::task::spawn_local(async move {
                        let Ok(_place) = place.acquire().await else { return };
                        if let Some(stream) = converse(stream, &*decide).await {
                            let _ = taken_over.send(stream).await;
                        }
                    });
                }
                Err(error) => {
                    report::line(format_args!("cannot accept on the control socket: {error}"));
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
        }
    }
}

async fn converse<F: Future<Output = Verdict>>(
    stream: UnixStream,
    decide: &impl Fn(Request) -> F,
) -> Option<UnixStream> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut text = String::new();
        let read = (&mut stream).take(REQUEST_BYTES_MAX).read_line(&mut text).await;
        if !read.is_ok_and(|length| length > 0) {
            return None;
        }
        let verdict = match serde_json::from_str(&text) {
            Ok(request) => decide(request).await,
            Err(error) => Verdict::Answer(Answer::Error {
                message: format!("this is no control request: {error}"),
            }),
        };
        match verdict {
            Verdict::Answer(answer) => stream.get_mut().write_all(&wire::line(&answer)).await.ok()?,
            Verdict::LastAnswer(answer, written) => {
                let _ = stream.get_mut().write_all(&wire::line(&answer)).await;
                let _ = written.send(());
            }
            Verdict::TakeOver => return Some(stream.into_inner()),
        }
    }
}
