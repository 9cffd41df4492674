//! The one test on the machine's own network: the way out to its real nameserver. Own prefix, table and pools; all removed after.

use std::{
    net::{SocketAddr, UdpSocket},
    panic::AssertUnwindSafe,
    time::Duration,
};

use futures_util::FutureExt;
use mainstay_engine::local::network::{NetworkConfig, Networks, Tenant};
use mainstay_testkit::Place;

use crate::world::{Instance, ask_udp, cannot_run, new_app};

/// A question for the address of `example.com`.
fn question() -> Vec<u8> {
    let mut datagram = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["example", "com"] {
        datagram.push(u8::try_from(label.len()).unwrap());
        datagram.extend(label.as_bytes());
    }
    datagram.extend([0, 0, 1, 0, 1]);
    datagram
}

fn first_nameserver(resolv_conf: &str) -> SocketAddr {
    let line = resolv_conf
        .lines()
        .find(|line| line.starts_with("nameserver "))
        .unwrap();
    SocketAddr::new(line.trim_start_matches("nameserver ").parse().unwrap(), 53)
}

fn host_is_answered(nameserver: SocketAddr) -> bool {
    let ask = || {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.set_read_timeout(Some(Duration::from_secs(3)))?;
        socket.connect(nameserver)?;
        socket.send(&question())?;
        socket.recv(&mut [0; 2048])
    };
    ask().is_ok()
}

async fn ask_the_real_nameserver(networks: &Networks) {
    let nameserver = first_nameserver(&networks.resolv_conf().await.unwrap());
    if !host_is_answered(nameserver) {
        eprintln!("skipped: the host itself gets no answer from {nameserver}");
        return;
    }
    for tenant in [Tenant::App(new_app()), Tenant::Build] {
        let instance = Instance::attached(networks, tenant).await;
        let length = ask_udp(&instance.held, nameserver, question()).await.unwrap();
        assert!(length > 12, "an answer longer than its head");
    }
}

#[tokio::test]
async fn the_machines_nameserver_answers_apps_and_builds() {
    if let Some(reason) = cannot_run() {
        eprintln!("skipped: {reason}");
        return;
    }
    let (place, directory) = (Place::claim(), tempfile::tempdir().unwrap());
    let config = NetworkConfig {
        prefix: format!("mst{}", place.tag()),
        table: format!("mstest_{}", place.tag()),
        pool: place.pool(),
        service_pool: place.service_pool(),
        ..NetworkConfig::new(directory.path().join("network.json"))
    };
    let networks = Networks::open(config).await.unwrap();
    let outcome = AssertUnwindSafe(ask_the_real_nameserver(&networks))
        .catch_unwind()
        .await;
    networks.remove_all().await.unwrap();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}
