//! Databases that the platform runs for an app: data outlives everything but its deletion.

use std::{fs, path::Path, time::Duration};

use mainstay_diagnosis::{Cause, Code};
use mainstay_e2e::{Deployment, Folder, Platform, python_hello, wait_until};
use serde_json::json;

const RECOVERS_WITHIN: Duration = Duration::from_mins(1);
const GOES_WITHIN: Duration = Duration::from_mins(1);
/// A build, a start, and the restarts of an instance that fails.
const STARTS_WITHIN: Duration = Duration::from_mins(4);
/// As the database's server is called inside its instance.
const SERVER: &str = "/usr/lib/postgresql/";

pub(crate) fn a_database_keeps_its_data(platform: &mut Platform) {
    const APP: &str = "guestbook";
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guestbook");
    let first = platform.deploy_directory(&example);
    assert_eq!(first.phase(), "ACTIVE", "{first}");
    sign(platform, APP, "before");
    let again = platform.deploy_directory(&example);
    assert_eq!(again.phase(), "ACTIVE", "{again}");
    platform.expect_page(APP, "/", "before");
    nobody_sees_the_password(platform, APP);

    platform.kill_server();
    platform.expect_page(APP, "/", "before");
    platform.start_server();
    platform.expect_page(APP, "/", "before");

    platform.kill_apps(SERVER);
    expect_recovery(platform, APP, "before");
    sign(platform, APP, "between");

    platform.kill_server();
    platform.kill_shims_of(SERVER);
    platform.start_server();
    expect_recovery(platform, APP, "between");
    sign(platform, APP, "after");
    for entry in ["before", "between", "after"] {
        platform.expect_page(APP, "/", &format!("<li>{entry}</li>"));
    }
    deletion_has_to_be_confirmed(platform, APP);
}

fn sign(platform: &Platform, app: &str, entry: &str) {
    let page = platform.post(app, "/entries", &format!("text={entry}"));
    let page = page.unwrap_or_else(|error| panic!("{app} does not take an entry: {error}"));
    assert_eq!(page.status, 303, "{}", page.text);
}

fn expect_recovery(platform: &Platform, app: &str, words: &str) {
    let answers = || {
        platform
            .get(app, "/")
            .is_ok_and(|page| page.status == 200 && page.text.contains(words))
    };
    assert!(
        wait_until(RECOVERS_WITHIN, answers),
        "the database did not come back: {:?}\n{}",
        platform.get(app, "/"),
        platform.server_log()
    );
}

/// It is in the app's environment, and nowhere else where anybody looks.
fn nobody_sees_the_password(platform: &Platform, app: &str) {
    let url = platform
        .variable_of("gunicorn", "DATABASE_URL")
        .expect("the app has the URL");
    let password = url.split(':').nth(2).and_then(|rest| rest.split('@').next());
    let password = password.expect("the URL has a password");
    assert!(password.len() >= 32, "it is too short");
    let told = platform.commands_with(password);
    assert!(told.is_empty(), "command lines hold the password: {told:?}");
    assert!(
        !platform.server_log().contains(password),
        "the server's log holds the password"
    );
    let shown = platform.json(&["apps", "get", app]);
    assert!(!shown.stdout.contains(password), "the API shows the password");
}

fn deletion_has_to_be_confirmed(platform: &Platform, app: &str) {
    let refused = platform.text(&["apps", "delete", app, "--force"]);
    assert!(
        !refused.is_success()
            && refused.stderr.contains("`db`")
            && refused.stderr.contains("--delete-databases"),
        "the deletion should have been refused: {}",
        refused.stderr
    );
    platform.expect_page(app, "/", "after");
    platform.delete(app);
    let volumes = || volumes(platform);
    assert!(
        wait_until(GOES_WITHIN, || volumes().is_empty()),
        "volumes are left: {:?}",
        volumes()
    );
}

/// The volumes of all databases that the platform runs.
pub(crate) fn volumes(platform: &Platform) -> Vec<std::path::PathBuf> {
    let directories = fs::read_dir(platform.data_dir().join("databases"));
    let images = directories
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("volume.img"));
    images.filter(|image| image.exists()).collect()
}

fn with_database(app: &str, greeting: &str) -> Folder {
    let mut folder = python_hello(app, greeting);
    folder.spec["databases"] = json!([{ "name": "db", "engine": "PG" }]);
    folder
}

pub(crate) fn a_lost_volume_is_not_replaced_by_an_empty_one(platform: &mut Platform) {
    const APP: &str = "loser";
    platform.deploy_active(&with_database(APP, "version 1"));
    let volume = volumes(platform).pop().expect("the database has a volume");
    let elsewhere = volume.with_extension("moved");
    fs::rename(&volume, &elsewhere).expect("our own file");
    platform.kill_apps(SERVER);
    assert!(
        wait_until(RECOVERS_WITHIN, || platform
            .server_log()
            .contains("its volume is missing")),
        "{}",
        platform.server_log()
    );
    let failed = platform.deploy(&with_database(APP, "version 2"));
    assert_eq!(
        (failed.code(), failed.cause()),
        (Some(Code::DatabaseNotAvailable), Some(Cause::DatabaseVolumeLost)),
        "{failed}"
    );
    platform.expect_page(APP, "/", "version 1");
    assert!(!volume.exists(), "an empty volume took its place");
    fs::rename(&elsewhere, &volume).expect("our own file");
    let mut last = None;
    let healed = wait_until(RECOVERS_WITHIN, || {
        let deployment = platform.deploy(&with_database(APP, "version 3"));
        let active = deployment.phase() == "ACTIVE";
        last = Some(deployment);
        active
    });
    assert!(healed, "{last:?}");
    platform.delete(APP);
}

