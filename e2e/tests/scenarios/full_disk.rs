//! A full disk: what serves goes on, what cannot be done says why, and once there is room again everything goes on as before.

use std::{path::Path, time::Duration};

use mainstay_diagnosis::{Cause, Code};
use mainstay_e2e::{Deployment, Folder, Platform, python_hello, wait_until};
use serde_json::json;

const MIB: u64 = 1 << 20;
/// The stack's layers and a database's take the better part of one.
const DISK: u64 = 3 << 30;
const CONFIG: &str = "[capacity]\ndisk_free_bytes = 67108864\nwait_seconds = 2\n\
    [keep]\ndisk_free_bytes_min = 1048576\n[databases]\ndisk_bytes = 536870912\n";
const STEADY: &str = "steady";
const BOOK: &str = "guestbook";
const VISITS_PER_SECOND: f64 = 10.0;
const VISITS_MIN: u64 = 100;
const COMES_WITHIN: Duration = Duration::from_mins(1);

pub(crate) fn a_full_disk_loses_nothing(platform: &mut Platform) {
    let mut platform = platform.beside_on_small_disk(CONFIG, DISK);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guestbook");
    let book = platform.deploy_directory(&example);
    assert_eq!(book.phase(), "ACTIVE", "{book}");
    platform.deploy_active(&python_hello(STEADY, "version 1"));
    let visiting = platform.visitors(STEADY, VISITS_PER_SECOND);
    sign(&platform, "before");

    too_little_room_is_refused(&platform);
    a_build_that_fills_the_disk_says_so(&platform);
    a_rollout_waits_for_the_store(&mut platform);
    a_database_loses_nothing(&platform);

    platform.deploy_active(&python_hello(STEADY, "version 9"));
    platform.expect_page(STEADY, "/", "version 9");
    visiting.stop_unharmed(VISITS_MIN);
}

fn too_little_room_is_refused(platform: &Platform) {
    let ballast = platform.fill_disk(32 * MIB);
    let refused = platform.deploy(&python_hello(STEADY, "version 2"));
    assert_eq!(
        (refused.code(), refused.cause()),
        (Some(Code::ResourceExhausted), Some(Cause::NodeCapacity)),
        "{refused}"
    );
    drop(ballast);
    expect_version(platform, "version 1");
}

fn a_build_that_fills_the_disk_says_so(platform: &Platform) {
    let writes = python_hello(STEADY, "version 3").setting(
        "build_command",
        "echo now; sleep 4; dd if=/dev/zero of=big bs=1M count=300",
    );
    platform.deploy_without_waiting(&writes);
    await_words(platform, "build", "now");
    let ballast = platform.fill_disk(2 * MIB);
    let failed = await_end(platform);
    assert_eq!(
        (failed.code(), failed.cause()),
        (Some(Code::BuildJobExitNonZero), Some(Cause::DiskFull)),
        "{failed}"
    );
    drop(ballast);
    expect_version(platform, "version 1");
    platform.deploy_active(&python_hello(STEADY, "version 4"));
}

/// Nothing may happen that is not stored: it goes on as soon as there is room. A server that is killed meanwhile comes back and says so, too.
fn a_rollout_waits_for_the_store(platform: &mut Platform) {
    let patient = json!({ "period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 50 });
    let slow: Folder = python_hello(STEADY, "version 5")
        .setting(
            "run_command",
            "sh -c 'echo waking up; sleep 4; exec python3 server.py'",
        )
        .setting("health_check", patient);
    platform.deploy_without_waiting(&slow);
    await_words(platform, "run", "waking up");
    let ballast = platform.fill_disk(0);
    nothing_is_taken_but_all_is_told(platform);
    expect_version(platform, "version 4");
    drop(ballast);
    let ended = await_end(platform);
    assert_eq!(ended.phase(), "ACTIVE", "{ended}\n{}", platform.server_log());
    expect_version(platform, "version 5");
}

/// With a disk that is full to the last byte.
fn nothing_is_taken_but_all_is_told(platform: &Platform) {
    let folder = python_hello(STEADY, "version 6");
    let directory = folder.on_disk();
    let path = directory.path().display().to_string();
    let refused = platform.json(&["deploy", "--no-wait", &path]);
    let reason = &refused.json()["error"]["reason"];
    assert_eq!(
        (&reason["code"], &reason["cause"]),
        (&json!("ResourceExhausted"), &json!("node_capacity")),
        "{}",
        refused.stdout
    );
    // What the database's file has room for already may still be stored.
    let mut answer = String::new();
    let is_refused = wait_until(COMES_WITHIN, || {
        let made = platform.text(&["tokens", "create", "of-a-full-disk"]);
        answer.clone_from(&made.stderr);
        !made.is_success()
    });
    assert!(is_refused && answer.contains("disk is full"), "{answer}");
    for command in [
        &["apps", "list"][..],
        &["deployments", "list", STEADY],
        &["limits"],
    ] {
        let _ = platform.json(command).expect_success("reading from a full disk");
    }
    platform.expect_page(BOOK, "/", "before");
}

fn a_database_loses_nothing(platform: &Platform) {
    let ballast = platform.fill_disk(0);
    let mut written = Vec::new();
    for number in 0..200 {
        let entry = format!("entry-{number}-{}", "x".repeat(150));
        let answer = platform.post(BOOK, "/entries", &format!("text={entry}"));
        match answer {
            Ok(page) if page.status == 303 => written.push(entry),
            // It may take no more.
            _ => break,
        }
    }
    platform.expect_page(STEADY, "/", "version 5");
    drop(ballast);
    let is_back = || {
        let page = platform.get(BOOK, "/");
        page.is_ok_and(|page| {
            page.status == 200
                && page.text.contains("before")
                && written.iter().all(|entry| page.text.contains(entry))
        })
    };
    assert!(
        wait_until(COMES_WITHIN, is_back),
        "not all that was written is there: {:?}\n{}\n{}",
        platform.get(BOOK, "/"),
        platform.text(&["databases", "logs", "db", "--app", BOOK]).stdout,
        platform.server_log()
    );
    sign(platform, "after");
}

fn sign(platform: &Platform, entry: &str) {
    let page = platform.post(BOOK, "/entries", &format!("text={entry}"));
    let page = page.unwrap_or_else(|error| panic!("{BOOK} does not take an entry: {error}"));
    assert_eq!(page.status, 303, "{}", page.text);
}

fn expect_version(platform: &Platform, version: &str) {
    platform.expect_page(STEADY, "/", version);
}

/// Until the newest deployment's log of a kind has these words.
fn await_words(platform: &Platform, kind: &str, words: &str) {
    let mut last = platform.newest_deployment(STEADY);
    let there = wait_until(COMES_WITHIN, || {
        last = platform.newest_deployment(STEADY);
        last.is_final()
            || platform
                .log(STEADY, last.id(), kind)
                .lines()
                .any(|line| line.ends_with(words))
    });
    assert!(there && !last.is_final(), "it should have said {words:?}: {last}");
}

fn await_end(platform: &Platform) -> Deployment {
    let mut last = platform.newest_deployment(STEADY);
    let ended = wait_until(COMES_WITHIN, || {
        last = platform.newest_deployment(STEADY);
        last.is_final()
    });
    assert!(ended, "{last}\n{}", platform.server_log());
    last
}
