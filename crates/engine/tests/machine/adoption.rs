//! A later server takes up what an earlier one left; what nobody wants is removed.

use std::collections::HashSet;

use futures_util::StreamExt;
use mainstay_diagnosis::facts::StopReason;
use mainstay_engine::{Engine, InstanceState, LogQuery, local::LocalEngine};
use mainstay_shim::{cgroup::Cgroup, process::ProcessIdentity, protocol::SOCKET_FILE};
use mainstay_spec::ids::InstanceId;

use crate::world::{DEADLINE, PROGRAMS, World, exited, processes_with, signaled, until};

fn shim_of(world: &World, id: InstanceId) -> i32 {
    let run_dir = world.config.run_dir.join(id.short());
    assert!(run_dir.join(SOCKET_FILE).exists());
    let shims = processes_with(&run_dir.to_string_lossy());
    let pid = shims[0].split([' ', ':']).nth(1).unwrap();
    pid.parse().unwrap()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_second_engine_takes_up_running_and_ended_instances() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let running = world.shell("echo up; read go; exec sleep 1000");
    let ended = world.shell("exit 5");
    let (running_id, ended_id) = (running.id, ended.id);
    let before = world.engine.start(running).await.unwrap();
    let (record, _) = world.run(ended).await;

    let second = LocalEngine::open(world.config.clone()).await.unwrap();
    let adopted = second.status(running_id).await.unwrap().unwrap();
    assert_eq!(adopted, before);
    assert_eq!(second.status(ended_id).await.unwrap().unwrap().exit, Some(record));
    // Both engines see the end.
    let exit = second
        .stop(running_id, StopReason::Replaced, DEADLINE)
        .await
        .unwrap();
    assert_eq!(exit.termination, signaled(15));
    assert_eq!(world.wait(running_id).await, exit);
    second.remove(running_id).await.unwrap();
    second.remove(ended_id).await.unwrap();
    assert_eq!(world.remains(running_id), Vec::<String>::new());
}

#[tokio::test]
async fn an_instance_whose_shim_is_killed_is_ended_with_an_unknown_end() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let spec = world.shell("echo up; exec sleep 1000");
    let id = spec.id;
    let started = world.engine.start(spec).await.unwrap();
    world.printed(id, "up").await;
    kill(shim_of(&world, id));
    let exit = world.wait(id).await;
    assert_eq!(exit.termination, None);
    assert_eq!(exit.started_at, Some(started.started_at));
    assert!(exit.memory.peak_bytes.is_some());
    world.engine.remove(id).await.unwrap();
    assert_eq!(world.remains(id), Vec::<String>::new());
    assert!(ProcessIdentity::of(started.pid.unwrap()).is_none());
    assert_eq!(world.output(id).await, ["up"]);
}

#[tokio::test]
async fn a_shim_killed_while_no_server_ran_is_noticed_by_the_next_one() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let mut world = World::new().await;
    let spec = world.shell("exec sleep 1000");
    let id = spec.id;
    // A server of its own runtime, which is gone as if it had been killed.
    let config = world.config.clone();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let engine = LocalEngine::open(config).await.unwrap();
            engine.start(spec).await.unwrap();
        });
        runtime.shutdown_background();
    });
    server.join().unwrap();
    kill(shim_of(&world, id));
    world.engine = LocalEngine::open(world.config.clone()).await.unwrap();
    let status = world.engine.status(id).await.unwrap().unwrap();
    assert_eq!(status.state, InstanceState::Exited);
    let exit = status.exit.unwrap();
    assert_eq!(exit.termination, None);
    assert!(exit.started_at.is_some(), "how long it ran is not known any more");
    world.engine.remove(id).await.unwrap();
    assert_eq!(world.remains(id), Vec::<String>::new());
}

