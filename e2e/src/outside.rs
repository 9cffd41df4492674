//! A PostgreSQL server that is nobody's on the platform, as one on another machine would be: in a network and a file system of its own.
//!
//! ```text
//!  host 198.18.N.1 ─── veth ─── 198.18.N.2:5432  postgres, of the layers that the platform's own databases have
//! ```
//!
//! 198.18.0.0/15 is for tests of networks (RFC 2544): neither hosts nor platforms have addresses there.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use mainstay_images::stack::USER_ID;
use tempfile::TempDir;

use crate::{
    platform::ServerImage,
    run::{Answer, run},
    wait_until,
};

const TOOL_WITHIN: Duration = Duration::from_secs(20);
const STARTS_WITHIN: Duration = Duration::from_mins(1);
const PORT: u16 = 5432;

/// What is wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nature {
    /// Nothing; its role `shop` owns its database `shop`.
    Good,
    /// It reads its log from an archive that does not answer, and lets nobody in meanwhile.
    Starting,
    /// A firewall swallows whatever comes.
    Silent,
    /// Its role `shop` may not create in the schema `public`, which is another role's.
    Closed,
}

impl Nature {
    /// As a fault's expectation writes it, and as its cluster is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Starting => "starting",
            Self::Silent => "silent",
            Self::Closed => "closed",
        }
    }
}

/// A running server. Dropped, nothing is left of it.
#[derive(Debug)]
pub struct OutsideServer {
    address: Ipv4Addr,
    namespace: Namespace,
    process: Child,
    directory: TempDir,
}

/// Of the role that apps log in as.
pub const USER: &str = "shop";
pub const PASSWORD: &str = "correct-horse-battery";
pub const DATABASE: &str = "shop";

impl OutsideServer {
    /// Starts one on the link of this number, and waits until it answers (or, where it is not meant to, until it runs).
    pub(crate) fn start(
        image: &ServerImage,
        tag: &str,
        (host, address): (Ipv4Addr, Ipv4Addr),
        link: u8,
        nature: Nature,
    ) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("mainstay-e2e-server-")
            .tempdir()
            .expect("the temporary directory is writable");
        prepare(directory.path(), address, nature);
        let namespace = Namespace::add(format!("out{tag}n{link}"));
        make_link(&namespace.0, &format!("o{tag}n{link}"), host, address);
        let log = File::create(directory.path().join("server.log")).expect("our own directory");
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &namespace.0])
            .args([
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
            ])
            .arg(script(image, directory.path(), nature))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("our own file"))
            .stderr(log);
        let process = command.spawn().expect("ip is a program");
        let mut server = Self {
            address,
            namespace,
            process,
            directory,
        };
        server.await_start();
        if nature == Nature::Silent {
            server.swallow_everything();
        }
        server
    }

    fn await_start(&mut self) {
        let address = SocketAddr::from((self.address, PORT));
        let listens = || TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok();
        let ended = |process: &mut Child| matches!(process.try_wait(), Ok(Some(_)));
        let done = wait_until(STARTS_WITHIN, || listens() || ended(&mut self.process));
        assert!(done && listens(), "the server does not start:\n{}", self.log());
    }

    fn swallow_everything(&self) {
        let rules = format!(
            "add table ip silent; add chain ip silent everything {{ type filter hook input priority 0; }}; \
             add rule ip silent everything tcp dport {PORT} drop"
        );
        tool("ip", &["netns", "exec", &self.namespace.0, "nft", &rules]);
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.address, PORT))
    }

    /// Of who vouches for its certificate.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default()
    }

    /// `kill -9` to all of it.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Drop for OutsideServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A network namespace. Dropped, it is gone, and the link into it too.
#[derive(Debug)]
struct Namespace(String);

