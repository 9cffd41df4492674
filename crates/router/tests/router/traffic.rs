//! What visitors are sent is counted by app, each byte once.

use std::collections::BTreeMap;

use mainstay_router::{
    control::{Answer, Request},
    snapshot::{Host, Route, Target},
};

use super::{
    app::App,
    harness::{HOST, Router, kill, route, served_by, snapshot, wait_until},
    tunnels::{echo, open_tunnel},
};

fn take(router: &Router) -> BTreeMap<String, u64> {
    match router.ask(Request::TakeTraffic) {
        Answer::Traffic { bytes } => bytes,
        other => panic!("{other:?}"),
    }
}

/// Waits until so many bytes were counted for the only app; fails where it is more.
fn expect(router: &Router, bytes: u64) {
    let mut sum = 0;
    wait_until(&format!("{bytes} bytes are counted"), || {
        let taken = take(router);
        assert!(taken.len() <= 1, "{taken:?}");
        sum += taken.values().sum::<u64>();
        sum >= bytes
    });
    assert_eq!(sum, bytes);
    assert!(take(router).is_empty(), "nothing is told twice");
}

fn empty_service() -> Route {
    route("/api", super::harness::service(Vec::new()))
}

#[test]
fn bodies_of_apps_files_and_error_pages_count_for_the_hosts_app() {
    let app = App::start("web");
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("files")).unwrap();
    std::fs::write(place.path().join("files/big.bin"), vec![1; 300_000]).unwrap();
    let files = Target::Static {
        root: place.path().to_owned(),
        index_document: "index.html".into(),
        error_document: None,
        catchall_document: None,
    };
    let mut routes = snapshot(vec![route("/files", files), empty_service()]);
    let web: Host = served_by(&[&app]).hosts[HOST].clone();
    routes.hosts.insert(
        "blog.test".into(),
        Host {
            app: "blog".into(),
            ..web
        },
    );
    let shop = routes.hosts[HOST].app.clone();
    let router = Router::start(routes);
    let mut visitor = router.connect();
    let mut sent = 0;
    for path in ["/files/big.bin", "/api/x", "/nowhere"] {
        let length = visitor.get(HOST, path).body.len() as u64;
        assert!(length > 0, "{path}");
        sent += length;
    }
    assert!(sent > 300_000, "{sent}");
    for path in ["/files/big.bin", "/api/x"] {
        assert!(visitor.ask("HEAD", HOST, path, &[]).body.is_empty());
    }
    let of_blog = visitor.get("blog.test", "/").body.len() as u64;
    // A host of nobody counts for nobody.
    assert_eq!(visitor.get("unknown.test", "/").status, 404);
    drop(visitor);
    router.wait_for("nothing is under way", |status| status.in_flight == 0);
    assert_eq!(take(&router), [(shop, sent), ("blog".to_owned(), of_blog)].into());
    assert!(take(&router).is_empty());
}

#[test]
fn what_a_visitor_got_before_leaving_counts_and_a_tunnel_too() {
    let app = App::start("web");
    let router = Router::start(served_by(&[&app]));
    let mut tunnel = open_tunnel(&router);
    echo(&mut tunnel, &vec![7; 30_000]);
    drop(tunnel);
    expect(&router, 30_000);
    let mut visitor = router.connect();
    visitor.request("GET", HOST, "/stream", &[]);
    visitor.head();
    let first = visitor.chunk().len() as u64;
    drop(visitor);
    app.open_gate(100);
    router.wait_for("the visitor is gone", |status| status.in_flight == 0);
    let counted: u64 = take(&router).values().sum();
    assert!(counted >= first, "{counted} of at least {first}");
}

#[test]
fn a_process_that_is_replaced_tells_what_nobody_took_and_nothing_twice() {
    let app = App::start("web");
    let mut router = Router::start_with(served_by(&[&app]), &["--linger-ms", "50"]);
    let length = router.connect().get(HOST, "/").body.len() as u64;
    let old = router.status().pid;
    let mut slow = router.connect();
    slow.request("GET", HOST, "/gated", &[]);
    app.wait_until_arrived(1);
    assert_eq!(router.ask(Request::HandOver), Answer::Done);
    app.open_gate(1);
    let late = slow.answer().body.len() as u64;
    drop(slow);
    let with_new = router.connect().get(HOST, "/").body.len() as u64;
    router.wait_for("the old process is gone", |status| {
        status.pid != old && status.draining.is_empty()
    });
    expect(&router, length + late + with_new);
    // Without a supervisor the process tells by itself.
    let again = router.connect().get(HOST, "/").body.len() as u64;
    router.supervisor.kill().unwrap();
    router.supervisor.wait().unwrap();
    router.wait_for("the process answers alone", |status| status.supervisor.is_none());
    expect(&router, again);
    kill(router.status().pid);
}