#[tokio::test]
async fn what_ran_when_the_machine_went_down_is_said_to_have_ended_with_it() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let mut world = World::new().await;
    let spec = world.shell("exec sleep 1000");
    let id = spec.id;
    world.engine.start(spec).await.unwrap();
    kill(shim_of(&world, id));
    world.wait(id).await;
    // As it was before the machine went down: no record, and the id of another boot.
    let directory = world.config.data_dir.join("instances").join(id.to_string());
    std::fs::remove_file(directory.join("exit.json")).unwrap();
    let identity = directory.join("instance.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&identity).unwrap()).unwrap();
    assert!(kept["boot"].is_string(), "{kept}");
    kept["boot"] = "00000000-0000-4000-8000-000000000000".into();
    std::fs::write(&identity, kept.to_string()).unwrap();

    world.engine = LocalEngine::open(world.config.clone()).await.unwrap();
    let exit = world.engine.status(id).await.unwrap().unwrap().exit.unwrap();
    assert_eq!(exit.stop.unwrap().reason, StopReason::MachineRestarted);
    assert_eq!(exit.termination, None);
    world.engine.remove(id).await.unwrap();
    assert_eq!(world.remains(id), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_dies_during_a_start_leaves_nothing() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let mut world = World::new().await;
    let spec = world.shell("exec sleep 1000");
    let id = spec.id;
    let run_dir = world.config.run_dir.join(id.short());
    let (config, socket) = (world.config.clone(), run_dir.join(SOCKET_FILE));
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let engine = LocalEngine::open(config).await.unwrap();
            let starting = engine.start(spec);
            let shim_is_there = until(async || socket.exists().then_some(()));
            tokio::select! {
                biased;
                () = shim_is_there => {}
                _ = starting => {}
            }
        });
        runtime.shutdown_background();
    });
    server.join().unwrap();
    // Whichever moment it was: started whole, or taken back by the shim, or by the next server.
    world.engine = LocalEngine::open(world.config.clone()).await.unwrap();
    until(async || {
        let status = world.engine.status(id).await.unwrap();
        status
            .is_none_or(|status| status.state == InstanceState::Exited || status.pid.is_some())
            .then_some(())
    })
    .await;
    world
        .engine
        .sweep(&HashSet::new(), &HashSet::new())
        .await
        .unwrap();
    until(async || world.remains(id).is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_sweep_removes_what_nobody_wants_and_keeps_the_rest() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let wanted = world.shell("exec sleep 1000");
    let unwanted = world.shell("exec sleep 1000");
    let (wanted_id, unwanted_id) = (wanted.id, unwanted.id);
    world.engine.start(wanted).await.unwrap();
    world.engine.start(unwanted).await.unwrap();
    let keep = HashSet::from([wanted_id]);
    let report = world.engine.sweep(&keep, &HashSet::new()).await.unwrap();
    assert_eq!(report.removed, [format!("instance {unwanted_id}")]);
    assert_eq!(world.remains(unwanted_id), Vec::<String>::new());
    assert_eq!(world.engine.list().await.unwrap().len(), 1);

    world
        .engine
        .sweep(&HashSet::new(), &HashSet::new())
        .await
        .unwrap();
    assert!(!world.cgroup(wanted_id).exists());
    let top = Cgroup::new(&world.config.cgroup_root, &format!("/{}", world.config.prefix));
    assert!(!top.exists());
}

#[tokio::test]
async fn a_follower_sees_all_lines_to_the_end() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let spec = world.shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done; exit 9");
    let id = spec.id;
    world.engine.start(spec).await.unwrap();
    let query = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let stream = world.engine.logs(id, query).await.unwrap();
    let collected = tokio::time::timeout(DEADLINE, stream.map(Result::unwrap).collect::<Vec<_>>());
    let lines = collected.await.expect("the log ends with the instance");
    assert_eq!(lines.len(), 20000);
    assert!(
        lines
            .iter()
            .zip(1_u64..)
            .all(|(line, number)| line.sequence == number && line.text == format!("line {number}"))
    );
    assert_eq!(world.wait(id).await.termination, exited(9));

    let tail = LogQuery {
        tail: Some(2),
        ..LogQuery::default()
    };
    let texts: Vec<String> = world
        .lines(id, tail)
        .await
        .into_iter()
        .map(|line| line.text)
        .collect();
    assert_eq!(texts, ["line 19999", "line 20000"]);
}
