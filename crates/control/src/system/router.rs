//! A stand-in for the router: answers on the control socket, and passes a request on by the snapshot as it lies on the disk right then.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use mainstay_router::{
    control::{Answer, Request, Status},
    snapshot::{Host, Snapshot, Target},
};

const PATIENCE: Duration = Duration::from_secs(5);

/// Its threads end with the test's process.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) address: SocketAddr,
    pub(super) control: PathBuf,
    pub(super) snapshot: PathBuf,
    /// What it says that visitors were sent, once.
    pub(super) traffic: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Router {
    pub(super) fn start(directory: &Path) -> Self {
        let (control, snapshot) = (directory.join("control.sock"), directory.join("routes.json"));
        Snapshot::default().write(&snapshot).unwrap();
        let traffic = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let counted = Arc::clone(&traffic);
        let socket = UnixListener::bind(&control).unwrap();
        thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                drop(control_one(stream, &counted));
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let path = snapshot.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let path = path.clone();
                thread::spawn(move || drop(serve_one(stream, &path)));
            }
        });
        Self {
            address,
            control,
            snapshot,
            traffic,
        }
    }

    pub(super) fn routes(&self) -> Snapshot {
        read(&self.snapshot).unwrap()
    }
}

fn read(path: &Path) -> io::Result<Snapshot> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// The snapshot is read for each request: whatever is on the disk is in force, and nothing stays in flight.
fn control_one(mut stream: UnixStream, traffic: &Mutex<BTreeMap<String, u64>>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.try_clone()?).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line)? {
        Request::Status => Answer::Status(Status::default()),
        Request::TakeTraffic => Answer::Traffic {
            bytes: std::mem::take(&mut *traffic.lock().unwrap()),
        },
        _ => Answer::Done,
    };
    writeln!(stream, "{}", serde_json::to_string(&answer)?)
}

fn serve_one(mut stream: TcpStream, snapshot: &Path) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            length => head.extend(&piece[..length]),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let answered = route(&head, &read(snapshot)?).is_some_and(|address| answers(address, &head));
    let answer = if answered {
        "HTTP/1.1 200 OK\r\n"
    } else {
        "HTTP/1.1 503 Service Unavailable\r\nmainstay-reason: none\r\n"
    };
    write!(stream, "{answer}content-length: 0\r\nconnection: close\r\n\r\n")
}

/// Where the request is to be passed on to.
fn route(head: &str, snapshot: &Snapshot) -> Option<SocketAddr> {
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim_start_matches(':').trim().to_owned())
    };
    let host: &Host = match header("mainstay-candidate") {
        Some(token) => snapshot.candidates.get(&token)?,
        None => snapshot.hosts.get(header("host")?.split(':').next()?)?,
    };
    host.routes.iter().find_map(|route| match &route.target {
        Target::Service { endpoints, .. } => endpoints.first().map(|endpoint| endpoint.address),
        _ => None,
    })
}

fn answers(address: SocketAddr, head: &str) -> bool {
    let ask = || -> io::Result<String> {
        let mut app = TcpStream::connect_timeout(&address, PATIENCE)?;
        app.set_read_timeout(Some(PATIENCE))?;
        app.write_all(head.as_bytes())?;
        let mut answer = String::new();
        app.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
