//! The world of a test: a host, an internet, instances, and probes between them.

use std::{
    collections::BTreeSet,
    future::Future,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket},
    os::fd::AsFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use mainstay_engine::local::network::{Attachment, NetworkConfig, Networks, Tenant};
use mainstay_spec::ids::{AppId, InstanceId};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{io::AsyncWriteExt, net::TcpListener, sync::oneshot};
use uuid::Uuid;

pub(crate) const INTERNET: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(crate) const HOST_OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
pub(crate) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const OUTWARD_MTU: &str = "1400";
/// How long a probe waits for an answer; what is refused is refused in far less.
pub(crate) const PROBE_DEADLINE: Duration = Duration::from_secs(3);
const TOOLS: [&str; 5] = ["unshare", "nsenter", "ip", "nft", "iptables"];

/// A process that only holds a network namespace; it ends with this value.
#[derive(Debug)]
pub(crate) struct Held {
    process: Child,
}

impl Held {
    pub(crate) fn namespace() -> Self {
        Self::by_unshare(&["-n"])
    }

    /// A namespace that belongs to a user namespace of its own, as those of containers do.
    pub(crate) fn namespace_of_other_users() -> Self {
        Self::by_unshare(&["-U", "-r", "-n"])
    }

    fn by_unshare(flags: &[&str]) -> Self {
        let process = Command::new("unshare")
            .args(flags)
            .arg("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("unshare starts");
        let held = Self { process };
        let name = format!("/proc/{}/comm", held.pid());
        wait_until("the namespace is there", || {
            std::fs::read_to_string(&name).unwrap() == "cat\n"
        });
        held
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap()
    }

    /// Runs `work` on a thread inside the namespace; the caller's runtime goes on meanwhile.
    pub(crate) async fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", self.pid())).unwrap();
        let (sender, receiver) = oneshot::channel();
        std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let _ = sender.send(work());
        });
        receiver.await.expect("the probe does not panic")
    }

    fn ip(&self, arguments: &str) {
        let pid = self.pid().to_string();
        run(
            "nsenter",
            &[
                &["-t", &pid, "-n", "ip"],
                &arguments.split(' ').collect::<Vec<_>>()[..],
            ]
            .concat(),
        );
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The machine of a test, as its [`Networks`] sees it.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) held: Held,
    pub(crate) internet: Held,
    directory: tempfile::TempDir,
}

/// Runs the test on a host of its own.
pub(crate) fn on_host<F: Future<Output = ()>>(test: impl FnOnce(Host) -> F + Send + 'static) {
    if let Some(reason) = cannot_run() {
        eprintln!("skipped: {reason}");
        return;
    }
    let outcome = std::thread::spawn(move || {
        let host = Host::new();
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", host.held.pid())).unwrap();
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        // Of one thread: this one is on the host, and so are the threads and processes that it starts.
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test(host));
    });
    if let Err(panic) = outcome.join() {
        std::panic::resume_unwind(panic);
    }
}

pub(crate) fn cannot_run() -> Option<String> {
    let is_root = std::fs::read_to_string("/proc/self/status")
        .unwrap()
        .contains("\nUid:\t0\t0\t");
    if !is_root {
        return Some("network tests need root".to_owned());
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let missing = |tool: &&&str| !std::env::split_paths(&paths).any(|path| path.join(tool).exists());
    TOOLS
        .iter()
        .find(missing)
        .map(|tool| format!("{tool} is not installed"))
}

impl Host {
    fn new() -> Self {
        let host = Self {
            held: Held::namespace(),
            internet: Held::namespace(),
            directory: tempfile::tempdir().unwrap(),
        };
        let internet = host.internet.pid();
        host.held.ip("link set lo up");
        host.held.ip(&format!(
            "link add up0 mtu {OUTWARD_MTU} type veth peer name eth0 netns {internet}"
        ));
        host.held.ip(&format!("addr add {HOST_OUTSIDE}/24 dev up0"));
        host.held.ip("link set up0 up");
        host.internet.ip("link set lo up");
        host.internet.ip(&format!("addr add {INTERNET}/24 dev eth0"));
        host.internet.ip(&format!("addr add {METADATA}/32 dev lo"));
        host.internet.ip("link set eth0 up");
        // The internet knows a road into the apps, as a hostile neighbour would.
        host.internet
            .ip(&format!("route add 10.0.0.0/8 via {HOST_OUTSIDE}"));
        host.held.ip(&format!("route add default via {INTERNET}"));
        host
    }

    pub(crate) fn config(&self) -> NetworkConfig {
        NetworkConfig::new(self.state_file())
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.directory.path().join("network.json")
    }

    pub(crate) async fn networks(&self) -> Networks {
        Networks::open(self.config()).await.unwrap()
    }

    /// What of ours is on the host that this thread is on: devices, routes, addresses and tables, one a line.
    pub(crate) fn traces() -> BTreeSet<String> {
        let listings = [
            run("ip", &["-o", "link"]),
            run("ip", &["route", "show", "table", "all"]),
            run("ip", &["-o", "-4", "addr"]),
            run("nft", &["list", "tables"]),
        ];
        let lines = listings
            .iter()
            .flat_map(|listing| listing.lines().map(str::to_owned));
        lines
            // The kernel's own addresses of IPv6 come a while after their device.
            .filter(|line| !line.contains("fe80::"))
            .filter(|line| line.contains("ms-") || line.contains("10.21") || line.contains("table"))
            .collect()
    }
}

/// A fake instance: a namespace that was attached.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) held: Held,
    pub(crate) at: Attachment,
}

