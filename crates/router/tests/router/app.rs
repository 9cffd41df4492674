//! An app, with everything in it that a router can do wrong. It runs on a thread of its own and ends with its value.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
};

type Body = BoxBody<Bytes, hyper::Error>;

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    pub(crate) name: String,
    state: Arc<State>,
    runtime: Option<tokio::runtime::Runtime>,
}

#[derive(Debug)]
struct State {
    name: String,
    /// `/gated` and `/stream` wait for a permit.
    gate: Semaphore,
    arrived: watch::Sender<u64>,
    requests: AtomicU64,
    connections: AtomicU64,
    seen: Mutex<Vec<Seen>>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, Vec<String>>,
}

impl App {
    pub(crate) fn start(name: &str) -> Self {
        Self::serve(name, false)
    }

    /// Speaks HTTP/2 with prior knowledge only.
    pub(crate) fn start_http2(name: &str) -> Self {
        Self::serve(name, true)
    }

    fn serve(name: &str, http2: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            name: name.to_owned(),
            gate: Semaphore::new(0),
            arrived: watch::Sender::new(0),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            seen: Mutex::default(),
        });
        runtime.spawn(accept(listener, Arc::clone(&state), http2));
        Self {
            address,
            name: name.to_owned(),
            state,
            runtime: Some(runtime),
        }
    }

    /// Lets this many waiting requests go on.
    pub(crate) fn open_gate(&self, count: usize) {
        self.state.gate.add_permits(count);
    }

    /// Waits until this many requests have come to the gate, all together.
    pub(crate) fn wait_until_arrived(&self, count: u64) {
        let mut arrived = self.state.arrived.subscribe();
        let waiting = async {
            tokio::time::timeout(super::raw::PATIENCE, arrived.wait_for(|seen| *seen >= count)).await
        };
        self.runtime
            .as_ref()
            .unwrap()
            .block_on(waiting)
            .expect("the requests arrive in time")
            .unwrap();
    }

    pub(crate) fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn last_seen(&self) -> Seen {
        self.state
            .seen
            .lock()
            .unwrap()
            .last()
            .expect("a request arrived")
            .clone()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, http2: bool) {
    while let Ok((stream, _)) = listener.accept().await {
        state.connections.fetch_add(1, Ordering::SeqCst);
        let _ = stream.set_nodelay(true);
        tokio::spawn(connection(stream, Arc::clone(&state), http2));
    }
}

async fn connection(stream: TcpStream, state: Arc<State>, http2: bool) {
    let service = service_fn(move |request| answer(Arc::clone(&state), request));
    if http2 {
        let _ = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    } else {
        let _ = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    state.requests.fetch_add(1, Ordering::SeqCst);
    state.seen.lock().unwrap().push(see(&request));
    let path = request.uri().path().to_owned();
    let mut response = match path.rsplit('/').next().unwrap_or_default() {
        "gated" => {
            state.pass_gate().await;
            text("through")
        }
        "stream" => stream(Arc::clone(&state)),
        "upload" => upload(request),
        "echo" => Response::new(request.into_body().boxed()),
        "sized" => sized(request.uri().query()),
        "ws" => tunnel(request),
        "close" => with_header(text("closing"), header::CONNECTION, "close"),
        "spoof" => with_header(
            text("spoofed"),
            header::HeaderName::from_static("mainstay-reason"),
            "InternalError",
        ),
        "teapot" => with_status(text("short and stout"), StatusCode::IM_A_TEAPOT),
        "empty" => with_status(text(""), StatusCode::NO_CONTENT),
        _ => text(&format!("{} {path}", state.name)),
    };
    let name = state.name.parse().unwrap();
    response.headers_mut().insert("x-answered-by", name);
    Ok(response)
}

impl State {
    async fn pass_gate(&self) {
        self.arrived.send_modify(|count| *count += 1);
        self.gate.acquire().await.unwrap().forget();
    }
}

fn see(request: &Request<Incoming>) -> Seen {
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in request.headers() {
        headers
            .entry(name.to_string())
            .or_default()
            .push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    Seen {
        target: request.uri().to_string(),
        headers,
    }
}

fn text(text: &str) -> Response<Body> {
    Response::new(
        Full::new(Bytes::from(text.to_owned()))
            .map_err(|never| match never {})
            .boxed(),
    )
}

fn with_status(mut response: Response<Body>, status: StatusCode) -> Response<Body> {
    *response.status_mut() = status;
    response
}

fn with_header(
    mut response: Response<Body>,
    name: header::HeaderName,
    value: &'static str,
) -> Response<Body> {
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}

/// A first piece at once, a second one after the gate.
fn stream(state: Arc<State>) -> Response<Body> {
    let (pieces, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _ = pieces.send(Bytes::from_static(b"first")).await;
        state.pass_gate().await;
        let _ = pieces.send(Bytes::from_static(b"second")).await;
    });
    Response::new(body_of(receiver))
}

/// Answers at once with the length of each piece of the body as it comes.
fn upload(request: Request<Incoming>) -> Response<Body> {
    let (pieces, receiver) = mpsc::channel(1);
    let mut body = request.into_body();
    tokio::spawn(async move {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            if pieces.send(Bytes::from(format!("{length}\n"))).await.is_err() {
                return;
            }
        }
    });
    Response::new(body_of(receiver))
}

