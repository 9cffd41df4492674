//! Processes that are killed, and the router's own end.

use mainstay_router::control::{Answer, Request};
use rustix::process::Signal;

use super::{
    app::App,
    harness::{HOST, Router, is_alive, kill, served_by, signal, terminate, wait_until},
};

#[test]
fn a_killed_worker_is_replaced_at_once() {
    let app = App::start("web");
    let router = Router::start(served_by(&[&app]));
    for deaths in 1..=3 {
        let worker = router.status().pid;
        let mut lost = router.connect();
        assert_eq!(lost.get(HOST, "/").status, 200);
        kill(worker);
        // The connection waits in the kernel's queue until the next process takes it.
        assert_eq!(router.connect().get(HOST, "/").status, 200);
        assert!(lost.is_closed());
        let status = router.status();
        assert_eq!(status.worker_deaths_total, deaths);
        assert_ne!(status.pid, worker);
    }
}

#[test]
fn a_worker_that_hangs_is_told_and_does_not_hang_who_asks() {
    let router = Router::start(served_by(&[&App::start("web")]));
    let worker = router.status().pid;
    signal(worker, Signal::STOP);
    let refused = router.block_on(router.control().status()).unwrap_err();
    signal(worker, Signal::CONT);
    assert!(
        refused.to_string().contains("a serving process does not answer"),
        "{refused}"
    );
    router.wait_for("it answers again", |status| status.pid == worker);
}

#[test]
fn a_drain_that_waits_survives_the_death_of_the_worker() {
    let (old, new) = (App::start("old"), App::start("new"));
    let mut router = Router::start(served_by(&[&old]));
    let mut slow = router.connect();
    slow.request("GET", HOST, "/gated", &[]);
    old.wait_until_arrived(1);
    router.route(served_by(&[&new]));
    let control = router.control();
    let drained = router.spawn(async move {
        control
            .ask(Request::Drain {
                endpoint: "old".into(),
                timeout_ms: 15_000,
            })
            .await
    });
    kill(router.status().pid);
    assert_eq!(
        router.block_on(drained).unwrap().unwrap(),
        Answer::Done,
        "its requests died with it"
    );
}

#[test]
fn serving_goes_on_without_a_supervisor_and_a_new_one_takes_over() {
    let app = App::start("web");
    let mut router = Router::start(served_by(&[&app]));
    let mut visitor = router.connect();
    assert_eq!(visitor.get(HOST, "/").status, 200);
    let worker = router.status().pid;
    router.supervisor.kill().unwrap();
    router.supervisor.wait().unwrap();

    let alone = router.wait_for("the worker answers by itself", |status| {
        status.supervisor.is_none()
    });
    assert_eq!(
        (alone.pid, alone.listening.as_slice()),
        (worker, &[router.address][..])
    );
    assert_eq!(visitor.get(HOST, "/").status, 200, "kept connections go on");
    assert_eq!(router.connect().get(HOST, "/").status, 200, "new ones are taken");
    router.route(served_by(&[&app]));

    router.start_supervisor();
    let status = router.wait_for("the new supervisor's worker serves", |status| {
        status.pid != worker
    });
    assert_eq!(status.supervisor, Some(router.supervisor.id()));
    let announced = visitor.get(HOST, "/");
    assert_eq!(
        (announced.status, announced.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(router.connect().get(HOST, "/").status, 200);
    wait_until("the adopted worker ended", || !is_alive(worker));
}

#[test]
fn the_loss_of_the_supervisor_costs_no_request() {
    let app = App::start("web");
    let mut router = Router::start_with(served_by(&[&app]), &["--linger-ms", "300"]);
    let load = router.block_on(async { mainstay_testkit::load::Visitors::of(router.address, HOST).start() });
    router.supervisor.kill().unwrap();
    router.supervisor.wait().unwrap();
    router.start_supervisor();
    router.wait_for("the new supervisor", |status| {
        status.supervisor == Some(router.supervisor.id())
    });
    let report = router.block_on(load.stop());
    assert_eq!(report.failed(), 0, "{:?}", report.failures);
}

#[test]
fn a_second_supervisor_is_refused() {
    let app = App::start("web");
    let router = Router::start(served_by(&[&app]));
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_mainstay-router"))
        .args(["supervise", "--listen", "127.0.0.1:0"])
        .arg("--snapshot")
        .arg(router.snapshot_path())
        .arg("--control")
        .arg(router.place().join("control.sock"))
        .output()
        .unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("a router is running already"));
    assert_eq!(router.connect().get(HOST, "/").status, 200);
}

#[test]
fn a_shutdown_finishes_requests_and_leaves_nothing() {
    let app = App::start("web");
    let mut router = Router::start(served_by(&[&app]));
    let worker = router.status().pid;
    let mut slow = router.connect();
    slow.request("GET", HOST, "/gated", &[]);
    app.wait_until_arrived(1);
    let control = router.control();
    let ended = router.spawn(async move { control.ask(Request::Shutdown { timeout_ms: 15_000 }).await });
    wait_until("no connection is taken", || {
        std::net::TcpStream::connect(router.address).is_err()
    });
    app.open_gate(1);
    assert_eq!(slow.answer().status, 200);
    assert_eq!(router.block_on(ended).unwrap().unwrap(), Answer::Done);
    assert!(router.supervisor.wait().unwrap().success());
    assert!(!is_alive(worker));
    assert!(!router.place().join("control.sock").exists());
}

#[test]
fn a_shutdown_says_what_it_had_to_cut() {
    let app = App::start("web");
    let mut router = Router::start(served_by(&[&app]));
    let mut slow = router.connect();
    slow.request("GET", HOST, "/gated", &[]);
    app.wait_until_arrived(1);
    assert_eq!(
        router.ask(Request::Shutdown { timeout_ms: 100 }),
        Answer::TimedOut { in_flight: 1 }
    );
    assert!(router.supervisor.wait().unwrap().success());
    assert!(slow.is_closed());
}

#[test]
fn a_signal_ends_the_router_in_order() {
    let app = App::start("web");
    let mut router = Router::start(served_by(&[&app]));
    let worker = router.status().pid;
    assert_eq!(router.connect().get(HOST, "/").status, 200);
    terminate(router.supervisor.id());
    assert!(router.supervisor.wait().unwrap().success());
    assert!(!is_alive(worker));
}

#[test]
fn a_taken_address_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mainstay-router"))
        .args(["supervise", "--listen", &taken.local_addr().unwrap().to_string()])
        .arg("--snapshot")
        .arg(place.path().join("routes.json"))
        .arg("--control")
        .arg(place.path().join("control.sock"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains(&format!("cannot listen on {}", taken.local_addr().unwrap())),
        "{error}"
    );
}
