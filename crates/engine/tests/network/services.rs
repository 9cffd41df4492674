//! Component names: where they lead, and what happens when that changes.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mainstay_engine::{
    InternalService, NameGroup,
    local::network::{Networks, Tenant},
};
use mainstay_spec::ids::AppId;

use crate::world::{Held, Instance, PROBE_DEADLINE, echoes, new_app, on_host, read_greeting, serve};

const PORT: u16 = 8080;
/// A refusal is an answer, not a silence.
const AT_ONCE: Duration = Duration::from_millis(900);

async fn serving(networks: &Networks, app: AppId, name: &str) -> Instance {
    let instance = Instance::attached(networks, Tenant::App(app)).await;
    serve(&instance.held, name, PORT).await;
    instance
}

fn service(component: &str, ready: &[&Instance]) -> InternalService {
    InternalService {
        component: component.to_owned(),
        ports: vec![(80, PORT), (PORT, PORT)],
        addresses: ready.iter().map(|instance| instance.at.address).collect(),
    }
}

/// What the app's hosts file says about the name.
fn address_of(networks: &Networks, app: AppId, name: &str) -> Ipv4Addr {
    let hosts = networks
        .hosts(app, "somebody", Ipv4Addr::new(10, 210, 9, 9))
        .unwrap();
    let line = hosts
        .lines()
        .find(|line| line.split(' ').any(|word| word == name))
        .unwrap();
    line.split(' ').next().unwrap().parse().unwrap()
}

/// How often each server answered `calls` calls.
async fn tally(caller: &Instance, address: Ipv4Addr, port: u16, calls: u32) -> BTreeMap<String, u32> {
    let mut servers = BTreeMap::new();
    for _ in 0..calls {
        let answer = caller.get(address, port).await.unwrap();
        *servers.entry(answer.server).or_default() += 1;
    }
    servers
}

fn counts(expected: &[(&str, u32)]) -> BTreeMap<String, u32> {
    expected
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[test]
fn a_name_leads_to_the_ready_instances_in_turn() {
    on_host(|host| async move {
        let networks = host.networks().await;
        let app = new_app();
        let web = serving(&networks, app, "web").await;
        let (one, two) = (
            serving(&networks, app, "one").await,
            serving(&networks, app, "two").await,
        );
        networks
            .set_services(app, NameGroup::Services, &[service("api", &[&one, &two])])
            .await
            .unwrap();
        let api = address_of(&networks, app, "api");
        assert_eq!(tally(&web, api, 80, 6).await, counts(&[("one", 3), ("two", 3)]));
        assert_eq!(tally(&web, api, PORT, 6).await, counts(&[("one", 3), ("two", 3)]));
        assert_eq!(
            web.get(api, 80).await.unwrap().caller,
            web.at.address,
            "the caller's address is kept"
        );
        networks
            .set_services(app, NameGroup::Services, &[service("api", &[&two])])
            .await
            .unwrap();
        assert_eq!(tally(&web, api, 80, 3).await, counts(&[("two", 3)]));
    });
}

#[test]
fn an_instance_can_be_led_to_itself() {
    on_host(|host| async move {
        let networks = host.networks().await;
        let app = new_app();
        let web = serving(&networks, app, "web").await;
        networks
            .set_services(app, NameGroup::Services, &[service("web", &[&web])])
            .await
            .unwrap();
        let own = address_of(&networks, app, "web");
        assert_eq!(tally(&web, own, 80, 2).await, counts(&[("web", 2)]));
    });
}

#[test]
fn a_name_without_a_ready_instance_refuses_at_once() {
    on_host(|host| async move {
        let networks = host.networks().await;
        let app = new_app();
        let web = serving(&networks, app, "web").await;
        networks
            .set_services(
                app,
                NameGroup::Services,
                &[service("api", &[]), service("web", &[&web])],
            )
            .await
            .unwrap();
        let started = Instant::now();
        let (api, own) = (
            address_of(&networks, app, "api"),
            address_of(&networks, app, "web"),
        );
        assert_eq!(
            web.get(api, 80).await,
            Err(ErrorKind::ConnectionRefused),
            "nobody is ready"
        );
        assert_eq!(
            web.get(own, 81).await,
            Err(ErrorKind::ConnectionRefused),
            "no such port"
        );
        assert!(started.elapsed() < AT_ONCE, "took {:?}", started.elapsed());
    });
}

#[test]
fn names_of_another_app_are_refused() {
    on_host(|host| async move {
        let networks = host.networks().await;
        let (shop, blog) = (new_app(), new_app());
        let web = serving(&networks, shop, "web").await;
        let stranger = serving(&networks, blog, "stranger").await;
        networks
            .set_services(shop, NameGroup::Services, &[service("web", &[&web])])
            .await
            .unwrap();
        networks
            .set_services(blog, NameGroup::Services, &[service("web", &[&stranger])])
            .await
            .unwrap();
        let (of_shop, of_blog) = (
            address_of(&networks, shop, "web"),
            address_of(&networks, blog, "web"),
        );
        assert_eq!(tally(&stranger, of_blog, 80, 1).await, counts(&[("stranger", 1)]));
        assert_eq!(stranger.get(of_shop, 80).await, Err(ErrorKind::ConnectionRefused));
        let error = networks
            .set_services(blog, NameGroup::Services, &[service("web", &[&web])])
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("is not of the app's subnet"),
            "{error}"
        );
    });
}

