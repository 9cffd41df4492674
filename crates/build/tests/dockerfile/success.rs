//! Builds that give an image.

use std::{fs, os::fd::AsFd, process::Command};

use mainstay_build::dockerfile::{CollectedImages, EngineBuildNetwork, NetworkNamespace, StepNetwork};
use mainstay_engine::local::network::{NetworkConfig, Networks};
use mainstay_shim::log::LogSource;
use mainstay_spec::ids::BuildId;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::world::{World, can_run, plain, secret};

const STAGES: &str = "FROM BASE AS build\nARG NAME\nRUN mkdir /out && echo \"hello $NAME\" > /out/x\nFROM BASE\n\
    WORKDIR /app\nCOPY --link --from=build /out/x .\nCOPY a.txt b/ ./\nRUN rm /bin/vi\nUSER 1000:1000\nEXPOSE 8080 53/udp\n\
    ENV MODE=test\nSTOPSIGNAL SIGINT\nENTRYPOINT [\"cat\"]\nCMD [\"x\"]\n";

#[tokio::test]
async fn the_first_build_of_a_machine_may_begin_with_scratch() {
    if !can_run() {
        return;
    }
    let world = World::without_base(|_| {}).await;
    world.write("page.html", "hello");
    let report = world.build("FROM scratch\nCOPY page.html /\n").await;
    assert!(report.result.is_ok(), "{:?}\n{}", report.result, world.log.text());
}

#[tokio::test]
async fn layers_can_be_mounted_as_they_are_and_the_configuration_is_ours() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    world.write("a.txt", "a");
    world.write("b/c.txt", "c");
    let report = world
        .build_with(STAGES, |request| {
            request.variables.insert("NAME".to_owned(), plain("world"));
        })
        .await;
    let image = report
        .result
        .unwrap_or_else(|end| panic!("{end:?}\n{}", world.log.text()));
    assert_eq!(image.config.entrypoint, ["cat"]);
    assert_eq!(image.config.command, ["x"]);
    assert_eq!(image.config.working_dir.as_deref(), Some("/app"));
    assert_eq!(image.config.user.as_deref(), Some("1000:1000"));
    assert_eq!(image.config.exposed_ports, [8080]);
    assert_eq!(image.config.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(image.config.env["MODE"], "test");
    let mounted = Overlay::mount(&world, &image.layers);
    assert_eq!(mounted.read("app/x").as_deref(), Some("hello world\n"));
    assert_eq!(mounted.read("app/a.txt").as_deref(), Some("a"));
    assert_eq!(mounted.read("app/c.txt").as_deref(), Some("c"));
    assert!(
        mounted.exists("bin/ls") && !mounted.exists("bin/vi"),
        "the whiteout is not in overlay's form"
    );
    assert_eq!(
        report
            .steps
            .iter()
            .map(|step| (step.line, step.text.as_str()))
            .collect::<Vec<_>>(),
        [
            (Some(3), "RUN mkdir /out && echo \"hello $NAME\" > /out/x"),
            (Some(8), "RUN rm /bin/vi")
        ]
    );
    assert!(report.memory.peak_bytes.is_some_and(|peak| peak > 0));
    assert!(world.log.has(LogSource::Platform, "Dockerfile:8  RUN rm /bin/vi"));
}

#[tokio::test]
async fn an_unchanged_context_comes_from_the_cache_and_force_runs_it_again() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    world.write("a.txt", "1");
    let dockerfile = "FROM BASE\nRUN echo once\nCOPY a.txt /\nRUN cat /a.txt\n";
    let first = world.build(dockerfile).await;
    assert_eq!(first.steps.len(), 2);
    world.write("a.txt", "1"); // A new file of the same content, as a fresh checkout makes it.
    let second = world.build(dockerfile).await;
    assert_eq!(second.steps.len(), 0, "{}", world.log.text());
    assert_eq!(
        first.result.unwrap().store_image,
        second.result.unwrap().store_image
    );
    world.write("a.txt", "2");
    assert_eq!(world.build(dockerfile).await.steps.len(), 1);
    let forced = world.build_with(dockerfile, |request| request.force = true).await;
    assert_eq!(forced.steps.len(), 2);
    assert!(forced.result.is_ok());
}

