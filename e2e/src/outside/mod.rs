//! A server of a database that is nobody's on the platform, as one on another machine would be: in a network and a file system of its own.
//!
//! ```text
//!  host 198.18.N.1 ─── veth ─── 198.18.N.2  server, of the layers that the platform's own databases have
//! ```
//!
//! 198.18.0.0/15 is for tests of networks (RFC 2544): neither hosts nor platforms have addresses there.

mod inside;
mod make;

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

use self::inside::Plan;
pub use self::{
    inside::serve,
    make::{Make, Nature},
};
use crate::{
    platform::ServerImage,
    run::{Answer, run},
    wait_until,
};

const TOOL_WITHIN: Duration = Duration::from_secs(20);
const STARTS_WITHIN: Duration = Duration::from_mins(1);

/// A running server. Dropped, nothing is left of it.
#[derive(Debug)]
pub struct OutsideServer {
    make: Make,
    address: Ipv4Addr,
    namespace: Namespace,
    process: Child,
    directory: TempDir,
}

/// That apps log in as.
pub const USER: &str = "shop";
pub const PASSWORD: &str = "correct-horse-battery";

impl OutsideServer {
    /// Starts one by `mainstay-outside-server` on the link of this number, and waits until it answers (or, where it is not meant to, until it
    /// runs).
    pub(crate) fn start(
        program: &Path,
        image: &ServerImage,
        tag: &str,
        (host, address): (Ipv4Addr, Ipv4Addr),
        link: u8,
        make: Make,
    ) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("mainstay-e2e-server-")
            .tempdir()
            .expect("the temporary directory is writable");
        prepare(directory.path(), address, make);
        let namespace = Namespace::add(format!("out{tag}n{link}"), format!("o{tag}n{link}"));
        make_link(&namespace, host, address);
        let log = File::create(directory.path().join("server.log")).expect("our own directory");
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &namespace.name])
            .args(["unshare", "--mount", "--pid", "--fork", "--kill-child"])
            .arg(program)
            .arg(write_plan(image, directory.path(), make))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("our own file"))
            .stderr(log);
        let process = command.spawn().expect("ip is a program");
        let mut server = Self {
            make,
            address,
            namespace,
            process,
            directory,
        };
        server.await_start();
        if make == Make::Postgres(Nature::Silent) {
            server.swallow_everything();
        }
        server
    }

    fn await_start(&mut self) {
        let address = self.address();
        let listens = || TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok();
        let ended = |process: &mut Child| matches!(process.try_wait(), Ok(Some(_)));
        let done = wait_until(STARTS_WITHIN, || listens() || ended(&mut self.process));
        assert!(done && listens(), "the server does not start:\n{}", self.log());
    }

    fn swallow_everything(&self) {
        let rules = format!(
            "add table ip silent; add chain ip silent everything {{ type filter hook input priority 0; }}; \
             add rule ip silent everything tcp dport {} drop",
            self.make.port()
        );
        tool("ip", &["netns", "exec", &self.namespace.name, "nft", &rules]);
    }

    pub fn make(&self) -> Make {
        self.make
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.address, self.make.port()))
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

/// A network namespace, and the host's end of the link into it. Dropped, both are gone.
#[derive(Debug)]
struct Namespace {
    name: String,
    device: String,
}

impl Namespace {
    fn add(name: String, device: String) -> Self {
        tool("ip", &["netns", "add", &name]);
        Self { name, device }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // With its namespace alone it would be gone at some later moment, and be in the way of the next one.
        for arguments in [["link", "delete", &self.device], ["netns", "delete", &self.name]] {
            let answer = run(Command::new("ip").args(arguments), TOOL_WITHIN);
            if !answer.is_success() {
                eprintln!("a server's network is left: {}", answer.stderr);
            }
        }
    }
}

fn tool(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let _: Answer = run(command.args(arguments), TOOL_WITHIN).expect_success(program);
}

fn make_link(Namespace { name, device }: &Namespace, host: Ipv4Addr, server: Ipv4Addr) {
    let (host, server) = (format!("{host}/30"), format!("{server}/30"));
    let peer = ["peer", "name", "eth0", "netns", name];
    tool(
        "ip",
        &[&["link", "add", device, "type", "veth"], &peer[..]].concat(),
    );
    tool("ip", &["address", "add", &host, "dev", device]);
    tool("ip", &["link", "set", device, "up"]);
    tool("ip", &["-n", name, "address", "add", &server, "dev", "eth0"]);
    tool("ip", &["-n", name, "link", "set", "eth0", "up"]);
    tool("ip", &["-n", name, "link", "set", "lo", "up"]);
}

/// Certificates, settings, and what makes the user and its database.
fn prepare(directory: &Path, address: Ipv4Addr, make: Make) {
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
    let files = make.files();
    for (name, content) in &files {
        fs::write(path(&format!("data/{name}")), content).expect("our own directory");
    }
    let names = files.iter().map(|(name, _)| *name);
    for name in names.chain(["", "server.crt", "server.key"]) {
        chown(path(&format!("data/{name}")), Some(USER_ID), Some(USER_ID)).expect("root may");
    }
}

/// Of what the first process inside reads.
fn write_plan(image: &ServerImage, directory: &Path, make: Make) -> PathBuf {
    let plan = Plan {
        layers: image.layers.iter().rev().cloned().collect(),
        directory: directory.to_owned(),
        volume: make.volume().into(),
        steps: make.steps(&image.version),
    };
    let file = directory.join("plan");
    let written = serde_json::to_vec(&plan).expect("paths of ours are UTF-8");
    fs::write(&file, written).expect("our own directory");
    file
}
