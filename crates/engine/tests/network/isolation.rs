//! Who reaches whom.

use std::{io::ErrorKind, net::Ipv4Addr};

use mainstay_engine::local::network::{Networks, Tenant};

use crate::world::{
    Answer, HOST_OUTSIDE, Held, INTERNET, Instance, METADATA, Mailbox, get_from, new_app, on_host, run,
    send_udp, serve,
};

const PORT: u16 = 8080;

async fn serving(networks: &Networks, tenant: Tenant, name: &str) -> Instance {
    let instance = Instance::attached(networks, tenant).await;
    serve(&instance.held, name, PORT).await;
    instance
}

fn answer(server: &str, caller: Ipv4Addr) -> Answer {
    Answer {
        server: server.to_owned(),
        caller,
    }
}

fn refused(outcome: &Result<Answer, ErrorKind>) -> bool {
    matches!(
        outcome,
        Err(ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable)
    )
}

#[test]
fn an_app_reaches_itself_and_the_internet_and_nothing_else() {
    on_host(|host| async move {
        let networks = host.networks().await;
        let (shop, blog) = (Tenant::App(new_app()), Tenant::App(new_app()));
        let web = serving(&networks, shop, "web").await;
        let api = serving(&networks, shop, "api").await;
        let other = serving(&networks, blog, "other").await;
        serve(&host.held, "host", PORT).await;
        serve(&host.internet, "internet", PORT).await;

        assert_eq!(
            web.get(api.at.address, PORT).await,
            Ok(answer("api", web.at.address))
        );
        assert_eq!(
            api.get(web.at.address, PORT).await,
            Ok(answer("web", api.at.address))
        );
        assert_eq!(
            web.get(INTERNET, PORT).await,
            Ok(answer("internet", HOST_OUTSIDE))
        );

        assert!(refused(&web.get(other.at.address, PORT).await), "another app");
        assert!(
            refused(&other.get(web.at.address, PORT).await),
            "another app, the other way"
        );
        assert!(
            refused(&web.get(web.at.gateway, PORT).await),
            "the host by its gateway address"
        );
        assert!(
            refused(&web.get(HOST_OUTSIDE, PORT).await),
            "the host by its outside address"
        );
        assert!(refused(&web.get(METADATA, PORT).await), "the metadata address");
        let nobody = Ipv4Addr::new(10, 210, 2, 200);
        assert!(
            refused(&web.get(nobody, PORT).await),
            "an address of its own app that nobody has"
        );
    });
}

#[test]
fn the_host_reaches_instances_and_the_neighbourhood_does_not() {
    on_host(|host| async move {
        let networks = host.networks().await;
        let web = serving(&networks, Tenant::App(new_app()), "web").await;
        assert_eq!(
            get_from(&host.held, web.at.address, PORT).await,
            Ok(answer("web", web.at.gateway))
        );
        assert!(get_from(&host.internet, web.at.address, PORT).await.is_err());
    });
}

#[test]
fn builds_reach_the_internet_only() {
    on_host(|host| async move {
        let networks = host.networks().await;
        let one = serving(&networks, Tenant::Build, "one").await;
        let two = serving(&networks, Tenant::Build, "two").await;
        let app = serving(&networks, Tenant::App(new_app()), "app").await;
        serve(&host.held, "host", PORT).await;
        serve(&host.internet, "internet", PORT).await;

        assert_eq!(
            one.get(INTERNET, PORT).await,
            Ok(answer("internet", HOST_OUTSIDE))
        );
        assert!(refused(&one.get(two.at.address, PORT).await), "another build");
        assert!(refused(&one.get(app.at.address, PORT).await), "an app");
        assert!(
            refused(&app.get(one.at.address, PORT).await),
            "a build from an app"
        );
        assert!(refused(&one.get(HOST_OUTSIDE, PORT).await), "the host");
        assert!(refused(&one.get(METADATA, PORT).await), "the metadata address");
    });
}

#[test]
fn another_source_address_than_its_own_gets_nowhere() {
    on_host(|host| async move {
        let networks = host.networks().await;
        let (shop, blog) = (Tenant::App(new_app()), Tenant::App(new_app()));
        let web = Instance::attached(&networks, shop).await;
        let api = Instance::attached(&networks, shop).await;
        let liar = Instance::attached(&networks, blog).await;
        let at_web = Mailbox::open(&web.held, PORT).await;
        let outside = Mailbox::open(&host.internet, PORT).await;

        // Datagrams, because they arrive without an answer ever finding back to the liar.
        liar.ip(&format!("addr add {}/32 dev eth0", api.at.address));
        for victim in [web.at.address, INTERNET] {
            send_udp(&liar.held, api.at.address, victim, PORT, "a lie").await;
        }
        send_udp(&api.held, api.at.address, web.at.address, PORT, "the truth").await;
        send_udp(&liar.held, liar.at.address, INTERNET, PORT, "the truth").await;
        assert_eq!(at_web.first().await, "the truth");
        assert_eq!(outside.first().await, "the truth");
    });
}

#[test]
fn a_namespace_of_other_users_is_attached_like_any() {
    on_host(|host| async move {
        let networks = host.networks().await;
        let app = Tenant::App(new_app());
        let web = Instance::from(&networks, app, Held::namespace_of_other_users()).await;
        serve(&web.held, "web", 80).await;
        serve(&host.internet, "internet", PORT).await;
        assert_eq!(
            get_from(&host.held, web.at.address, 80).await,
            Ok(answer("web", web.at.gateway))
        );
        assert_eq!(
            web.get(INTERNET, PORT).await,
            Ok(answer("internet", HOST_OUTSIDE))
        );
        let pid = web.held.pid().to_string();
        let inside = run("nsenter", &["-t", &pid, "-n", "ip", "-o", "addr"]);
        assert!(
            !inside.contains("fe80"),
            "no IPv6 address that leads nowhere: {inside}"
        );
        let inside = run("nsenter", &["-t", &pid, "-n", "ip", "-o", "link", "show", "eth0"]);
        assert!(inside.contains("mtu 1400"), "the MTU of the way out: {inside}");
    });
}

#[test]
fn the_hosts_own_namespace_is_never_attached() {
    on_host(|host| async move {
        let networks = host.networks().await;
        let own = i32::try_from(std::process::id()).unwrap();
        let id = mainstay_spec::ids::InstanceId::from_uuid(uuid::Uuid::new_v4());
        // The test's process is in the machine's namespace, its thread on the test's host.
        let error = networks
            .attach(Tenant::Build, id, host.held.pid())
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "process {} is in the host's own network namespace",
                host.held.pid()
            )
        );
        let error = networks.attach(Tenant::Build, id, -own).await.unwrap_err();
        assert_eq!(error.to_string(), format!("open /proc/-{own}/ns/net"));
    });
}
