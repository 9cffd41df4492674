//! Limits, as the kernel enforces them and the record tells.

use std::time::Duration;

use mainstay_engine::{Engine, Limits};
use mainstay_shim::log::LogSource;

use crate::world::{DEADLINE, PROGRAMS, World, exited, signaled};

/// Fills memory until it is killed: `tail` keeps an endless line.
const ALLOCATE: &str = "tail /dev/zero";

#[tokio::test]
async fn a_main_process_over_its_memory_is_killed_and_recorded_so() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let mut spec = world.shell(&format!("exec {ALLOCATE}"));
    spec.limits.memory_bytes = 32 << 20;
    let id = spec.id;
    let (exit, _) = world.run(spec).await;
    assert_eq!(exit.termination, signaled(9));
    assert_eq!(exit.stop, None);
    assert_eq!(exit.memory.limit_bytes, Some(32 << 20));
    assert_eq!(exit.memory.peak_bytes, Some(32 << 20));
    let [kill] = exit.memory.kills.as_slice() else {
        panic!("{:?}", exit.memory);
    };
    assert_eq!(
        (kill.main_process, kill.process.as_deref()),
        (Some(true), Some("tail"))
    );
    let lines = world.lines(id, mainstay_engine::LogQuery::default()).await;
    assert!(
        lines
            .iter()
            .any(|line| line.source == LogSource::Platform && line.text.contains("killed tail")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_child_over_the_memory_is_recorded_although_the_main_process_lives() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let mut spec = world.shell(&format!("{ALLOCATE}; echo child $?; exit 0"));
    spec.limits.memory_bytes = 32 << 20;
    let (exit, output) = world.run(spec).await;
    assert_eq!(exit.termination, exited(0));
    assert!(output.contains(&"child 137".to_owned()), "{output:?}");
    assert_eq!(exit.memory.kills.len(), 1);
    assert_eq!(exit.memory.kills[0].main_process, Some(false));
}

#[tokio::test]
async fn a_kill_by_hand_is_no_memory_kill() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let (exit, _) = world.run(world.shell("kill -9 $$")).await;
    assert_eq!(exit.termination, signaled(9));
    assert!(exit.memory.kills.is_empty());
    let (exit, _) = world.run(world.shell("exit 137")).await;
    assert_eq!(exit.termination, exited(137));
}

#[tokio::test]
async fn more_processes_than_allowed_are_refused_and_counted() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let mut spec = world.shell("for i in 1 2 3 4 5 6 7 8 9; do sleep 2 & done; wait");
    spec.limits.pids = 6;
    let (exit, output) = world.run(spec).await;
    assert!(
        output
            .iter()
            .any(|line| line.contains("Resource temporarily unavailable")),
        "{output:?}"
    );
    assert!(exit.pids_limit_hits.unwrap() > 0);
}

#[tokio::test]
async fn a_share_of_a_cpu_is_not_exceeded() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let mut spec = world.shell("while true; do :; done");
    spec.limits.cpu_millis = 200;
    let id = spec.id;
    let began = std::time::Instant::now();
    world.engine.start(spec).await.unwrap();
    // On a busy machine it may take a while until it could use more than its share.
    let used = crate::world::until(async || {
        let stats = world.engine.stats(id).await.unwrap();
        let is_throttled = stats.cpu_usage_micros > 150_000 && stats.cpu_throttled_micros > 0;
        is_throttled.then(|| Duration::from_micros(stats.cpu_usage_micros))
    })
    .await;
    let elapsed = began.elapsed();
    // A fifth of a core, and what the kernel hands out ahead: a period's quota, and a slice of it per core.
    assert!(
        used < elapsed / 5 + Duration::from_millis(60),
        "{used:?} in {elapsed:?}"
    );
    let exit = world.stop(id, Duration::ZERO).await;
    assert!(exit.cpu_usage_micros.unwrap() > 150_000);
    assert!(exit.cpu_throttled_micros.unwrap() > 0);
}

#[tokio::test]
async fn a_full_disk_limit_is_an_error_for_the_instance_and_for_nobody_else() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let mut spec = world.shell(
        "dd if=/dev/zero of=/file bs=1M count=64; echo dd $?; df -m / | tail -1 | awk '{print $2 < 20}'",
    );
    spec.limits = Limits {
        disk_bytes: Some(16 << 20),
        ..spec.limits
    };
    let id = spec.id;
    let (_, output) = world.run(spec).await;
    assert!(
        output.iter().any(|line| line.contains("No space left on device")),
        "{output:?}"
    );
    assert!(output.contains(&"dd 1".to_owned()), "{output:?}");
    // Standard output and error are two streams: their order is not known.
    assert!(output.contains(&"1".to_owned()), "{output:?}");
    world.engine.remove(id).await.unwrap();
    assert_eq!(world.remains(id), Vec::<String>::new());
    let left = std::fs::read_dir(world.config.data_dir.join("instances").join(id.to_string())).unwrap();
    let mut names: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["exit.json", "log"]);
}

#[tokio::test]
async fn logs_are_rotated_by_size() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let mut world = World::new().await;
    world.config.log.segment_bytes = 100_000;
    world.config.log.segments = 3;
    world.engine = mainstay_engine::local::LocalEngine::open(world.config.clone())
        .await
        .unwrap();
    let spec = world.shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo a line of the app $i; done");
    let id = spec.id;
    world.engine.start(spec).await.unwrap();
    tokio::time::timeout(DEADLINE, world.engine.wait(id))
        .await
        .unwrap()
        .unwrap();
    let log = world
        .config
        .data_dir
        .join("instances")
        .join(id.to_string())
        .join("log");
    let sizes: Vec<u64> = std::fs::read_dir(log)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    assert_eq!(sizes.len(), 3);
    assert!(sizes.iter().all(|size| *size <= 100_000), "{sizes:?}");
    let lines = world.lines(id, mainstay_engine::LogQuery::default()).await;
    assert_eq!(lines.last().unwrap().sequence, 20000);
    assert!(lines[0].sequence > 1);
}
