//! An instance in its app's network. The network's own tests are in `tests/network`; here, that the engine connects and disconnects.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
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

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_answers_at_its_address_and_is_disconnected_at_its_end() {
    if !mainstay_testkit::can_run(&[PROGRAMS.as_slice(), &["nft"]].concat()) {
        return;
    }
    let mut world = World::new().await;
    let unique = world.config.prefix.trim_start_matches("mstest-").to_owned();
    let mut config = world.config.clone();
    config.network = Some(NetworkConfig {
        prefix: format!("mt{}", &unique[..4]),
        table: format!("mstest_{unique}"),
        pool: "10.197.0.0/18".parse().unwrap(),
        service_pool: "10.198.0.0/18".parse().unwrap(),
        ..NetworkConfig::new(config.data_dir.join("network.json"))
    });
    world.engine = LocalEngine::open(config).await.unwrap();
    let mut spec = world.shell(
        "mkdir /www; echo hello > /www/page; cat /etc/hosts /etc/resolv.conf; exec httpd -f -p 8080 -h /www",
    );
    spec.network = Network::App;
    let id = spec.id;
    world.engine.ensure_network(world.app).await.unwrap();
    let address = world.engine.start(spec).await.unwrap().address.unwrap();
    let answer = until(async || tokio::task::spawn_blocking(move || get(address)).await.unwrap()).await;
    assert!(answer.ends_with("hello\n"), "{answer}");
    let output = world.output(id).await;
    assert!(
        output
            .iter()
            .any(|line| line.contains(&address.to_string()) && line.contains("web-0")),
        "{output:?}"
    );
    assert!(
        output.iter().any(|line| line.starts_with("nameserver ")),
        "{output:?}"
    );

    world.stop(id, DEADLINE).await;
    world
        .engine
        .sweep(&HashSet::new(), &HashSet::new())
        .await
        .unwrap();
    world.engine.remove_networks().await.unwrap();
    let devices = std::fs::read_dir("/sys/class/net").unwrap();
    let prefix = format!("mt{}-", &unique[..4]);
    assert!(
        !devices
            .into_iter()
            .any(|device| device.unwrap().file_name().to_string_lossy().starts_with(&prefix))
    );
}
