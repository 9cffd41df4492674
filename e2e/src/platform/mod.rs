//! A whole Mainstay of its own, beside everything else on the machine.

mod leftovers;
mod passwords;
mod processes;
mod programs;
mod setup;
mod small_disk;
mod stack;
mod user;
mod visitors;

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use programs::OUTSIDE_SERVER;
pub use programs::Programs;
pub use small_disk::Ballast;
pub(crate) use stack::ServerImage;
pub use user::User;

use self::setup::{Network, Setup, Wishes};
use crate::{
    Deployment, Folder, Make, OutsideServer, Registry, outside,
    registry::{Refusal, RefusingRegistry},
    run::{Answer, run},
    visit, wait_until,
};

const STARTS_WITHIN: Duration = Duration::from_mins(1);
const ENDS_WITHIN: Duration = Duration::from_secs(30);
const DOWN_WITHIN: Duration = Duration::from_mins(2);
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);
/// Toolchains and packages come from the network the first time.
const DEPLOYS_WITHIN: Duration = Duration::from_mins(5);

/// A running platform. Dropping it takes it down and fails the test if anything is left of it.
#[derive(Debug)]
pub struct Platform {
    setup: Setup,
    programs: Programs,
    server: Option<Child>,
    /// Its configuration is not the one that it began with.
    is_changed: bool,
    /// Set once something of it was broken on purpose: what its log says of that is no fault.
    broken: AtomicBool,
    /// The same of its disk.
    filled: AtomicBool,
}

impl Platform {
    /// Starts a server with an empty database and a stack that is kept between runs.
    pub fn start(programs: Programs) -> Self {
        Self::start_with(programs, "")
    }

    /// The same with tables added to the configuration.
    pub fn start_with(programs: Programs, config: &str) -> Self {
        Self::start_in(programs, Setup::make(config, Wishes::default()))
    }

    /// The same whose data have a disk of their own with so many bytes.
    pub fn start_on_small_disk(programs: Programs, config: &str, bytes: u64) -> Self {
        let wishes = Wishes {
            disk: Some(bytes),
            ..Wishes::default()
        };
        Self::start_in(programs, Setup::make(config, wishes))
    }

    /// The same with an encrypted API, by a certificate of the platform's own authority.
    pub fn start_over_tls(programs: Programs) -> Self {
        let wishes = Wishes {
            tls: true,
            ..Wishes::default()
        };
        Self::start_in(programs, Setup::make("", wishes))
    }

    fn start_in(programs: Programs, setup: Setup) -> Self {
        stack::provide(&setup.images_dir());
        let mut platform = Self {
            setup,
            programs,
            server: None,
            is_changed: false,
            broken: AtomicBool::new(false),
            filled: AtomicBool::new(false),
        };
        platform.start_server();
        platform
    }

    /// Starts the server and waits until it answers.
    pub fn start_server(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("our own directory");
        let mut command = Command::new(self.programs.path("mainstay-server"));
        command.args(["run", "--config"]).arg(self.setup.config_path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.server = Some(command.spawn().expect("the server is a program"));
        let healthy = wait_until(STARTS_WITHIN, || self.server_ended() || self.answers()) && self.answers();
        assert!(
            healthy,
            "the server does not answer; its log:\n{}",
            self.server_log()
        );
    }

    fn answers(&self) -> bool {
        if self.setup.tls {
            return self.text(&["limits"]).is_success();
        }
        let page = visit::get(self.setup.api, "localhost", "/v2/mainstay/health");
        page.is_ok_and(|page| page.status == 200)
    }

    /// `kill -9`: nothing is put in order.
    pub fn kill_server(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().expect("our own child");
            server.wait().expect("our own child");
        }
    }

    /// `kill -9` of all that runs of the platform: server, router, shims, apps, databases. What the kernel keeps without them stays.
    pub fn kill_everything(&mut self) {
        self.kill_server();
        assert!(leftovers::kill_all(&self.setup), "something does not die");
    }

    /// Takes from the platform what a machine loses that is switched off: processes, mounts, cgroups, networks, and all of `/run`. Its disk
    /// is left.
    pub fn switch_off(&mut self) {
        self.kill_everything();
        leftovers::scrub(&self.setup);
        leftovers::remove_routes(&self.setup);
        self.setup.empty_run_dir();
        self.setup.pretend_another_boot();
        assert_eq!(
            leftovers::of(&self.setup),
            Vec::<String>::new(),
            "the machine is not off"
        );
    }