fn body_of(receiver: mpsc::Receiver<Bytes>) -> Body {
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((Ok(Frame::data(piece)), receiver))
    });
    StreamBody::new(frames).boxed()
}

/// As many bytes as the query says.
fn sized(query: Option<&str>) -> Response<Body> {
    let length = query.and_then(|query| query.parse().ok()).unwrap_or(1024);
    Response::new(
        Full::new(Bytes::from(vec![b'x'; length]))
            .map_err(|never| match never {})
            .boxed(),
    )
}

/// Switches to a protocol that sends everything back.
fn tunnel(mut request: Request<Incoming>) -> Response<Body> {
    let Some(protocol) = request.headers().get(header::UPGRADE).cloned() else {
        return with_status(text("no upgrade asked"), StatusCode::UPGRADE_REQUIRED);
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut stream = TokioIo::new(upgraded);
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut piece).await {
            if stream.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
        let _ = stream.shutdown().await;
    });
    let mut response = with_status(text(""), StatusCode::SWITCHING_PROTOCOLS);
    response
        .headers_mut()
        .insert(header::CONNECTION, "upgrade".parse().unwrap());
    response.headers_mut().insert(header::UPGRADE, protocol);
    response
}

/// A server that answers each connection's first bytes with something of the test's choice, and then closes it.
#[derive(Debug)]
pub(crate) struct OddApp {
    pub(crate) address: SocketAddr,
    received: std::sync::mpsc::Receiver<Vec<u8>>,
}

impl OddApp {
    /// `answer` is sent as it is.
    pub(crate) fn start(answer: &'static [u8]) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut piece = vec![0; 64 << 10];
                let length = stream.read(&mut piece).unwrap_or(0);
                // Told before it is answered: whoever has the answer finds what was received. A test may not care for it.
                let cared_for = sender.send(piece[..length].to_vec()).is_ok();
                let _ = stream.write_all(answer);
                if !cared_for {
                    return;
                }
            }
        });
        Self { address, received }
    }

    pub(crate) fn received(&self) -> String {
        let bytes = self
            .received
            .recv_timeout(super::raw::PATIENCE)
            .expect("a request arrives");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What arrived, if anything did so far.
    pub(crate) fn received_so_far(&self) -> Option<String> {
        self.received
            .try_recv()
            .ok()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// An app that answers one request, and is killed with the next one: that is read and never answered, as is whatever still gets into its
/// listener's queue.
#[derive(Debug)]
pub(crate) struct DyingApp {
    pub(crate) address: SocketAddr,
}

impl DyingApp {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            let mut answers = [&b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ndying"[..]].into_iter();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                stream.set_read_timeout(Some(super::raw::PATIENCE)).unwrap();
                let mut piece = vec![0; 64 << 10];
                while stream.read(&mut piece).is_ok_and(|length| length > 0)
                    && let Some(answer) = answers.next()
                {
                    stream.write_all(answer).unwrap();
                }
            }
        });
        Self { address }
    }
}

/// An address where nothing listens, nor will: it is held for as long as this process runs.
pub(crate) fn dead_address() -> SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}
