//! Builds that pass a limit: memory, time, processes, disk; and cancel. All bounded, all clean afterwards.

use std::time::{Duration, Instant};

use mainstay_build::dockerfile::DockerfileEnd;
use mainstay_diagnosis::facts::{BuildFault, Termination};

use crate::world::{World, can_run};

/// Allocates 200 MiB at once.
const EAT: &str = "dd if=/dev/zero of=/dev/null bs=200M count=1";

#[tokio::test]
async fn a_memory_kill_of_the_step_is_seen() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    let report = world
        .build_with(&format!("FROM BASE\nRUN true\nRUN {EAT}\n"), |request| {
            request.limits.memory_bytes = 100 << 20;
        })
        .await;
    assert_eq!(
        report.result,
        Err(DockerfileEnd::StepFailed),
        "{}",
        world.log.text()
    );
    let step = report.steps.last().unwrap();
    assert_eq!(step.line, Some(3));
    assert!(
        matches!(step.termination, Some(Termination::Signaled { signal: 9, .. })),
        "{step:?}"
    );
    assert_eq!(step.memory.kills.len(), 1);
    assert_eq!(step.memory.kills[0].main_process, Some(true));
    assert_eq!(report.memory.kills, step.memory.kills);
    assert_eq!(report.memory.limit_bytes, Some(100 << 20));
    assert!(report.memory.peak_bytes.is_some_and(|peak| peak > 90 << 20));
}

#[tokio::test]
async fn a_memory_kill_that_the_shell_hides_is_seen() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    let small = |request: &mut mainstay_build::dockerfile::DockerfileRequest| {
        request.limits.memory_bytes = 100 << 20;
    };
    let report = world
        .build_with(&format!("FROM BASE\nRUN {EAT} || exit 7\n"), small)
        .await;
    assert_eq!(report.result, Err(DockerfileEnd::StepFailed));
    let step = report.steps.last().unwrap();
    assert_eq!(step.termination, Some(Termination::Exited { code: 7 }));
    assert_eq!(step.memory.kills.len(), 1, "{}", world.log.text());
    assert_eq!(step.memory.kills[0].main_process, Some(false));

    let report = world
        .build_with(&format!("FROM BASE\nRUN {EAT} || true\nRUN true\n"), small)
        .await;
    assert!(report.result.is_ok(), "{:?}", report.result);
    let kills: Vec<usize> = report.steps.iter().map(|step| step.memory.kills.len()).collect();
    assert_eq!(kills, [1, 0]);
    assert_eq!(report.memory.kills.len(), 1);
}

#[tokio::test]
async fn a_step_that_ignores_sigterm_ends_at_the_time_limit() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    let started = Instant::now();
    let report = world
        .build_with(
            "FROM BASE\nRUN true\nRUN trap '' TERM INT HUP; while :; do sleep 1; done\n",
            |request| request.limits.time_seconds = 8,
        )
        .await;
    assert_eq!(
        report.result,
        Err(DockerfileEnd::TimedOut),
        "{}",
        world.log.text()
    );
    let step = report.steps.last().unwrap();
    assert_eq!((step.line, step.termination), (Some(3), None));
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_fork_bomb_is_bounded_and_gone_at_the_time_limit() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    let report = world
        .build_with(
            "FROM BASE\nRUN b() { b | b & }; b; while :; do :; done\n",
            |request| {
                request.limits.time_seconds = 8;
                request.limits.pids = 40;
            },
        )
        .await;
    assert_eq!(
        report.result,
        Err(DockerfileEnd::TimedOut),
        "{}",
        world.log.text()
    );
    let hits = report.steps.last().unwrap().pids_limit_hits;
    assert!(hits.is_some_and(|hits| hits > 0), "{hits:?}");
}

#[tokio::test]
async fn a_step_that_fills_the_disk_is_stopped() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    let report = world
        .build_with(
            "FROM BASE\nRUN i=0; while :; do dd if=/dev/zero of=/f$i bs=1M count=8 2>/dev/null; i=$((i+1)); sleep 0.05; done\n",
            |request| request.limits.disk_bytes = 64 << 20,
        )
        .await;
    let Err(DockerfileEnd::Failed(BuildFault::DiskBudget {
        limit_bytes,
        used_bytes,
    })) = report.result
    else {
        panic!("{:?}\n{}", report.result, world.log.text());
    };
    assert_eq!(limit_bytes, 64 << 20);
    assert!(used_bytes > limit_bytes, "{used_bytes}");
    assert!(report.steps.last().unwrap().disk_full);
}

#[tokio::test]
async fn cancel_ends_the_build_at_once() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    let cancel = async {
        world.log.wait_for("running").await;
        world.cancel.send(true).unwrap();
    };
    let (report, ()) = tokio::join!(world.build("FROM BASE\nRUN echo running; sleep 1000\n"), cancel);
    assert_eq!(report.result, Err(DockerfileEnd::Canceled));
    assert_eq!(report.steps.last().unwrap().termination, None);
}

#[tokio::test]
async fn what_a_killed_server_left_is_swept() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    world.write(
        "Dockerfile",
        "FROM mainstay-test/base:1\nRUN echo running; sleep 1000\n",
    );
    {
        let build = world.run(world.request());
        tokio::pin!(build);
        // Dropping the build in its middle is what a kill of the server looks like from outside: buildah dies, its container stays.
        tokio::select! {
            report = &mut build => panic!("ended: {:?}", report.result),
            () = world.log.wait_for("running") => {}
        }
    }
    let removed = world.engine.sweep().await;
    assert!(
        removed.iter().any(|text| text.starts_with("cgroup ")),
        "{removed:?}"
    );
    assert!(
        removed.iter().any(|text| text.contains("working containers")),
        "{removed:?}"
    );
    world.assert_nothing_left();
    let report = world.build("FROM BASE\nRUN true\n").await;
    assert!(report.result.is_ok(), "{:?}", report.result);
}
