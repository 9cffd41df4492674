//! Databases that the platform runs for an app: data outlives everything but its deletion.

use std::{fs, path::Path, time::Duration};

use mainstay_diagnosis::{Cause, Code};
use mainstay_e2e::{Folder, Platform, python_hello, wait_until};
use serde_json::json;

const RECOVERS_WITHIN: Duration = Duration::from_mins(1);
const GOES_WITHIN: Duration = Duration::from_mins(1);
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

fn volumes(platform: &Platform) -> Vec<std::path::PathBuf> {
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