/// Connects at its start, says so, and takes its time until it listens; without its database it ends.
const SLOW_STARTER: &str = r#"import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg

connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
print("connected: GREETING", flush=True)
for _ in range(30):
    connection.execute("SELECT 1")
    time.sleep(0.1)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"GREETING\n")


ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"#;

fn slow_starter(app: &str, greeting: &str) -> Folder {
    let patient = json!({ "period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 50 });
    with_database(app, greeting)
        .with("requirements.txt", "psycopg[binary]==3.2.3\n")
        .with("server.py", &SLOW_STARTER.replace("GREETING", greeting))
        .setting("health_check", patient)
}

/// Once, and the deployment gets over it; again and again, and the deployment ends with what its database did.
pub(crate) fn a_database_killed_in_mid_deploy_is_what_the_failure_is_put_to(platform: &mut Platform) {
    const APP: &str = "starter";
    platform.deploy_active(&slow_starter(APP, "version 1"));

    platform.deploy_without_waiting(&slow_starter(APP, "version 2"));
    await_start(platform, APP, "version 2");
    platform.kill_apps(SERVER);
    let ended = await_end(platform, APP, &|| {});
    assert_eq!(ended.phase(), "ACTIVE", "{ended}");
    platform.expect_page(APP, "/", "version 2");

    platform.deploy_without_waiting(&slow_starter(APP, "version 3"));
    await_start(platform, APP, "version 3");
    let failed = await_end(platform, APP, &|| platform.kill_apps(SERVER));
    assert_eq!(
        (failed.code(), failed.cause()),
        (Some(Code::DatabaseNotAvailable), Some(Cause::DatabaseServerEnded)),
        "{failed}"
    );
    platform.expect_page(APP, "/", "version 2");
    let healed = platform.deploy(&slow_starter(APP, "version 4"));
    assert_eq!(healed.phase(), "ACTIVE", "{healed}");
    platform.delete(APP);
}

/// Waits until an instance of that version had its database.
fn await_start(platform: &Platform, app: &str, greeting: &str) {
    let words = format!("connected: {greeting}");
    let says = || {
        let deployment = platform.newest_deployment(app);
        platform.log(app, deployment.id(), "run").contains(&words)
    };
    assert!(
        wait_until(STARTS_WITHIN, says),
        "{}\n{}",
        platform.newest_deployment(app),
        platform.server_log()
    );
}

/// The newest deployment once it is over; `meanwhile` is done at each look.
fn await_end(platform: &Platform, app: &str, meanwhile: &dyn Fn()) -> Deployment {
    let mut deployment = platform.newest_deployment(app);
    let ended = wait_until(STARTS_WITHIN, || {
        meanwhile();
        deployment = platform.newest_deployment(app);
        deployment.is_final()
    });
    assert!(ended, "{deployment}");
    deployment
}

pub(crate) fn a_database_that_no_spec_names_is_deleted_alone(platform: &mut Platform) {
    const APP: &str = "mover";
    platform.deploy_active(&with_database(APP, "version 1"));
    let log = platform.text(&["databases", "logs", "db", "--app", APP]);
    assert!(
        log.stdout.contains("ready to accept connections"),
        "{}\n{}",
        log.stdout,
        log.stderr
    );
    let delete = |more: &[&str]| {
        let command = ["databases", "delete", "db", "--app", APP];
        platform.text(&[&command[..], more].concat())
    };
    let in_use = delete(&["--delete-data"]);
    assert!(
        !in_use.is_success() && in_use.stderr.contains("deploy one without it"),
        "{}",
        in_use.stderr
    );
    platform.deploy_active(&python_hello(APP, "version 2"));
    let state = || {
        let answer = platform.json(&["databases", "list", "--app", APP]);
        let listed: serde_json::Value = serde_json::from_str(&answer.stdout).expect("a list");
        let database = &listed[0];
        (
            database["state"].as_str().unwrap_or_default().to_owned(),
            database["is_in_use"].as_bool().unwrap_or_default(),
        )
    };
    assert!(
        wait_until(GOES_WITHIN, || state() == ("stopped".to_owned(), false)),
        "{:?}",
        state()
    );
    let unconfirmed = delete(&[]);
    assert!(
        !unconfirmed.is_success() && unconfirmed.stderr.contains("--delete-data"),
        "{}",
        unconfirmed.stderr
    );
    assert_eq!(volumes(platform).len(), 1);
    let _ = delete(&["--delete-data"]).expect_success("mainstay databases delete");
    assert_eq!(volumes(platform), Vec::<std::path::PathBuf>::new());
    platform.expect_page(APP, "/", "version 2");
    platform.delete(APP);
}
