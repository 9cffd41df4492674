//! The life of an instance on a real machine: start, end, record, log, removal.

use std::time::Duration;

use crate::world::{DEADLINE, PROGRAMS, World, exited, signaled, until};
use mainstay_diagnosis::facts::{ExecFaultKind, StopReason, Termination};
use mainstay_engine::{Engine, InstanceState, StartError};

#[tokio::test]
async fn every_exit_code_is_told_exactly() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    for code in [0, 1, 2, 126, 127, 134, 137, 139, 143, 145, 255] {
        let (exit, _) = world.run(world.shell(&format!("exit {code}"))).await;
        assert_eq!(exit.termination, exited(code));
        assert_eq!(exit.stop, None);
    }
}

#[tokio::test]
async fn every_signal_is_told_exactly() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    for signal in [6, 9, 11, 15] {
        let (exit, _) = world.run(world.shell(&format!("kill -{signal} $$"))).await;
        assert!(
            matches!(exit.termination, Some(Termination::Signaled { signal: told, .. }) if told == signal),
            "{:?}",
            exit.termination
        );
    }
}

/// Its shim takes back what it had, and answers nobody any more.
#[tokio::test]
async fn what_has_ended_is_not_asked_for_its_usage() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let spec = world.shell("exit 3");
    let id = spec.id;
    let (_, _) = world.run(spec).await;
    let error = world.engine.stats(id).await.unwrap_err();
    assert!(
        error.to_string().contains("is not running"),
        "the shim was asked: {error}"
    );
}

#[tokio::test]
async fn output_is_kept_line_by_line_and_nothing_else_is_left() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let spec = world.shell("echo one; echo two >&2; printf three; id -u; hostname; pwd");
    let id = spec.id;
    let (exit, output) = world.run(spec).await;
    assert_eq!(exit.termination, exited(0));
    let mut sorted = output.clone();
    sorted.sort();
    assert_eq!(sorted, ["/", "one", "three0", "two", "web-0"], "{output:?}");
    assert!(exit.started_at.unwrap() <= exit.ended_at);

    assert_eq!(
        world.engine.remains().await.unwrap(),
        [],
        "it was not removed yet"
    );
    world.engine.remove(id).await.unwrap();
    let kept = world.engine.remains().await.unwrap();
    assert!(
        kept.len() == 1 && kept[0].id == id && kept[0].bytes > 0,
        "{kept:?}"
    );
    assert_eq!(world.remains(id), Vec::<String>::new());
    assert_eq!(world.engine.status(id).await.unwrap(), None);
    assert_eq!(world.output(id).await, output);
    assert_eq!(world.wait(id).await, exit);

    world.engine.forget(id).await.unwrap();
    assert_eq!(world.engine.remains().await.unwrap(), []);
    assert!(
        world
            .engine
            .logs(id, mainstay_engine::LogQuery::default())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_running_instance_is_listed_with_its_process() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let spec = world.shell("echo up; exec sleep 1000");
    let id = spec.id;
    let status = world.engine.start(spec.clone()).await.unwrap();
    assert_eq!(status.state, InstanceState::Running);
    world.printed(id, "up").await;
    let pid = status.pid.unwrap();
    // It prints before it becomes another program.
    until(async || {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        (command == "sleep\x001000\0").then_some(())
    })
    .await;
    // Starting what runs succeeds and starts nothing.
    let again = world.engine.start(spec).await.unwrap();
    assert_eq!(again.pid, Some(pid));
    assert_eq!(world.engine.list().await.unwrap().len(), 1);

    let exit = world.stop(id, DEADLINE).await;
    assert_eq!(exit.termination, signaled(15));
    let stop = exit.stop.unwrap();
    assert_eq!((stop.reason, stop.killed_at), (StopReason::Requested, None));
    world.engine.remove(id).await.unwrap();
    assert_eq!(world.remains(id), Vec::<String>::new());
}

#[tokio::test]
async fn what_does_not_stop_in_time_is_killed_and_the_record_says_so() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let spec = world.shell("trap '' TERM; echo up; while true; do sleep 1; done");
    let id = spec.id;
    world.engine.start(spec).await.unwrap();
    world.printed(id, "up").await;
    let exit = world.stop(id, Duration::from_millis(100)).await;
    assert_eq!(exit.termination, signaled(9));
    assert!(exit.stop.unwrap().killed_at.is_some());
}

#[tokio::test]
async fn children_of_a_shell_are_asked_to_stop_too() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let child = "trap 'echo child stopped; exit 0' TERM; echo up; while true; do sleep 0.1; done";
    let spec = world.shell(&format!("sh -c \"{child}\" & wait"));
    let id = spec.id;
    world.engine.start(spec).await.unwrap();
    world.printed(id, "up").await;
    let exit = world.stop(id, DEADLINE).await;
    assert_eq!(exit.termination, signaled(15));
    assert_eq!(exit.stop.unwrap().killed_at, None);
    assert!(world.output(id).await.contains(&"child stopped".to_owned()));
}

#[tokio::test]
async fn a_command_that_cannot_be_executed_is_refused_and_leaves_nothing() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    for (argv, errno) in [
        ("missing", libc::ENOENT),
        ("/etc/passwd", libc::EACCES),
        ("/home", libc::EACCES),
    ] {
        let spec = world.command(&[argv]);
        let id = spec.id;
        match world.engine.start(spec).await {
            Err(StartError::Refused(fault)) => assert_eq!(fault.errno, Some(errno), "{argv}"),
            other => panic!("{argv}: {other:?}"),
        }
        assert_eq!(world.engine.status(id).await.unwrap(), None);
        assert_eq!(world.remains(id), Vec::<String>::new());
    }
    let mut spec = world.shell("true");
    spec.working_dir = "/nowhere".to_owned();
    match world.engine.start(spec).await {
        Err(StartError::Refused(fault)) => {
            let path = "/nowhere".to_owned();
            assert_eq!(fault.kind, ExecFaultKind::WorkingDirectoryMissing { path });
        }
        other => panic!("{other:?}"),
    }
}