impl Namespace {
    fn add(name: String) -> Self {
        tool("ip", &["netns", "add", &name]);
        Self(name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let mut command = Command::new("ip");
        let answer = run(command.args(["netns", "delete", &self.0]), TOOL_WITHIN);
        if !answer.is_success() {
            eprintln!("a namespace is left: {}", answer.stderr);
        }
    }
}

fn tool(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let _: Answer = run(command.args(arguments), TOOL_WITHIN).expect_success(program);
}

fn make_link(namespace: &str, device: &str, host: Ipv4Addr, server: Ipv4Addr) {
    let (host, server) = (format!("{host}/30"), format!("{server}/30"));
    let peer = ["peer", "name", "eth0", "netns", namespace];
    tool(
        "ip",
        &[&["link", "add", device, "type", "veth"], &peer[..]].concat(),
    );
    tool("ip", &["address", "add", &host, "dev", device]);
    tool("ip", &["link", "set", device, "up"]);
    tool("ip", &["-n", namespace, "address", "add", &server, "dev", "eth0"]);
    tool("ip", &["-n", namespace, "link", "set", "eth0", "up"]);
    tool("ip", &["-n", namespace, "link", "set", "lo", "up"]);
}

/// Certificates, settings and the statements that make the role and its database.
fn prepare(directory: &Path, address: Ipv4Addr, nature: Nature) {
    for name in ["root", "writes", "data"] {
        fs::create_dir(directory.join(name)).expect("our own directory");
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("our own directory");
    let path = |name: &str| directory.join(name).display().to_string();
    let name = format!("subjectAltName=IP:{address}");
    fs::write(path("names"), &name).expect("our own directory");
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    let authority = ["req", "-x509", "-days", "2", "-subj", "/CN=outside authority"];
    let of_authority = ["-keyout", &path("ca.key"), "-out", &path("ca.crt")];
    tool("openssl", &[&authority[..], &key, &of_authority].concat());
    let request = ["req", "-subj", "/CN=outside server"];
    let of_server = ["-keyout", &path("server.key"), "-out", &path("server.csr")];
    tool("openssl", &[&request[..], &key, &of_server].concat());
    let sign = [
        "x509",
        "-req",
        "-days",
        "2",
        "-CAcreateserial",
        "-CA",
        &path("ca.crt"),
    ];
    let signed = ["-CAkey", &path("ca.key"), "-in", &path("server.csr")];
    let result = ["-extfile", &path("names"), "-out", &path("data/server.crt")];
    tool("openssl", &[&sign[..], &signed, &result].concat());
    fs::rename(path("server.key"), path("data/server.key")).expect("our own directory");
    fs::set_permissions(path("data/server.key"), fs::Permissions::from_mode(0o600)).expect("our own file");
    fs::write(path("data/settings"), settings(nature)).expect("our own directory");
    fs::write(path("data/access"), "hostssl all all 0.0.0.0/0 scram-sha-256\n").expect("our own directory");
    fs::write(path("data/statements"), statements(nature)).expect("our own directory");
    for name in [
        "data",
        "data/server.crt",
        "data/server.key",
        "data/settings",
        "data/access",
        "data/statements",
    ] {
        chown(path(name), Some(USER_ID), Some(USER_ID)).expect("root may");
    }
}

fn settings(nature: Nature) -> String {
    let more = match nature {
        // As long as the command does not end, the server is starting.
        Nature::Starting => "restore_command = 'sleep 3600'\n",
        _ => "",
    };
    format!(
        "listen_addresses = '*'\nport = {PORT}\nunix_socket_directories = ''\nssl = on\n\
         ssl_cert_file = '{VOLUME}/server.crt'\nssl_key_file = '{VOLUME}/server.key'\nhba_file = '{VOLUME}/access'\n\
         password_encryption = 'scram-sha-256'\nshared_buffers = '16MB'\n{more}"
    )
}

/// One a line: that is how a server without sessions takes them.
fn statements(nature: Nature) -> String {
    let owner = match nature {
        Nature::Closed => "postgres",
        _ => USER,
    };
    format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}';\nCREATE DATABASE {DATABASE} OWNER {owner};\n")
}

/// Where the server sees what was prepared.
const VOLUME: &str = "/var/lib/postgresql";

/// The shell stays: it is what dies with whoever started it, and the first process of a namespace takes all others along. A program that changes its
/// user would forget that.
fn script(image: &ServerImage, directory: &Path, nature: Nature) -> String {
    let place = directory.display();
    let lower: Vec<String> = image
        .layers
        .iter()
        .rev()
        .map(|layer| layer.display().to_string())
        .collect();
    let lower = lower.join(":");
    let programs = format!("/usr/lib/postgresql/{}/bin", image.version);
    let inside = format!("chroot --userspec={USER_ID}:{USER_ID} {place}/root");
    let data = format!("{VOLUME}/data");
    let signal = match nature {
        Nature::Starting => format!("{inside} touch {data}/recovery.signal"),
        _ => "true".to_owned(),
    };
    format!(
        "set -e
mount --make-rprivate /
mount -t tmpfs tmpfs {place}/writes
mkdir {place}/writes/upper {place}/writes/work
mount -t overlay overlay -o lowerdir={lower},upperdir={place}/writes/upper,workdir={place}/writes/work {place}/root
mkdir -p {place}/root{VOLUME}
mount --bind {place}/data {place}/root{VOLUME}
mount -t proc proc {place}/root/proc
mount --rbind /dev {place}/root/dev
export LANG=C.UTF-8
{inside} {programs}/initdb --pgdata {data} --username postgres --encoding UTF8 --locale C.UTF-8 --no-instructions
{inside} {programs}/postgres --single -D {data} postgres < {place}/data/statements
{signal}
{inside} {programs}/postgres -D {data} -c config_file={VOLUME}/settings
exit $?
"
    )
}