#[tokio::test]
async fn collecting_keeps_what_is_in_use_and_the_step_cache() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    let steps =
        |text: &str| format!("FROM BASE\nRUN echo base > /base\nRUN echo {text} > /own\nENV A={text}\n");
    let first = world.build(&steps("one")).await.result.unwrap();
    let second = world.build(&steps("two")).await.result.unwrap();
    let third = world.build(&steps("three")).await.result.unwrap();
    let in_use = first.layers.iter().cloned().collect();
    let collected = world.engine.collect(&in_use, 8 << 30).await.unwrap();
    let removed = collected.removed;
    assert_eq!(removed.len(), 1, "{removed:?}");
    for (image, text) in [(&first, "one\n"), (&third, "three\n")] {
        let mounted = Overlay::mount(&world, &image.layers);
        assert_eq!(mounted.read("own").as_deref(), Some(text));
        assert_eq!(mounted.read("base").as_deref(), Some("base\n"));
    }
    assert!(!second.layers.last().unwrap().exists());
    assert_eq!(
        world.build(&steps("three")).await.steps.len(),
        0,
        "the step cache is gone"
    );
    let again = world.engine.collect(&in_use, 8 << 30).await.unwrap();
    assert_eq!(again, CollectedImages::default());
}

#[tokio::test]
async fn an_app_that_goes_while_its_images_are_collected_is_no_error() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    for text in ["one", "two", "three"] {
        let steps = format!("FROM BASE\nRUN echo {text} > /own\n");
        world.build(&steps).await.result.unwrap();
    }
    let app = world.request().app;
    let nothing = std::collections::HashSet::new();
    let (collected, removed) = tokio::join!(world.engine.collect(&nothing, 0), world.engine.remove_app(app));
    removed.unwrap();
    collected.unwrap();
    let again = world.engine.collect(&nothing, 0).await.unwrap();
    assert_eq!(
        again,
        CollectedImages::default(),
        "something of the app came back"
    );
}

#[tokio::test]
async fn secrets_reach_the_step_but_no_command_line() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    world.write(
        "Dockerfile",
        "FROM mainstay-test/base:1\nARG TOKEN\nRUN --mount=type=secret,id=TOKEN echo \"sum $(echo $TOKEN | md5sum)\" && \
         cat /run/secrets/TOKEN | md5sum && echo ready && sleep 1000\n",
    );
    let mut request = world.request();
    request
        .variables
        .insert("TOKEN".to_owned(), secret("tiny-secret-417"));
    request
        .variables
        .insert("LD_PRELOAD".to_owned(), plain("/nonexistent.so"));
    let observe = async {
        world.log.wait_for("ready").await;
        let seen = command_lines_with("tiny-secret-417");
        world.cancel.send(true).unwrap();
        seen
    };
    let (report, seen) = tokio::join!(world.run(request), observe);
    assert_eq!(seen, Vec::<String>::new());
    assert_eq!(
        report.result,
        Err(mainstay_build::dockerfile::DockerfileEnd::Canceled)
    );
    // md5 of the value with and without a newline.
    let log = world.log.text();
    assert!(log.contains("sum ") && log.matches("  -").count() == 2, "{log}");
    assert!(
        !log.contains("tiny-secret-417") && !log.contains("nonexistent.so"),
        "{log}"
    );
    world.assert_nothing_left();
}

#[tokio::test]
async fn the_operators_settings_reach_steps_and_stay_out_of_the_image() {
    if !can_run() {
        return;
    }
    let bundle = tempfile::NamedTempFile::new().unwrap();
    fs::write(bundle.path(), "certificates").unwrap();
    let world = World::with(|config| {
        config.operator.ca_bundle = Some(bundle.path().to_owned());
        config.operator.variables = [
            ("UV_INDEX_URL", "http://index"),
            ("HTTPS_PROXY", "http://proxy:1"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    })
    .await;
    let report = world
        .build("FROM BASE\nRUN cat $PIP_CERT && echo && echo proxy=$HTTPS_PROXY $UV_INDEX_URL\nENV PIP_CERT=own\nRUN echo mine=$PIP_CERT\n")
        .await;
    let image = report
        .result
        .unwrap_or_else(|end| panic!("{end:?}\n{}", world.log.text()));
    for line in ["certificates", "proxy=http://proxy:1 http://index", "mine=own"] {
        assert!(
            world.log.has(LogSource::Stdout, line),
            "{line}\n{}",
            world.log.text()
        );
    }
    assert_eq!(image.config.env["PIP_CERT"], "own");
    assert!(!image.config.env.contains_key("HTTPS_PROXY") && !image.config.env.contains_key("UV_INDEX_URL"));
    let mounted = Overlay::mount(&world, &image.layers);
    assert!(!mounted.exists("dev/mainstay-ca.crt"));
}

#[tokio::test]
async fn steps_run_in_the_network_namespace_of_the_build() {
    if !can_run() {
        return;
    }
    let network = std::sync::Arc::new(EmptyNetwork::start());
    let given: std::sync::Arc<dyn mainstay_build::dockerfile::BuildNetwork> = network.clone();
    let world = World::with(|config| config.network = StepNetwork::Namespace(given)).await;
    let report = world
        .build("FROM BASE\nRUN ls /sys/class/net && cat /etc/resolv.conf\n")
        .await;
    assert!(report.result.is_ok(), "{:?}\n{}", report.result, world.log.text());
    assert!(world.log.has(LogSource::Stdout, "lo") && !world.log.has(LogSource::Stdout, "eth0"));
    assert!(
        world.log.has(LogSource::Stdout, "nameserver 10.9.8.7"),
        "{}",
        world.log.text()
    );
    assert_eq!(*network.left.lock().unwrap(), 1);
}

/// On a host of its own: a network namespace with a way out that leads nowhere.
#[test]
fn the_engines_build_network_does_not_lead_to_the_host() {
    if !can_run() {
        return;
    }
    let host = EmptyNetwork::start();
    let namespace = fs::File::open(host.path()).unwrap();
    let test = std::thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        for command in [
            "link set lo up",
            "link add out type veth peer name far",
            "link set far up",
            "addr add 198.51.100.2/24 dev out",
            "link set out up",
            "route add default via 198.51.100.1",
        ] {
            let status = Command::new("ip").args(command.split(' ')).status().unwrap();
            assert!(status.success(), "ip {command}");
        }
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(build_on_the_build_network());
    });
    test.join().unwrap();
}

