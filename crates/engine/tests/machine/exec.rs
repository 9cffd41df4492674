//! Further processes in an instance.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::PathBuf};

use futures_util::{SinkExt, StreamExt};
use mainstay_diagnosis::facts::{ExecFault, ExecFaultKind, Termination};
use mainstay_engine::{Engine, ExecInput, ExecOutput, ExecRequest, ExecSession, local::LocalEngine};
use mainstay_spec::ids::InstanceId;

use crate::world::{DEADLINE, PROGRAMS, World, processes_with, signaled, until};

async fn begin(world: &World, id: InstanceId, text: &str, terminal: Option<(u16, u16)>) -> ExecSession {
    let request = ExecRequest {
        argv: vec!["sh".to_owned(), "-c".to_owned(), text.to_owned()],
        env: BTreeMap::from([("ADDED".to_owned(), "by-exec".to_owned())]),
        terminal,
    };
    world.engine.exec(id, request).await.unwrap()
}

/// Everything it printed to stdout and stderr, and its end.
async fn finish(mut session: ExecSession) -> (String, String, Result<Termination, ExecFault>) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let end = tokio::time::timeout(DEADLINE, async {
        while let Some(output) = session.output.next().await {
            match output {
                ExecOutput::Stdout(bytes) => stdout.extend(bytes),
                ExecOutput::Stderr(bytes) => stderr.extend(bytes),
                ExecOutput::Ended(end) => return end,
            }
        }
        panic!("the output ended without an end");
    });
    let end = end.await.expect("the command ends in time");
    (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
        end,
    )
}

async fn sleeper(world: &World) -> InstanceId {
    let spec = world.shell("exec sleep 1000");
    let id = spec.id;
    world.engine.start(spec).await.unwrap();
    id
}

#[tokio::test]
async fn a_command_s_output_and_exit_code_come_back() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let id = sleeper(&world).await;
    let session = begin(
        &world,
        id,
        "echo out; echo err >&2; echo $ADDED $HOSTNAME; exit 3",
        None,
    )
    .await;
    let (stdout, stderr, end) = finish(session).await;
    assert_eq!(
        (stdout.as_str(), stderr.as_str()),
        ("out\nby-exec web-0\n", "err\n")
    );
    assert_eq!(end, Ok(Termination::Exited { code: 3 }));
    world.stop(id, DEADLINE).await;
}

#[tokio::test]
async fn input_is_passed_and_its_end_too() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let id = sleeper(&world).await;
    let mut session = begin(&world, id, "wc -c", None).await;
    session
        .input
        .send(ExecInput::Stdin(vec![b'x'; 300_000]))
        .await
        .unwrap();
    session.input.send(ExecInput::CloseStdin).await.unwrap();
    let (stdout, _, end) = finish(session).await;
    assert_eq!(
        (stdout.trim(), end),
        ("300000", Ok(Termination::Exited { code: 0 }))
    );
    world.stop(id, DEADLINE).await;
}

#[tokio::test]
async fn a_terminal_has_the_size_that_was_asked_for_and_can_be_resized() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let id = sleeper(&world).await;
    let mut session = begin(
        &world,
        id,
        "tty; stty size; read line; stty size; exit 7",
        Some((101, 33)),
    )
    .await;
    let mut seen = String::new();
    while !seen.contains("33 101") {
        match session.output.next().await.unwrap() {
            ExecOutput::Stdout(bytes) => seen.push_str(&String::from_utf8_lossy(&bytes)),
            other => panic!("{other:?} after {seen:?}"),
        }
    }
    assert!(seen.starts_with("/dev/pts/"), "{seen:?}");
    session
        .input
        .send(ExecInput::Resize {
            columns: 80,
            rows: 24,
        })
        .await
        .unwrap();
    session
        .input
        .send(ExecInput::Stdin(b"go\n".to_vec()))
        .await
        .unwrap();
    let (rest, _, end) = finish(session).await;
    assert!(rest.contains("24 80"), "{rest:?}");
    assert_eq!(end, Ok(Termination::Exited { code: 7 }));
    world.stop(id, DEADLINE).await;
}

#[tokio::test]
async fn a_command_that_is_not_there_has_its_errno() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let id = sleeper(&world).await;
    let request = ExecRequest {
        argv: vec!["missing".to_owned()],
        env: BTreeMap::new(),
        terminal: None,
    };
    let (_, _, end) = finish(world.engine.exec(id, request).await.unwrap()).await;
    let fault = end.unwrap_err();
    assert_eq!(
        (fault.kind, fault.errno),
        (ExecFaultKind::NotFound, Some(libc::ENOENT))
    );
    world.stop(id, DEADLINE).await;
}

/// A runtime that fails every exec, with the longest message that a frame could not hold.
fn runtime_that_cannot_exec(world: &World) -> PathBuf {
    let message = serde_json::json!({ "level": "error", "msg": "\u{1}".repeat(300_000) });
    let log = world.config.data_dir.join("long.json");
    fs::write(&log, message.to_string()).unwrap();
    let program = world.config.data_dir.join("runtime");
    // The fourth argument is the log's path.
    let text = format!(
        "#!/bin/sh\nfor word in \"$@\"; do\n  if [ \"$word\" = exec ]; then cat {} > \"$4\"; exit 1; fi\ndone\nexec runc \"$@\"\n",
        log.display()
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[tokio::test]
async fn a_runtime_that_complains_at_length_fails_the_exec_and_not_the_shim() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let mut world = World::new().await;
    world.config.runtime = runtime_that_cannot_exec(&world);
    world.engine = LocalEngine::open(world.config.clone()).await.unwrap();
    let id = sleeper(&world).await;
    let (_, _, end) = finish(begin(&world, id, "true", None).await).await;
    let ExecFaultKind::Other { message } = end.unwrap_err().kind else {
        panic!("not the runtime's message");
    };
    assert!(
        message.starts_with("the OCI runtime could not make the process: \u{1}"),
        "{message:.80}"
    );
    assert_eq!(world.stop(id, DEADLINE).await.termination, signaled(15));
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_command_with_it() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let id = sleeper(&world).await;
    let marker = format!("7{}", id.as_uuid().as_u128() % 1_000_000);
    let session = begin(&world, id, &format!("trap '' HUP; sleep {marker}"), None).await;
    until(async || (!processes_with(&marker).is_empty()).then_some(())).await;
    drop(session);
    until(async || processes_with(&marker).is_empty().then_some(())).await;
    world.stop(id, DEADLINE).await;
}

#[tokio::test]
async fn an_exec_is_as_confined_as_the_app() {
    if !mainstay_testkit::can_run(&PROGRAMS) {
        return;
    }
    let world = World::new().await;
    let text = "cat /proc/self/uid_map; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; \
                cat /proc/self/cgroup | sort; for ns in user net mnt pid ipc; do readlink /proc/self/ns/$ns; done";
    let spec = world.shell(&format!("{text}; echo done; exec sleep 1000"));
    let id = spec.id;
    world.engine.start(spec).await.unwrap();
    world.printed(id, "done").await;
    let mut main = world.output(id).await;
    main.pop();
    let (exec, _, _) = finish(begin(&world, id, text, None).await).await;
    assert_eq!(exec.lines().collect::<Vec<_>>(), main);
    assert!(exec.contains("Seccomp:\t2"), "{exec}");
    world.stop(id, DEADLINE).await;
}
