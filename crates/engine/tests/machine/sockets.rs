//! What an instance listens on and connects to, as seen from outside.

use std::{net::UdpSocket, os::fd::AsFd, time::Duration};

use mainstay_diagnosis::facts::{OutboundResult, Termination};
use mainstay_engine::Engine;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::world::{DEADLINE, PROGRAMS, World, until};

#[tokio::test]
async fn listeners_are_seen_with_their_address_port_and_program() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let spec = world.shell("httpd -f -p 127.0.0.1:9000 & httpd -f -p 8080 & wait");
    let id = spec.id;
    world.engine.start(spec).await.unwrap();
    let sockets = until(async || {
        let sockets = world.engine.sockets(id).await.unwrap();
        (sockets.len() == 2).then_some(sockets)
    })
    .await;
    let loopback = sockets.iter().find(|socket| socket.port == 9000).unwrap();
    assert!(loopback.is_loopback());
    assert_eq!(loopback.program.as_deref(), Some("httpd"));
    assert!(loopback.pid.is_some());
    let open = sockets.iter().find(|socket| socket.port == 8080).unwrap();
    assert!(!open.is_loopback());
    world.stop(id, DEADLINE).await;
}

/// It has one processor at most, however many others want it, too.
#[tokio::test]
async fn what_works_wants_the_processor_and_what_sleeps_does_not() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let (works, sleeps) = (
        world.shell("while :; do :; done"),
        world.shell("echo up; exec sleep 1000"),
    );
    let (busy, quiet) = (works.id, sleeps.id);
    world.engine.start(sleeps).await.unwrap();
    world.printed(quiet, "up").await;
    world.engine.start(works).await.unwrap();
    let demand = async |id| world.engine.processor_demand(id).await.unwrap().unwrap();
    let before = demand(quiet).await;
    until(async || (demand(busy).await > Duration::from_secs(1)).then_some(())).await;
    let wanted = demand(quiet).await.saturating_sub(before);
    assert!(
        wanted < Duration::from_millis(500),
        "asleep, it wanted {wanted:?}"
    );
    for id in [busy, quiet] {
        world.stop(id, Duration::ZERO).await;
    }
}

#[tokio::test]
async fn a_refused_connect_is_known_after_the_end() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let spec = world.shell("wget -q -O - http://127.0.0.1:5432/; exit 3");
    let id = spec.id;
    world.engine.start(spec).await.unwrap();
    let record = world.wait(id).await;
    assert_eq!(record.termination, Some(Termination::Exited { code: 3 }));
    let failures = record.course.outbound_failures;
    let [failure] = failures.as_slice() else {
        panic!("one connect was refused, not {failures:?}")
    };
    assert_eq!(
        (failure.address.to_string(), failure.port),
        ("127.0.0.1".to_owned(), 5432)
    );
    assert_eq!(failure.result, OutboundResult::Refused);
    assert!(!record.course.memory.is_empty());
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_known_after_the_end() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    // 0035 is port 53: the name server is there.
    let spec = world.shell(
        "echo up; until grep -q ':0035 ' /proc/net/udp; do sleep 0.05; done; \
         nslookup cache.internal.example 127.0.0.1; exit 3",
    );
    let id = spec.id;
    world.engine.start(spec).await.unwrap();
    world.printed(id, "up").await;
    let pid = *world.cgroup(id).pids().first().expect("it runs");
    let server = std::thread::spawn(move || know_no_name(pid));
    let record = world.wait(id).await;
    assert_eq!(record.termination, Some(Termination::Exited { code: 3 }));
    server.join().expect("the name server was asked");
    let names = record.course.unknown_names;
    let [unknown] = names.as_slice() else {
        panic!("one name was looked up, not {names:?}")
    };
    assert_eq!(unknown.name, "cache.internal.example");
}

/// Is the name server of a process's network namespace for one question of each family, and says that there is no such name.
fn know_no_name(pid: i32) {
    let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    for _ in 0..2 {
        let mut message = [0; 512];
        let (length, asker) = socket.recv_from(&mut message).unwrap();
        // An answer, and the code for "no such name" (RFC 1035, section 4.1.1).
        (message[2], message[3]) = (0x81, 0x83);
        socket.send_to(&message[..length], asker).unwrap();
    }
}
