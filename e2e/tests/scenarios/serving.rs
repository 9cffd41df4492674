//! What happens to instances while their deployment serves: it is told, kept in order, and heals by itself.

use std::time::Duration;

use mainstay_diagnosis::Cause;
use mainstay_e2e::{Folder, Platform, wait_until};
use serde_json::{Value, json};

/// A restart after three ends waits four seconds; the machine may be busy.
const HEALS_WITHIN: Duration = Duration::from_mins(1);

/// Answers, and does what it is asked to do to itself.
const SERVER: &str = r#"import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

hung = False


def stop(*_):
    if not hung:
        os._exit(0)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        global hung
        if self.path == "/die":
            print("these are my last words", flush=True)
            os._exit(3)
        if self.path == "/eat":
            chunks = []
            while True:
                chunks.append(bytearray(16 * 1024 * 1024))
        if self.path == "/hang":
            hung = True
        status = 503 if hung and self.path == "/alive" else 200
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"alive and well\n")


signal.signal(signal.SIGTERM, stop)
print("listening", flush=True)
ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"#;

fn app(name: &str) -> Folder {
    // A busy machine may need long to start an interpreter; none of these is about that.
    let patient = json!({ "period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 50 });
    Folder::service(name)
        .setting("health_check", patient)
        .with("requirements.txt", "")
        .with("Procfile", "web: exec python3 server.py\n")
        .with("server.py", SERVER)
}

/// What is wrong with the component, as the app's JSON tells it; null while nothing was.
fn run_reason(platform: &Platform, app: &str) -> Value {
    let answer = platform
        .json(&["apps", "get", app])
        .expect_success("mainstay apps get");
    answer.json()[0]["active_deployment"]["run_reasons"][0].clone()
}

fn events(platform: &Platform, app: &str) -> Vec<Value> {
    let answer = platform
        .json(&["apps", "events", app])
        .expect_success("mainstay apps events");
    answer.json().as_array().cloned().unwrap_or_default()
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["type"] == kind).count()
}

/// Does it to the app, waits until the trouble is known and until it has healed; the reason while it lasted.
fn harm(platform: &Platform, app: &str, path: &str) -> Value {
    // The connection may break off with the instance.
    let _ = platform.get(app, path);
    let mut trouble = Value::Null;
    let known = wait_until(HEALS_WITHIN, || {
        trouble = run_reason(platform, app);
        trouble["code"].is_string() && trouble["resolved_at"].is_null()
    });
    assert!(known, "nobody says what is wrong after {path}: {trouble}");
    heals(platform, app);
    trouble
}

fn heals(platform: &Platform, app: &str) {
    let mut reason = Value::Null;
    let healed = wait_until(HEALS_WITHIN, || {
        reason = run_reason(platform, app);
        reason["resolved_at"].is_string() && platform.get(app, "/").is_ok_and(|page| page.status == 200)
    });
    assert!(healed, "it did not heal: {reason}");
}

pub(crate) fn a_crash_after_success_is_explained_and_heals(platform: &mut Platform) {
    const APP: &str = "crasher";
    let deployed = platform.deploy_active(&app(APP));
    let first = harm(platform, APP, "/die");
    assert_eq!(first["code"], "ContainerExitNonZero", "{first}");
    assert!(
        first["message"]
            .as_str()
            .is_some_and(|text| text.contains("code 3")),
        "{first}"
    );
    harm(platform, APP, "/die");
    let third = harm(platform, APP, "/die");
    // It is one trouble, told from its beginning.
    assert_eq!(third["observed_at"], first["observed_at"], "{third}");

    assert_eq!(platform.newest_deployment(APP).phase(), "ACTIVE");
    let events = events(platform, APP);
    let counts = ["EXITED", "RESTARTING", "STARTED"].map(|kind| count(&events, kind));
    assert_eq!(counts, [3, 3, 4], "{events:#?}");
    assert!(
        events
            .iter()
            .filter(|event| event["type"] == "EXITED")
            .all(|event| event["exit_code"] == 3 && event["reason_code"] == "ContainerExitNonZero"),
        "{events:#?}"
    );
    let before = platform.log(APP, deployed.id(), "run_restarted");
    assert!(before.contains("these are my last words"), "{before}");
    lines_stand_in_order(&platform.text(&["logs", APP]).stdout);
    platform.delete(APP);
}

/// Platform lines and the app's own, by time.
fn lines_stand_in_order(log: &str) {
    let order = [
        "starting instance web-0",
        "is ready",
        "exited with code 3",
        "web-0 is restarted in 4 s",
        "starting instance web-0",
        "listening",
        "is ready again",
    ];
    let mut lines = log.lines();
    for wanted in order {
        assert!(
            lines.any(|line| line.contains(wanted)),
            "{wanted:?} is missing or not in its place:\n{log}"
        );
    }
    // Without the zone, a shorter fraction sorts before a longer one.
    let times = log
        .lines()
        .filter_map(|line| line.split(' ').nth(1)?.strip_suffix('Z'));
    let times: Vec<&str> = times.collect();
    assert!(times.is_sorted(), "{log}");
}

pub(crate) fn a_memory_kill_after_success_keeps_its_cause_over_a_restart_of_the_server(
    platform: &mut Platform,
) {
    const APP: &str = "eater";
    platform.deploy_active(&app(APP));
    let killed = harm(platform, APP, "/eat");
    assert_eq!(killed["code"], "ContainerOutOfMemory", "{killed}");
    platform.stop_server();
    platform.start_server();
    heals(platform, APP);
    // The same once more is the same trouble, told from its beginning.
    let again = harm(platform, APP, "/eat");
    assert_eq!(again["code"], "ContainerOutOfMemory", "{again}");
    assert_eq!(again["observed_at"], killed["observed_at"], "{again}");
    // An end that no server saw is explained by the next one, as a trouble of its own.
    platform.stop_server();
    platform.kill_apps("python3 server.py");
    platform.start_server();
    let explained = wait_until(HEALS_WITHIN, || {
        run_reason(platform, APP)["cause"] == "killed_by_unknown"
    });
    assert!(explained, "{}", run_reason(platform, APP));
    heals(platform, APP);
    assert_eq!(count(&events(platform, APP), "EXITED"), 3);
    let card = platform.text(&["explain", APP]).stdout;
    assert!(card.contains("is active"), "it has healed: {card}");
    platform.delete(APP);
}

pub(crate) fn a_failed_liveness_check_is_not_taken_for_a_memory_kill(platform: &mut Platform) {
    const APP: &str = "sleeper";
    let liveness = json!({
        "http_path": "/alive", "period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 2,
    });
    let folder = app(APP)
        .setting("liveness_health_check", liveness)
        .setting("termination", json!({ "grace_period_seconds": 1 }));
    platform.deploy_active(&folder);
    let ended = harm(platform, APP, "/hang");
    assert_eq!(ended["code"], "ContainerHealthChecksFailed", "{ended}");
    let message = ended["message"].as_str().unwrap_or_default();
    for words in [
        "503",
        "Mainstay then ended it",
        "exit code 137",
        "not out of memory",
    ] {
        assert!(message.contains(words), "{words:?} is missing in {message:?}");
    }
    let events = events(platform, APP);
    assert_eq!(count(&events, "LIVENESS_FAILED"), 1, "{events:#?}");
    let exits: Vec<&Value> = events.iter().filter(|event| event["type"] == "EXITED").collect();
    assert_eq!(exits[0]["exit_code"], 137, "{events:#?}");
    platform.delete(APP);
}

/// What was starting in the moment of the cancellation is stopped as well.
pub(crate) fn nothing_runs_on_after_a_canceled_start(platform: &mut Platform) {
    const APP: &str = "crowd";
    let silent = app(APP)
        .setting("instance_count", 8)
        .setting("instance_size_slug", "apps-s-1vcpu-1gb")
        .setting("run_command", "sleep 4242");
    platform.deploy_without_waiting(&silent);
    let starting = wait_until(Duration::from_mins(5), || {
        platform.newest_deployment(APP).phase() == "DEPLOYING"
    });
    assert!(starting, "{}", platform.newest_deployment(APP));
    let id = platform.newest_deployment(APP).id().to_owned();
    let _ = platform
        .json(&["deployments", "cancel", APP, &id])
        .expect_success("mainstay deployments cancel");
    let mut left = Vec::new();
    let gone = wait_until(Duration::from_secs(30), || {
        left = platform.commands_with("sleep 4242");
        left.is_empty()
    });
    assert!(gone, "it runs on: {left:#?}");
    platform.delete(APP);
}

/// Ends without a word when it misses what it was given before, or cannot reach what it was told to.
const SILENT_START: &str = r#"import os
import runpy
import socket
import sys

if "TOKEN" not in os.environ:
    sys.exit(1)
if "DATABASE_URL" in os.environ:
    try:
        socket.create_connection(("127.0.0.1", 5432))
    except OSError:
        sys.exit(1)
runpy.run_path("server.py")
"#;

pub(crate) fn what_the_log_does_not_say_is_seen(platform: &mut Platform) {
    const APP: &str = "silent";
    let silent = app(APP)
        .with("start.py", SILENT_START)
        .with("Procfile", "web: exec python3 start.py\n");
    let token = json!({ "key": "TOKEN", "value": "hunter2" });
    platform.deploy_active(&silent.clone().setting("envs", json!([token])));

    let url = json!({ "key": "DATABASE_URL", "value": "postgres://127.0.0.1/shop" });
    let refused = platform.deploy(&silent.clone().setting("envs", json!([token, url])));
    assert_eq!(refused.cause(), Some(Cause::DatabaseRefused), "{refused}");
    assert!(refused.message().contains("127.0.0.1:5432"), "{refused}");

    let removed = platform.deploy(&silent);
    assert_eq!(removed.cause(), Some(Cause::ConfigurationRemoved), "{removed}");
    assert!(removed.message().contains("TOKEN"), "{removed}");
    assert!(!removed.json.to_string().contains("hunter2"), "a secret is shown");

    // Either way of asking shows the card.
    for topic in [APP, removed.id()] {
        let card = platform
            .text(&["explain", topic])
            .expect_success("mainstay explain");
        assert!(card.stdout.contains("configuration_removed"), "{}", card.stdout);
    }
    platform.delete(APP);
}
