//! What is kept of the past and what is collected, on a platform that collects as much as it may, and whose disk is 95 % full.
#![allow(clippy::print_stderr, reason = "a test says on standard error how far it is")]

mod disk;

use std::time::Duration;

use mainstay_diagnosis::Code;
use mainstay_e2e::{Deployment, Folder, Platform, Programs, python_hello, wait_until};

use self::disk::Disk;

/// One deployment to roll back to; no room for logs but those that must stay; nothing waits.
const CONFIG: &str = "[keep]\nrollback_deployments = 1\nlog_bytes_max = 0\nunused_seconds = 1\nupload_seconds = 1\n\
    cache_bytes_max = 0\nevery_seconds = 2\ndisk_free_bytes_min = 268435456\n[capacity]\ndisk_free_bytes = 33554432\n";
const DISK: u64 = 3 << 30;
/// Less than what is to stay free: all that can go has to.
const FREE: u64 = DISK / 20;
/// A few collections.
const COLLECTED_WITHIN: Duration = Duration::from_mins(1);
const ENDS_WITHIN: Duration = Duration::from_mins(1);

#[test]
fn kept() {
    let Some(programs) = Programs::find() else { return };
    let mut platform = Platform::start_on_small_disk(programs, CONFIG, DISK);
    let _ballast = platform.fill_disk(FREE);
    let disk = Disk::of(&platform);
    old_images_leave_the_disk(&platform, &disk);
    failures_stay_readable(&mut platform);
    a_deletion_goes_on_after_the_end_of_the_server(&mut platform);
    nothing_is_left_of_deleted_apps(&platform, &disk);
    let log = platform.server_log();
    let faults: Vec<&str> = log.lines().filter(|line| line.contains(" ERROR ")).collect();
    assert!(faults.is_empty(), "the server had faults:\n{}", faults.join("\n"));
}

fn old_images_leave_the_disk(platform: &Platform, disk: &Disk) {
    let page = |version: u32| {
        let text = format!("<!doctype html><title>Pages</title><p>version {version}</p>\n");
        Folder::static_site("pages").with("index.html", &text)
    };
    for version in 1..=4 {
        platform.deploy_active(&page(version));
    }
    let mut versions = Vec::new();
    let collected = wait_until(COLLECTED_WITHIN, || {
        versions = disk.versions();
        versions == ["version 3", "version 4"]
    });
    assert!(
        collected,
        "only the page that serves and the one before should be left: {versions:?}"
    );
    assert!(
        wait_until(COLLECTED_WITHIN, || disk.uploads() == 2),
        "uploads stay"
    );
    platform.expect_page("pages", "/", "version 4");
    // Its image is held, so going back needs no build.
    let back = platform.deploy_active(&page(3));
    assert!(
        back.notes(Code::PreviousBuildReused),
        "{:#}",
        back.json["progress"]
    );
    platform.expect_page("pages", "/", "version 3");
    eprintln!("✔ old images leave the disk");
}

fn failures_stay_readable(platform: &mut Platform) {
    let first = platform.deploy_active(&python_hello("shop", "version 1"));
    let broken =
        python_hello("shop", "broken").setting("run_command", "sh -c 'echo these are my last words; exit 3'");
    let failed = platform.deploy(&broken);
    assert_eq!(failed.code(), Some(Code::ContainerExitNonZero), "{failed}");
    for version in ["version 2", "version 3"] {
        platform.deploy_active(&python_hello("shop", version));
    }
    // There is no room for logs of what neither serves nor failed last.
    let mut log = String::new();
    let collected = wait_until(COLLECTED_WITHIN, || {
        log = platform.build_log("shop", first.id());
        !log.contains("build complete")
    });
    assert!(collected, "an old log stays: {log}");
    assert!(
        log.contains("no longer kept"),
        "nobody says why it is gone: {log:?}"
    );
    platform.stop_server();
    platform.start_server();

    let kept = platform
        .json(&["deployments", "get", "shop", failed.id()])
        .expect_success("mainstay deployments get");
    let kept = Deployment { json: kept.json() };
    assert_eq!(kept.code(), failed.code());
    assert_eq!(kept.message(), failed.message());
    assert!(
        !kept.json["reason"]["evidence"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );
    for (kind, words) in [
        ("build", "build complete"),
        ("deploy", "these are my last words"),
        ("run", "these are my last words"),
    ] {
        let log = platform.log("shop", failed.id(), kind);
        assert!(log.contains(words), "the {kind} log of the failure: {log:?}");
    }
    eprintln!("✔ failures stay readable");
}

fn a_deletion_goes_on_after_the_end_of_the_server(platform: &mut Platform) {
    let stubborn = python_hello("shop", "version 4").setting(
        "run_command",
        "sh -c 'trap \"\" TERM; python3 server.py & while true; do sleep 1; done'",
    );
    platform
        .deploy_active(&stubborn.setting("termination", serde_json::json!({ "grace_period_seconds": 8 })));
    platform.delete("shop");
    platform.stop_server();
    let log = platform.server_log();
    assert!(
        !log.contains("closed"),
        "something worked on a closed store:\n{log}"
    );
    platform.start_server();
    platform.delete("pages");
    eprintln!("✔ a deletion goes on after the end of the server");
}

fn nothing_is_left_of_deleted_apps(platform: &Platform, disk: &Disk) {
    let mut left = Vec::new();
    let gone = wait_until(ENDS_WITHIN, || {
        left = disk.remains();
        left.is_empty()
    });
    assert!(
        gone,
        "of deleted apps is left:\n{}\nthe server says:\n{}",
        left.join("\n"),
        platform.server_log()
    );
    eprintln!("✔ nothing is left of deleted apps");
}
