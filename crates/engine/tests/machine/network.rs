//! An instance in its app's network. The network's own tests are in `tests/network`; here, that the engine connects and disconnects.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use mainstay_engine::{
    Engine, Network,
    local::{LocalEngine, network::NetworkConfig},
};

use crate::world::{DEADLINE, PROGRAMS, World, until};

fn get(address: Ipv4Addr) -> Option<String> {
    let address = SocketAddr::from((address, 8080));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// What a test that failed leaves on the host. One that went well has removed it, and finds nothing.
struct Traces {
    table: String,
    devices: String,
}

impl Drop for Traces {
    fn drop(&mut self) {
        let run = |program: &str, arguments: &[&str]| {
            let _ = Command::new(program)
                .args(arguments)
                .stderr(Stdio::null())
                .status();
        };
        run("nft", &["delete", "table", "inet", &self.table]);
        for device in devices(&self.devices) {
            run("ip", &["link", "delete", &device]);
        }
    }
}

/// A world with a network of its own, 10.197.`subnet`.0/18, and how the names of its devices begin. Tests run side by side.
async fn connected_world(subnet: u8) -> (World, String, Traces) {
    let mut world = World::new().await;
    let unique = world.config.prefix.trim_start_matches("mstest-").to_owned();
    let prefix = format!("mt{}", &unique[..4]);
    let mut config = world.config.clone();
    config.network = Some(NetworkConfig {
        prefix: prefix.clone(),
        table: format!("mstest_{unique}"),
        pool: format!("10.197.{subnet}.0/18").parse().unwrap(),
        service_pool: format!("10.198.{subnet}.0/18").parse().unwrap(),
        ..NetworkConfig::new(config.data_dir.join("network.json"))
    });
    let traces = Traces {
        table: format!("mstest_{unique}"),
        devices: format!("{prefix}-"),
    };
    world.engine = LocalEngine::open(config).await.unwrap();
    (world, format!("{prefix}-"), traces)
}

fn devices(prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/sys/class/net").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_answers_at_its_address_and_is_disconnected_at_its_end() {
    if !mainstay_testkit::can_run(&[PROGRAMS.as_slice(), &["nft"]].concat()) {
        return;
    }
    let (world, prefix, _traces) = connected_world(0).await;
    let mut spec = world.shell(
        "mkdir /www; echo hello > /www/page; cat /etc/hosts /etc/resolv.conf; exec httpd -f -p 8080 -h /www",
    );
    spec.network = Network::App;
    let id = spec.id;
    world.engine.ensure_network(world.app).await.unwrap();
    let address = world.engine.start(spec).await.unwrap().address.unwrap();
    let answer = until(async || tokio::task::spawn_blocking(move || get(address)).await.unwrap()).await;
    assert!(answer.ends_with("hello\n"), "{answer}");
    // The shim may read what was printed before the answer after it.
    let output = until(async || {
        let output = world.output(id).await;
        let whole = output.iter().any(|line| line.starts_with("nameserver "));
        whole.then_some(output)
    })
    .await;
    assert!(
        output
            .iter()
            .any(|line| line.contains(&address.to_string()) && line.contains("web-0")),
        "{output:?}"
    );

    world.stop(id, DEADLINE).await;
    world
        .engine
        .sweep(&HashSet::new(), &HashSet::new())
        .await
        .unwrap();
    world.engine.remove_networks().await.unwrap();
    assert_eq!(devices(&prefix), [""; 0]);
}

/// As many threads as may block.
const BLOCKING: usize = 16;

#[test]
fn an_end_is_told_before_the_network_is_taken_away() {
    if !mainstay_testkit::can_run(&[PROGRAMS.as_slice(), &["nft"]].concat()) {
        return;
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime
        .enable_all()
        .max_blocking_threads(BLOCKING)
        .build()
        .unwrap();
    runtime.block_on(end_is_told_before_the_network_is_taken_away());
}

async fn end_is_told_before_the_network_is_taken_away() {
    let (world, prefix, _traces) = connected_world(64).await;
    world.engine.ensure_network(world.app).await.unwrap();
    let before = devices(&prefix);
    let mut spec = world.shell("exec sleep 1000");
    spec.network = Network::App;
    let id = spec.id;
    let pid = world.engine.start(spec).await.unwrap().pid.unwrap();
    // The kernel removes the device with the namespace, so that must not go by itself.
    let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
    let device = devices(&prefix)
        .into_iter()
        .find(|name| !before.contains(name))
        .unwrap();

    // Devices are taken away on a thread that may block: now there is none for it.
    let (let_go, held): (Vec<_>, Vec<_>) = (0..BLOCKING).map(|_| mpsc::channel::<()>()).unzip();
    for one in held {
        tokio::task::spawn_blocking(move || one.recv());
    }
    let told = tokio::time::timeout(DEADLINE, world.stop(id, DEADLINE)).await;
    assert!(told.is_ok(), "the news waited for the network");
    assert!(
        devices(&prefix).contains(&device),
        "there is nothing left to take away"
    );
    drop(let_go);
    until(async || (!devices(&prefix).contains(&device)).then_some(())).await;
    drop(namespace);
    world
        .engine
        .sweep(&HashSet::new(), &HashSet::new())
        .await
        .unwrap();
    world.engine.remove_networks().await.unwrap();
}