    /// Ends the server as an upgrade does.
    pub fn stop_server(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        let pid = Pid::from_child(&server);
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::TERM);
        if !wait_until(ENDS_WITHIN, || matches!(server.try_wait(), Ok(Some(_)))) {
            eprintln!("the server did not end within {ENDS_WITHIN:?} and is killed");
            drop(server.kill());
            drop(server.wait());
        }
    }

    /// The server goes on with these tables added to its configuration, or without those that were.
    pub fn restart_with(&mut self, config: &str) {
        self.stop_server();
        self.setup.configure(config);
        self.is_changed = !config.is_empty();
        self.start_server();
    }

    /// Starts a server if none runs with the configuration that the platform began with.
    pub fn ensure_server(&mut self) {
        if self.is_changed {
            self.restart_with("");
        } else if self.server_ended() {
            self.start_server();
        }
    }

    fn server_ended(&mut self) -> bool {
        self.server
            .as_mut()
            .is_none_or(|server| matches!(server.try_wait(), Ok(Some(_))))
    }

    /// Runs `mainstay`, with JSON as output.
    pub fn json(&self, arguments: &[&str]) -> Answer {
        self.cli(&[&["--output", "json"], arguments].concat(), ANSWERS_WITHIN)
    }

    /// The same for what waits until a deployment ended.
    pub fn long_json(&self, arguments: &[&str]) -> Answer {
        self.cli(&[&["--output", "json"], arguments].concat(), DEPLOYS_WITHIN)
    }

    /// Runs `mainstay` as a person does.
    pub fn text(&self, arguments: &[&str]) -> Answer {
        self.cli(arguments, ANSWERS_WITHIN)
    }

    /// Runs `mainstay`; one that takes longer is killed.
    pub fn cli(&self, arguments: &[&str], within: Duration) -> Answer {
        let mut command = Command::new(self.programs.path("mainstay"));
        command.arg("--api-url").arg(self.api_url());
        command.arg("--token-file").arg(self.token_file());
        if self.setup.tls {
            command.arg("--ca").arg(self.authority());
        }
        command.args(arguments).env_remove("MAINSTAY_TOKEN");
        run(&mut command, within)
    }

    /// `mainstay deploy`: uploads the folder and waits for the end, whatever it is.
    pub fn deploy(&self, folder: &Folder) -> Deployment {
        self.deploy_directory(folder.on_disk().path())
    }

    /// The same for a folder that lies there already.
    pub fn deploy_directory(&self, directory: &Path) -> Deployment {
        let answer = self.long_json(&["deploy", "--allow-losses", &directory.display().to_string()]);
        let json = answer.json();
        assert!(
            json["phase"].is_string(),
            "the deploy was not accepted: {}\n{}",
            answer.stdout,
            answer.stderr
        );
        let deployment = Deployment { json };
        let active = deployment.phase() == "ACTIVE";
        assert_eq!(
            answer.is_success(),
            active,
            "exit status {:?} of {deployment}",
            answer.status
        );
        deployment
    }

    /// Deploys what has to succeed.
    pub fn deploy_active(&self, folder: &Folder) -> Deployment {
        let deployment = self.deploy(folder);
        assert_eq!(
            deployment.phase(),
            "ACTIVE",
            "{deployment}\n{}",
            self.build_log(folder.name(), deployment.id())
        );
        deployment
    }

    /// `mainstay apps create --upsert` with the folder's spec alone; what it deploys has to succeed.
    pub fn create_or_update(&self, folder: &Folder) -> Deployment {
        let deployment = self.try_create_or_update(folder);
        assert_eq!(deployment.phase(), "ACTIVE", "{deployment}");
        deployment
    }

    /// The same, however its deployment ends.
    pub fn try_create_or_update(&self, folder: &Folder) -> Deployment {
        let directory = folder.on_disk();
        let spec = directory.path().join(".do/app.yaml").display().to_string();
        let answer = self.long_json(&[
            "apps",
            "create",
            "--upsert",
            "--allow-losses",
            "--spec",
            &spec,
            "--wait",
        ]);
        Deployment { json: answer.json() }
    }

    /// Uploads the folder and returns as soon as the deployment is accepted.
    pub fn deploy_without_waiting(&self, folder: &Folder) {
        self.deploy_directory_without_waiting(folder.on_disk().path());
    }

    /// The same for a folder that lies there already.
    pub fn deploy_directory_without_waiting(&self, directory: &Path) {
        let path = directory.display().to_string();
        let _ = self
            .cli(&["deploy", "--no-wait", &path], ANSWERS_WITHIN)
            .expect_success("mainstay deploy --no-wait");
    }

    /// The newest deployment as it is now.
    pub fn newest_deployment(&self, app: &str) -> Deployment {
        let answer = self
            .json(&["deployments", "get", app])
            .expect_success("mainstay deployments get");
        Deployment { json: answer.json() }
    }

    /// Waits for the end of the newest deployment, which has to be a good one.
    pub(crate) fn await_newest_deployment(&self, app: &str) -> Deployment {
        let answer = self.long_json(&["deployments", "wait", app]);
        let deployment = Deployment { json: answer.json() };
        assert_eq!(deployment.phase(), "ACTIVE", "{deployment}");
        deployment
    }

    pub fn build_log(&self, app: &str, deployment: &str) -> String {
        self.log(app, deployment, "build")
    }

    /// One kind of log of one deployment: "build", "deploy" or "run".
    pub fn log(&self, app: &str, deployment: &str, kind: &str) -> String {
        self.text(&["logs", app, "--deployment", deployment, "--type", kind])
            .stdout
    }

    /// Ids of the app's running instances.
    pub fn instances(&self, app: &str) -> Vec<String> {
        let list = self.instance_list(app);
        let ids = list
            .iter()
            .filter_map(|instance| instance["instance_id"].as_str());
        ids.map(str::to_owned).collect()
    }

    /// The app's instances with all that is said of them.
    pub(crate) fn instance_list(&self, app: &str) -> Vec<Value> {
        let answer = self
            .json(&["apps", "instances", app])
            .expect_success("mainstay apps instances");
        serde_json::from_str(&answer.stdout).expect("a list")
    }

    pub(crate) fn app_id(&self, app: &str) -> String {
        let answer = self
            .json(&["apps", "get", app])
            .expect_success("mainstay apps get");
        let id = answer.json()[0]["id"].as_str().map(str::to_owned);
        id.expect("an app has an id")
    }

    /// What there is of the app's instances but for those that may run.
    pub(crate) fn left_of_app(&self, id: &str, running: &[String]) -> Vec<String> {
        leftovers::of_app(&self.setup, id, running)
    }

    /// With its databases.
    pub fn delete(&self, app: &str) {
        let _ = self
            .text(&["apps", "delete", app, "--force", "--delete-databases"])
            .expect_success("mainstay apps delete");
    }

    /// Starts the registry that stands in for Docker Hub.
    pub fn start_registry(&self) -> Registry {
        Registry::start(self.setup.registry)
    }

    /// Starts the registries that hand nothing out: `refused.example` and `busy.example`.
    pub(crate) fn start_refusing_registries(&self) -> [RefusingRegistry; 2] {
        [
            RefusingRegistry::start(self.setup.refused, Refusal::Unauthorized),
            RefusingRegistry::start(self.setup.busy, Refusal::TooManyRequests),
        ]
    }

    /// Starts a server that is not the platform's, at the other end of the link of this number.
    pub fn start_outside_server(&self, link: u8, make: Make) -> OutsideServer {
        let image = stack::server_image(make);
        let program = self.programs.path(OUTSIDE_SERVER);
        let addresses = self.setup.link(link);
        OutsideServer::start(&program, &image, &self.setup.tag(), addresses, link, make)
    }

    /// `mainstay databases register`, with more arguments.
    pub fn register(&self, name: &str, server: &OutsideServer, password: &str, more: &[&str]) -> Answer {
        let file = tempfile::NamedTempFile::new().expect("the temporary directory is writable");
        fs::write(file.path(), format!("{password}\n")).expect("our own file");
        let (host, port) = (
            server.address().ip().to_string(),
            server.address().port().to_string(),
        );
        let (authority, password) = (
            server.authority().display().to_string(),
            file.path().display().to_string(),
        );
        let place = [
            "--engine",
            server.make().engine(),
            "--host",
            &host,
            "--port",
            &port,
            "--database",
            server.make().database(),
        ];
        let login = [
            "--user",
            outside::USER,
            "--password-file",
            &password,
            "--server-ca-file",
            &authority,
        ];
        self.text(&[&["databases", "register", name][..], &place, &login, more].concat())
    }

    /// Another platform beside this one, with tables added to its configuration.
    #[must_use]
    pub fn beside(&self, config: &str) -> Self {
        Self::start_with(self.programs.clone(), config)
    }

    /// The same with addresses for two apps, and for five instances of each.
    #[must_use]
    pub fn beside_with_few_addresses(&self, config: &str) -> Self {
        let wishes = Wishes {
            network: Network::Narrow,
            ..Wishes::default()
        };
        Self::start_in(self.programs.clone(), Setup::make(config, wishes))
    }

    /// The same whose data have a disk of their own with so many bytes.
    #[must_use]
    pub fn beside_on_small_disk(&self, config: &str, bytes: u64) -> Self {
        Self::start_on_small_disk(self.programs.clone(), config, bytes)
    }

    /// Takes all but so many bytes of the disk that has the data.
    pub fn fill_disk(&self, but: u64) -> Ballast {
        self.filled.store(true, Ordering::Relaxed);
        Ballast::leave(&self.data_dir(), but)
    }

    /// Where the server keeps what survives it.
    pub fn data_dir(&self) -> PathBuf {
        self.setup.data_dir()
    }

    /// Where the API listens.
    pub(crate) fn api(&self) -> SocketAddr {
        self.setup.api
    }

    /// The API's base address.
    pub fn api_url(&self) -> String {
        let scheme = if self.setup.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.setup.api)
    }

    /// Of the API's certificate, where that is the platform's own.
    pub fn authority(&self) -> PathBuf {
        self.setup.data_dir().join("api/ca.crt")
    }

    /// Where the first token was written.
    pub fn token_file(&self) -> PathBuf {
        self.setup.data_dir().join("token")
    }

    pub fn router(&self) -> SocketAddr {
        self.setup.router
    }

    fn log_path(&self) -> PathBuf {
        self.setup.root().join("server.log")
    }

    pub fn server_log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Faults of the platform's own; whatever an app does wrong is none.
    pub fn errors(&self) -> Vec<String> {
        let log = self.server_log();
        let broken = self.broken.load(Ordering::Relaxed);
        let filled = self.filled.load(Ordering::Relaxed);
        // ENOSPC, and what SQLite and the server make of it.
        let of_full_disk = ["No space left on device", "disk is full"];
        let is_expected = |line: &&str| {
            broken && line.contains("internal error")
                || filled && of_full_disk.iter().any(|words| line.contains(words))
        };
        let errors = log
            .lines()
            .filter(|line| line.split_whitespace().nth(1) == Some("ERROR") && !is_expected(line));
        errors.map(str::to_owned).collect()
    }

    /// `mainstay-server down`: whether it said that all went well.
    fn take_down(&self) -> bool {
        let mut command = Command::new(self.programs.path("mainstay-server"));
        command.args(["down", "--config"]).arg(self.setup.config_path());
        let answer = run(&mut command, DOWN_WITHIN);
        if !answer.is_success() {
            eprintln!(
                "mainstay-server down ended with {:?}:\n{}",
                answer.status, answer.stderr
            );
        }
        answer.is_success()
    }

    /// Where a server's log is kept when a test failed, if somebody asked for it.
    fn keep_log(&self) {
        let Some(path) = std::env::var_os("MAINSTAY_E2E_LOG") else {
            return;
        };
        if let Err(error) = fs::copy(self.log_path(), Path::new(&path)) {
            eprintln!("could not keep the server's log: {error}");
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.stop_server();
        let down = self.take_down();
        self.keep_log();
        self.setup.unmount_disk();
        let left = leftovers::of(&self.setup);
        let errors = self.errors();
        if left.is_empty() && errors.is_empty() && down {
            return;
        }
        leftovers::scrub(&self.setup);
        let message = format!(
            "taking the platform down left behind:\n  {}\nthe server's errors:\n  {}",
            left.join("\n  "),
            errors.join("\n  ")
        );
        // A second panic would hide why the test failed.
        assert!(std::thread::panicking(), "{message}");
        eprintln!("{message}");
    }
}