async fn build_on_the_build_network() {
    let directory = tempfile::tempdir().unwrap();
    let config = NetworkConfig::new(directory.path().join("networks.json"));
    let networks = std::sync::Arc::new(Networks::open(config).await.unwrap());
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let given = std::sync::Arc::new(EngineBuildNetwork::new(networks));
    let world = World::with(|config| config.network = StepNetwork::Namespace(given)).await;
    let report = world
        .build(&format!(
            "FROM BASE\nRUN set -- $(ip route | grep default); echo gateway=$3; ls /sys/class/net; \
             for host in $3 198.51.100.2 127.0.0.1; do nc -w 2 $host {port} </dev/null && echo REACHED $host; done; true\n"
        ))
        .await;
    let log = world.log.text();
    assert!(report.result.is_ok(), "{:?}\n{log}", report.result);
    assert!(
        world.log.has(LogSource::Stdout, "gateway=1") && world.log.has(LogSource::Stdout, "eth0"),
        "{log}"
    );
    assert!(
        !world.log.has(LogSource::Stdout, "REACHED 1") && !world.log.has(LogSource::Stdout, "out"),
        "{log}"
    );
    let links = Command::new("ip").args(["-o", "link"]).output().unwrap();
    assert!(
        !String::from_utf8(links.stdout).unwrap().contains("ms-"),
        "the build's device is left"
    );
}

/// A namespace with nothing but a loopback interface, held by a sleeping process.
#[derive(Debug)]
struct EmptyNetwork {
    holder: std::sync::Mutex<std::process::Child>,
    left: std::sync::Mutex<u32>,
}

impl EmptyNetwork {
    fn start() -> Self {
        let holder = Command::new("unshare")
            .args(["--net", "sleep", "600"])
            .spawn()
            .unwrap();
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{}/ns/net", holder.id());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while fs::read_link(&theirs).is_ok_and(|link| link == own) {
            assert!(std::time::Instant::now() < deadline, "unshare made no namespace");
            std::thread::yield_now();
        }
        Self {
            holder: std::sync::Mutex::new(holder),
            left: std::sync::Mutex::default(),
        }
    }
}

impl EmptyNetwork {
    fn path(&self) -> std::path::PathBuf {
        let pid = self.holder.lock().unwrap().id();
        format!("/proc/{pid}/ns/net").into()
    }
}

impl Drop for EmptyNetwork {
    fn drop(&mut self) {
        let mut holder = self.holder.lock().unwrap();
        let _ = holder.kill();
        let _ = holder.wait();
    }
}

#[async_trait::async_trait]
impl mainstay_build::dockerfile::BuildNetwork for EmptyNetwork {
    async fn enter(&self, _build: BuildId) -> std::io::Result<NetworkNamespace> {
        Ok(NetworkNamespace {
            path: self.path(),
            name_servers: vec!["10.9.8.7".parse().unwrap()],
        })
    }

    async fn leave(&self, _build: BuildId) {
        *self.left.lock().unwrap() += 1;
    }
}

/// Processes whose command line shows the text; this test's own is not among them.
fn command_lines_with(text: &str) -> Vec<String> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}

/// Layers mounted read-only, unmounted on drop.
struct Overlay(tempfile::TempDir);

impl Overlay {
    fn mount(world: &World, layers: &[std::path::PathBuf]) -> Self {
        let point = tempfile::Builder::new()
            .prefix("mounted-")
            .tempdir_in(world.directory.path())
            .unwrap();
        let lower: Vec<&str> = layers.iter().rev().map(|path| path.to_str().unwrap()).collect();
        let status = Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o"])
            .arg(format!("ro,lowerdir={}", lower.join(":")))
            .arg(point.path())
            .status()
            .unwrap();
        assert!(status.success());
        Self(point)
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.0.path().join(path)).ok()
    }

    fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.0.path().join(path)).is_ok()
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}
