//! The two proxies, each on the first core.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use mainstay_router::snapshot::{Endpoint, Host, Protocol, Route, Snapshot, Target, Unavailable};

use super::app;

/// What both proxies give to visitors.
#[derive(Debug)]
pub(crate) struct Behind {
    app: SocketAddr,
    /// `files/1k` and `files/1m` are below.
    site: PathBuf,
}

impl Behind {
    pub(crate) fn prepare(directory: &Path) -> io::Result<Self> {
        let site = directory.join("site");
        fs::create_dir_all(site.join("files"))?;
        fs::write(site.join("files/1k"), vec![b'x'; 1 << 10])?;
        fs::write(site.join("files/1m"), vec![b'x'; 1 << 20])?;
        Ok(Self {
            app: app::start()?,
            site,
        })
    }
}

/// Ended with its value.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Proxy {
    pub(crate) fn nginx(directory: &Path, address: SocketAddr, behind: &Behind) -> io::Result<Self> {
        let directory = directory.join("nginx");
        fs::create_dir_all(&directory)?;
        let configuration = directory.join("nginx.conf");
        fs::write(&configuration, nginx_configuration(&directory, address, behind))?;
        let mut command = on_first_core("nginx");
        command
            .args(["-e", "stderr", "-c"])
            .arg(&configuration)
            .arg("-p")
            .arg(&directory);
        Self::start("nginx", address, &mut command)
    }

    pub(crate) fn router(directory: &Path, address: SocketAddr, behind: &Behind) -> io::Result<Self> {
        let directory = directory.join("router");
        fs::create_dir_all(&directory)?;
        let snapshot = directory.join("routes.json");
        thousand_hosts(behind).write(&snapshot)?;
        let mut command = on_first_core(env!("CARGO_BIN_EXE_mainstay-router"));
        command
            .args([
                "supervise",
                "--threads",
                "1",
                "--listen",
                &address.to_string(),
                "--snapshot",
            ])
            .arg(snapshot);
        command
            .arg("--control")
            .arg(directory.join("control.sock"))
            .arg("--log")
            .arg(directory.join("access.log"));
        Self::start("router", address, &mut command)
    }

    fn start(name: &'static str, address: SocketAddr, command: &mut Command) -> io::Result<Self> {
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let proxy = Self {
            name,
            address,
            process,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{name} does not listen on {address}")));
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ok(proxy)
    }

    /// Time on a CPU so far, of all its threads.
    pub(crate) fn cpu(&self) -> Duration {
        let threads = self.processes().into_iter().flat_map(|pid| {
            let tasks = fs::read_dir(format!("/proc/{pid}/task"))
                .into_iter()
                .flatten()
                .flatten();
            tasks
                .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
                .collect::<Vec<_>>()
        });
        let nanoseconds = threads
            .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
            .sum();
        Duration::from_nanos(nanoseconds)
    }

    /// Its share of memory: what processes have in common is counted once.
    pub(crate) fn memory_kb(&self) -> f64 {
        let kilobytes = self.processes().into_iter().filter_map(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = text.lines().find(|line| line.starts_with("Pss:"))?;
            line.split_whitespace().nth(1)?.parse::<u32>().ok()
        });
        f64::from(kilobytes.sum::<u32>())
    }

    fn processes(&self) -> Vec<u32> {
        let main = self.process.id();
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        [main].into_iter().chain(children).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.process.wait();
    }
}

fn on_first_core(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", program]);
    command
}

/// A route each, and one of them the files beside it.
fn thousand_hosts(behind: &Behind) -> Snapshot {
    let route = |path_prefix: &str, target| Route {
        path_prefix: path_prefix.into(),
        exact: false,
        component: "app".into(),
        preserve_path_prefix: true,
        rewrite: None,
        target,
    };
    let host = |routes| Host {
        app: "app".into(),
        routes,
    };
    let mut hosts: BTreeMap<String, Host> = (0..1000)
        .map(|number| {
            (
                format!("app-{number}.localhost"),
                host(vec![route("/", service(behind))]),
            )
        })
        .collect();
    let both = host(vec![route("/", service(behind)), route("/files", site(behind))]);
    hosts.insert("app-500.localhost".into(), both);
    Snapshot {
        version: 1,
        hosts,
        ..Snapshot::default()
    }
}

fn service(behind: &Behind) -> Target {
    Target::Service {
        endpoints: vec![Endpoint {
            id: "app".into(),
            address: behind.app,
        }],
        protocol: Protocol::Http1,
        unavailable: Unavailable {
            status: 503,
            code: None,
            sentence: String::new(),
        },
    }
}

fn site(behind: &Behind) -> Target {
    Target::Static {
        root: behind.site.clone(),
        index_document: String::new(),
        error_document: None,
        catchall_document: None,
    }
}

fn nginx_configuration(place: &Path, listen: SocketAddr, behind: &Behind) -> String {
    let (place, app, site) = (place.display(), behind.app, behind.site.display());
    format!(
        "worker_processes 1; daemon off; pid {place}/nginx.pid; error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  upstream app {{ server {app}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen {listen} reuseport;
    add_header X-Request-Id $request_id;
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Request-Id $request_id;
    }}
    location /files/ {{ root {site}; }}
  }}
}}
"
    )
}