#[test]
fn who_is_detached_is_out_of_its_names() {
    on_host(|host| async move {
        let networks = host.networks().await;
        let app = new_app();
        let web = serving(&networks, app, "web").await;
        let (one, two) = (
            serving(&networks, app, "one").await,
            serving(&networks, app, "two").await,
        );
        networks
            .set_services(app, NameGroup::Services, &[service("api", &[&one, &two])])
            .await
            .unwrap();
        networks.detach(two.id).await.unwrap();
        let api = address_of(&networks, app, "api");
        assert_eq!(tally(&web, api, 80, 4).await, counts(&[("one", 4)]));
        networks
            .set_services(app, NameGroup::Services, &[service("api", &[&one, &two])])
            .await
            .unwrap();
        assert_eq!(
            tally(&web, api, 80, 4).await,
            counts(&[("one", 4)]),
            "an address that nobody has is left out"
        );
    });
}

/// Opens one connection after the other until told to stop; the failures, and how many connects there were.
async fn call_without_pause(held: &Held, address: Ipv4Addr, stop: Arc<AtomicBool>) -> (Vec<String>, u32) {
    held.inside(move || {
        let (mut failures, mut calls) = (Vec::new(), 0);
        while !stop.load(Ordering::Relaxed) {
            calls += 1;
            let called = TcpStream::connect_timeout(&SocketAddr::new(address.into(), 80), PROBE_DEADLINE)
                .and_then(|mut stream| {
                    stream.set_read_timeout(Some(PROBE_DEADLINE))?;
                    read_greeting(&mut stream)
                });
            failures.extend(called.err().map(|error| error.to_string()));
        }
        (failures, calls)
    })
    .await
}

#[test]
fn changing_a_name_under_load_fails_no_connect_and_cuts_no_connection() {
    on_host(|host| async move {
        let networks = host.networks().await;
        let app = new_app();
        let web = serving(&networks, app, "web").await;
        let (one, two) = (
            serving(&networks, app, "one").await,
            serving(&networks, app, "two").await,
        );
        networks
            .set_services(app, NameGroup::Services, &[service("api", &[&one])])
            .await
            .unwrap();
        let api = address_of(&networks, app, "api");
        let mut old = web
            .held
            .inside(move || {
                let mut stream = TcpStream::connect((api, 80)).unwrap();
                stream.set_read_timeout(Some(PROBE_DEADLINE)).unwrap();
                read_greeting(&mut stream).unwrap();
                stream
            })
            .await;

        let stop = Arc::new(AtomicBool::new(false));
        let switching = async {
            let sets = [vec![&two], vec![&one, &two], vec![&one]];
            for round in 0..60 {
                let ready = &sets[round % 3];
                networks
                    .set_services(app, NameGroup::Services, &[service("api", ready)])
                    .await
                    .unwrap();
                // Another app comes and goes meanwhile.
                networks.ensure_app(new_app()).await.unwrap();
            }
            networks
                .set_services(app, NameGroup::Services, &[service("api", &[&two])])
                .await
                .unwrap();
            stop.store(true, Ordering::Relaxed);
        };
        let ((failures, calls), ()) =
            tokio::join!(call_without_pause(&web.held, api, Arc::clone(&stop)), switching);
        assert_eq!(failures, [""; 0], "of {calls} connects");
        assert!(calls > 30, "only {calls} connects: no load");
        let alive = tokio::task::spawn_blocking(move || echoes(&mut old))
            .await
            .unwrap();
        assert!(
            alive,
            "a connection to an instance that is no longer offered goes on"
        );
    });
}

#[test]
fn names_work_while_no_server_runs_and_stay_the_same_after() {
    on_host(|host| async move {
        let networks = host.networks().await;
        let app = new_app();
        let (web, api) = (
            serving(&networks, app, "web").await,
            serving(&networks, app, "api").await,
        );
        let services = [service("api", &[&api]), service("web", &[&web])];
        networks
            .set_services(app, NameGroup::Services, &services)
            .await
            .unwrap();
        let address = address_of(&networks, app, "api");
        drop(networks);
        assert_eq!(tally(&web, address, 80, 2).await, counts(&[("api", 2)]));

        let networks = host.networks().await;
        assert_eq!(address_of(&networks, app, "api"), address);
        assert_eq!(tally(&web, address, 80, 2).await, counts(&[("api", 2)]));
        let third = serving(&networks, app, "third").await;
        assert!(
            ![web.at.address, api.at.address].contains(&third.at.address),
            "leases were read back"
        );
        networks.detach(api.id).await.unwrap();
        assert_eq!(web.get(address, 80).await, Err(ErrorKind::ConnectionRefused));
    });
}
