//! A registry that hands nothing out, as public ones do to those who have no account or pulled too often.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

const READ_WITHIN: Duration = Duration::from_secs(5);

/// Answers every request with one refusal until it is dropped.
#[derive(Debug)]
pub(crate) struct RefusingRegistry {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What it says, as registries do (OCI distribution specification, "Error Codes").
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    Unauthorized,
    TooManyRequests,
}

impl RefusingRegistry {
    pub(crate) fn start(address: SocketAddr, refusal: Refusal) -> Self {
        let listener = TcpListener::bind(address).expect("the place's own port");
        let ending = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ending);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::SeqCst) {
                    return;
                }
                // Who went away needs no answer.
                drop(stream.and_then(|stream| refuse(&stream, refusal)));
            }
        });
        Self {
            address,
            ending,
            thread: Some(thread),
        }
    }
}

impl Drop for RefusingRegistry {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        drop(TcpStream::connect(self.address));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn refuse(mut stream: &TcpStream, refusal: Refusal) -> std::io::Result<()> {
    stream.set_read_timeout(Some(READ_WITHIN))?;
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let (status, header, code, message) = match refusal {
        Refusal::Unauthorized => (
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=\"registry\"\r\n",
            "UNAUTHORIZED",
            "authentication required",
        ),
        Refusal::TooManyRequests => (
            "429 Too Many Requests",
            "Retry-After: 3600\r\n",
            "TOOMANYREQUESTS",
            "You have reached your pull rate limit.",
        ),
    };
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{header}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