impl Instance {
    pub(crate) async fn attached(networks: &Networks, tenant: Tenant) -> Self {
        Self::from(networks, tenant, Held::namespace()).await
    }

    pub(crate) async fn from(networks: &Networks, tenant: Tenant, held: Held) -> Self {
        let id = InstanceId::from_uuid(Uuid::new_v4());
        let at = networks.attach(tenant, id, held.pid()).await.unwrap();
        Self { id, held, at }
    }

    pub(crate) async fn get(&self, address: Ipv4Addr, port: u16) -> Result<Answer, io::ErrorKind> {
        get_from(&self.held, address, port).await
    }

    pub(crate) fn ip(&self, arguments: &str) {
        self.held.ip(arguments);
    }
}

/// What a [`serve`]d port says to who connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) server: String,
    /// Where the server saw the call come from.
    pub(crate) caller: Ipv4Addr,
}

/// Listens in the namespace; tells each caller `name` and the caller's own address, echoes lines until the caller closes.
pub(crate) async fn serve(held: &Held, name: &str, port: u16) {
    let listener = held
        .inside(move || std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap())
        .await;
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let name = name.to_owned();
    tokio::spawn(async move {
        while let Ok((mut stream, caller)) = listener.accept().await {
            let greeting = format!("{name} {}\n", caller.ip());
            tokio::spawn(async move {
                stream.write_all(greeting.as_bytes()).await?;
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    });
}

/// Calls a [`serve`]d port from inside the namespace.
pub(crate) async fn get_from(held: &Held, address: Ipv4Addr, port: u16) -> Result<Answer, io::ErrorKind> {
    held.inside(move || {
        let server = SocketAddr::V4(SocketAddrV4::new(address, port));
        let mut stream = TcpStream::connect_timeout(&server, PROBE_DEADLINE)?;
        stream.set_read_timeout(Some(PROBE_DEADLINE))?;
        read_greeting(&mut stream)
    })
    .await
    .map_err(|error| error.kind())
}

pub(crate) fn read_greeting(stream: &mut TcpStream) -> io::Result<Answer> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    let line = String::from_utf8(line).unwrap();
    let (server, caller) = line.trim().split_once(' ').unwrap();
    Ok(Answer {
        server: server.to_owned(),
        caller: caller.parse().unwrap(),
    })
}

/// True if the connection still carries bytes both ways.
pub(crate) fn echoes(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 4];
    stream
        .write_all(b"ping")
        .and_then(|()| stream.read_exact(&mut answer))
        .is_ok()
        && answer == *b"ping"
}

/// Sends a datagram from inside the namespace and returns the answer's length.
pub(crate) async fn ask_udp(
    held: &Held,
    server: SocketAddr,
    question: Vec<u8>,
) -> Result<usize, io::ErrorKind> {
    held.inside(move || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(PROBE_DEADLINE))?;
        socket.connect(server)?;
        socket.send(&question)?;
        socket.recv(&mut [0; 2048])
    })
    .await
    .map_err(|error| error.kind())
}

/// Answers one datagram with itself.
pub(crate) async fn echo_udp(held: &Held, address: Ipv4Addr, port: u16) {
    let socket = held
        .inside(move || UdpSocket::bind((address, port)).unwrap())
        .await;
    socket.set_nonblocking(true).unwrap();
    let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
    tokio::spawn(async move {
        let mut datagram = [0; 2048];
        while let Ok((length, caller)) = socket.recv_from(&mut datagram).await {
            let _ = socket.send_to(&datagram[..length], caller).await;
        }
    });
}

/// A socket that keeps what arrives.
#[derive(Debug)]
pub(crate) struct Mailbox(tokio::net::UdpSocket);

impl Mailbox {
    pub(crate) async fn open(held: &Held, port: u16) -> Self {
        let socket = held
            .inside(move || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap())
            .await;
        socket.set_nonblocking(true).unwrap();
        Self(tokio::net::UdpSocket::from_std(socket).unwrap())
    }

    /// The first datagram that arrived, or arrives before long.
    pub(crate) async fn first(&self) -> String {
        let mut datagram = [0; 2048];
        let received = tokio::time::timeout(PROBE_DEADLINE, self.0.recv(&mut datagram)).await;
        let length = received.expect("a datagram arrives").unwrap();
        String::from_utf8(datagram[..length].to_vec()).unwrap()
    }
}

/// Sends a datagram from an address of the namespace; it may get lost.
pub(crate) async fn send_udp(held: &Held, from: Ipv4Addr, to: Ipv4Addr, port: u16, text: &'static str) {
    held.inside(move || {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        let _ = socket.send_to(text.as_bytes(), (to, port));
    })
    .await;
}

pub(crate) fn new_app() -> AppId {
    AppId::from_uuid(Uuid::new_v4())
}

pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?} failed: {stderr}"
    );
    String::from_utf8(output.stdout).unwrap()
}
