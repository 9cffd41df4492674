//! What is told of an address is what the app itself could find out.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use mainstay_engine::{
    InternalService, NameGroup, Reach,
    local::network::{NetworkConfig, Networks, Tenant},
};
use mainstay_spec::ids::AppId;

use crate::world::{HOST_OUTSIDE, Held, Host, INTERNET, Instance, new_app, on_host, serve};

const PORT: u16 = 5432;
const CLOSED: u16 = 5433;
const WITHIN: Duration = Duration::from_secs(5);

async fn reach(networks: &Arc<Networks>, app: AppId, host: impl ToString, port: u16) -> Reach {
    let reached = Arc::clone(networks).reach(app, host.to_string(), port, WITHIN);
    reached.await.unwrap()
}

fn is_refused(reached: &Reach) -> bool {
    let refused =
        |kind: &ErrorKind| matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable);
    matches!(reached, Reach::Failed { kind, .. } if refused(kind))
}

#[test]
fn an_open_port_that_the_app_cannot_reach_is_told_as_unreachable() {
    on_host(|host| async move {
        let networks = Arc::new(host.networks().await);
        let (shop, blog) = (new_app(), new_app());
        let other = Instance::attached(&networks, Tenant::App(blog)).await;
        serve(&other.held, "other", PORT).await;
        serve(&host.held, "host", PORT).await;
        serve(&host.internet, "internet", PORT).await;

        let gateway = other.at.gateway;
        for (open, what) in [
            (HOST_OUTSIDE, "the host by its outside address"),
            (gateway, "the host by its gateway address"),
            (other.at.address, "another app"),
        ] {
            let of_open = reach(&networks, shop, open, PORT).await;
            assert!(is_refused(&of_open), "{what}: {of_open:?}");
            let of_closed = reach(&networks, shop, open, CLOSED).await;
            assert_eq!(of_open, of_closed, "{what}: open and closed look alike");
        }
        for own in ["127.0.0.1", "[::1]", "localhost"] {
            assert_eq!(reach(&networks, shop, own, PORT).await, Reach::Loopback, "{own}");
        }
    });
}

#[test]
fn what_the_app_can_reach_is_told_as_it_is() {
    on_host(|host| async move {
        let networks = Arc::new(host.networks().await);
        let app = new_app();
        serve(&host.internet, "internet", PORT).await;
        assert_eq!(reach(&networks, app, INTERNET, PORT).await, Reach::Connected);
        assert!(is_refused(&reach(&networks, app, INTERNET, CLOSED).await));

        let db = Instance::attached(&networks, Tenant::App(app)).await;
        serve(&db.held, "db", PORT).await;
        let service = InternalService {
            component: "cache".to_owned(),
            ports: vec![(6379, PORT)],
            addresses: vec![db.at.address],
        };
        networks
            .set_services(app, NameGroup::Services, &[service])
            .await
            .unwrap();
        assert_eq!(reach(&networks, app, "cache", 6379).await, Reach::Connected);
        assert!(is_refused(&reach(&networks, app, "cache", CLOSED).await));
    });
}

/// Answers every question for an address with this one.
async fn serve_names(held: &Held, answer: Ipv4Addr) {
    let socket = held
        .inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 53)).unwrap())
        .await;
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, caller)) = socket.recv_from(&mut question) {
            // RFC 1035: the header, the question as it came without what follows it, one record that points at the name in it.
            let name_end = 12 + question[12..length].iter().position(|byte| *byte == 0).unwrap() + 1;
            let mut reply = question[..name_end + 4].to_vec();
            let is_a = reply[name_end..name_end + 2] == [0, 1];
            reply[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            if is_a {
                reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                reply.extend(answer.octets());
            }
            socket.send_to(&reply, caller).unwrap();
        }
    });
}

#[test]
fn names_are_those_of_the_nameservers_that_instances_have() {
    on_host(|host| async move {
        let resolv_conf = host.state_file().with_file_name("resolv.conf");
        std::fs::write(&resolv_conf, format!("nameserver {INTERNET}\n")).unwrap();
        let config = NetworkConfig {
            resolv_conf_files: vec![resolv_conf],
            ..host.config()
        };
        let networks = Arc::new(Networks::open(config).await.unwrap());
        serve_names(&host.internet, INTERNET).await;
        serve(&host.internet, "internet", PORT).await;
        let app = new_app();
        assert_eq!(
            reach(&networks, app, "db.example.com", PORT).await,
            Reach::Connected
        );
        let unknown = reach(&networks, app, "db.invalid", PORT).await;
        assert!(matches!(unknown, Reach::UnknownHost { .. }), "{unknown:?}");
    });
}

#[test]
fn nothing_is_left_of_visitors_and_of_those_that_were_cut_off() {
    on_host(|host| async move {
        let networks = Arc::new(host.networks().await);
        let app = new_app();
        networks.ensure_app(app).await.unwrap();
        let before = Host::traces();
        let visits = (0..12).map(|_| reach(&networks, app, INTERNET, PORT));
        futures_util::future::join_all(visits).await;
        assert_eq!(Host::traces(), before);

        // Nobody is at this address: the connect goes on when the caller does not.
        let nobody = IpAddr::from([198, 51, 100, 77]);
        let cut_off = Arc::clone(&networks).reach(app, nobody.to_string(), PORT, Duration::from_secs(1));
        let gone = tokio::time::timeout(Duration::from_millis(300), cut_off).await;
        assert!(gone.is_err(), "it takes longer than it was waited for");
        let deadline = std::time::Instant::now() + WITHIN;
        while Host::traces() != before {
            assert!(std::time::Instant::now() < deadline, "{:?}", Host::traces());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}
