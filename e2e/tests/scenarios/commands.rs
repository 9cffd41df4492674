//! The command line, as somebody types who knows doctl.

use std::{fs, os::unix::fs::PermissionsExt};

use mainstay_e2e::{Folder, Platform, User, python_hello};
use serde_json::{Value, json};

const APP: &str = "typed";

pub(crate) fn apps_answer_to_doctls_commands(platform: &mut Platform) {
    let folder = python_hello(APP, "Hello to doctl");
    let first = platform.deploy_active(&folder);
    lists_show_the_columns_asked_for(platform, first.id());
    objects_are_lists_of_one(platform, first.id());
    logs_can_be_read_without_prefix(platform);
    specs_are_written_as_asked_for(platform, first.id());
    nothing_is_done_for_columns_that_are_not_there(platform);
    servers_are_known_by_name(platform);
    let again = ask(platform, &["apps", "cd", APP, "--wait"]);
    assert_eq!(again["phase"], "ACTIVE", "{again:#}");
    let deployments = ask(platform, &["apps", "list-deployments", APP]);
    assert_eq!(deployments.as_array().map(Vec::len), Some(2), "{deployments:#}");
    components_are_restarted_by_name(platform, folder);
    platform.delete(APP);
}

fn lists_show_the_columns_asked_for(platform: &Platform, deployment: &str) {
    let read = |arguments: &[&str]| {
        let answer = platform.text(arguments).expect_success("a list");
        answer.stdout.trim_end().to_owned()
    };
    let columns = "Spec.Name,ActiveDeployment.ID";
    assert_eq!(
        read(&["apps", "ls", "--format", columns, "--no-header"]),
        format!("{APP}  {deployment}")
    );
    assert_eq!(
        read(&["apps", "get", APP, "--format", "spec.name"]),
        format!("NAME\n{APP}")
    );
    assert_eq!(
        read(&["apps", "list-instances", APP, "--format", "Name,State"]),
        "NAME   STATE\nweb-0  healthy"
    );
}

/// Were a deployment made all the same, the list of them would be longer.
fn nothing_is_done_for_columns_that_are_not_there(platform: &Platform) {
    for arguments in [&["apps", "ls"][..], &["tokens", "list"], &["apps", "cd", APP]] {
        let refused = platform.text(&[arguments, &["--format", "Age"]].concat());
        assert!(
            refused.status == Some(2) && refused.stderr.contains("no column `Age`"),
            "{arguments:?}: {refused:?}"
        );
    }
}

fn objects_are_lists_of_one(platform: &Platform, deployment: &str) {
    let only = |arguments: &[&str]| {
        let answer = ask(platform, arguments);
        let items = answer.as_array().map_or(0, Vec::len);
        assert_eq!(items, 1, "{arguments:?}: {answer:#}");
        answer[0].clone()
    };
    assert_eq!(only(&["apps", "gd", APP, deployment])["id"], deployment);
    let event = only(&["apps", "lse", APP, "--event-type", "deployment"]);
    assert_eq!(event["deployment_id"], deployment);
    let id = event["id"].as_str().expect("an event has an id");
    assert_eq!(only(&["apps", "get-event", APP, id])["id"], id);
    let size = ["apps", "tier", "instance-size", "get", "apps-s-1vcpu-1gb"];
    assert_eq!(only(&size)["cpus"], "1");
    assert_eq!(only(&["apps", "list-regions"])["default"], true);
    assert_eq!(only(&["apps", "tier", "get", "basic"])["name"], "Basic");
    let tiers = ask(platform, &["apps", "tier", "list"]);
    assert_eq!(tiers.as_array().map(Vec::len), Some(2), "{tiers:#}");
    let buildpacks = ask(platform, &["apps", "list-buildpacks"]);
    assert_eq!(buildpacks[0]["id"], "mainstay/node-js", "{buildpacks:#}");
    let upgrade = ["apps", "upgrade-buildpack", APP, "--buildpack"];
    let upgraded = only(&[&upgrade[..], &["mainstay/python"]].concat());
    assert_eq!(upgraded["latest"], true);
    let unknown = platform.json(&[&upgrade[..], &["heroku/python"]].concat());
    assert!(
        !unknown.is_success() && unknown.stdout.contains("mainstay/python"),
        "{unknown:?}"
    );
    assert_eq!(
        ask(platform, &["apps", "list-alerts", APP]),
        Value::Array(Vec::new())
    );
}

fn logs_can_be_read_without_prefix(platform: &Platform) {
    let log = |more: &[&str]| {
        let arguments = [&["apps", "logs", APP, "web", "--type", "build"], more].concat();
        platform.text(&arguments).expect_success("the build's log").stdout
    };
    let (with, without) = (log(&[]), log(&["--no-prefix"]));
    assert!(with.lines().count() > 3, "{with}");
    assert_eq!(with.lines().count(), without.lines().count());
    for (with, without) in with.lines().zip(without.lines()) {
        let text = with.splitn(3, ' ').nth(2).unwrap_or_default();
        assert_eq!(text, without, "{with}");
    }
}

fn specs_are_written_as_asked_for(platform: &Platform, deployment: &str) {
    let get = |more: &[&str]| {
        let arguments = [&["apps", "spec", "get", APP], more].concat();
        platform.text(&arguments).expect_success("the spec").stdout
    };
    assert!(get(&[]).contains("name: typed\n"));
    let json: Value = serde_json::from_str(&get(&["--deployment", deployment, "--format", "json"]))
        .expect("it was asked for as JSON");
    assert_eq!(json["name"], APP);
    let file = tempfile::NamedTempFile::new().expect("the temporary directory is writable");
    fs::write(file.path(), json.to_string()).expect("our own file");
    let path = file.path().display().to_string();
    let proposed = ask(platform, &["apps", "propose", "--spec", &path, "--app", APP]);
    assert_eq!(proposed[0]["spec"]["name"], APP, "{proposed:#}");
}

fn components_are_restarted_by_name(platform: &mut Platform, mut folder: Folder) {
    let work = "echo began; exec sleep infinity";
    folder.spec["workers"] = json!([{ "name": "work", "run_command": work }]);
    platform.deploy_active(&folder);
    let (web, worker) = (instances(platform, "web"), instances(platform, "work"));
    let restart =
        |names: &str| platform.long_json(&["apps", "restart", APP, "--components", names, "--wait"]);
    let refused = restart("web,wob");
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(refused.stdout.contains("there is no \\\"wob\\\""), "{refused:?}");
    assert_eq!(instances(platform, "web"), web);

    let visitors = platform.visitors(APP, 20.0);
    let restarted = restart("web").expect_success("mainstay apps restart").json();
    visitors.stop_unharmed(1);
    assert_eq!(restarted["phase"], "ACTIVE", "{restarted:#}");
    let renewed = instances(platform, "web");
    assert!(renewed.len() == 1 && renewed != web, "{web:?} {renewed:?}");
    assert_eq!(instances(platform, "work"), worker);

    // Another server finds both where they are.
    platform.kill_server();
    platform.start_server();
    assert_eq!(
        (instances(platform, "web"), instances(platform, "work")),
        (renewed, worker)
    );
    let log = platform
        .text(&["logs", APP, "work"])
        .expect_success("the worker's log");
    assert!(log.stdout.contains("began"), "{log:?}");
    platform.expect_page(APP, "/", "Hello to doctl");
}

/// The ids of the component's instances.
fn instances(platform: &Platform, component: &str) -> Vec<Value> {
    let list = ask(platform, &["apps", "instances", APP]);
    let all = list.as_array().cloned().unwrap_or_default();
    let of_component = |instance: &&Value| instance["component_name"] == component;
    all.iter()
        .filter(of_component)
        .map(|instance| instance["instance_id"].clone())
        .collect()
}

/// A port on which nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";

fn servers_are_known_by_name(platform: &Platform) {
    let user = platform.user();
    let url = platform.api_url();
    let token = fs::read_to_string(platform.token_file()).expect("the first token is kept");
    let here = ["login", "--context", "here", "--url", &url];
    let refused = user.types_with(&here, "mst_wrong\n", &[]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("authenticate"), "{refused:?}");
    assert!(!user.contexts_file().exists(), "nothing is kept of a wrong token");

    let kept = user
        .types_with(&here, &token, &[])
        .expect_success("mainstay login");
    assert!(kept.stdout.contains("`here`"), "{kept:?}");
    let mode = fs::metadata(user.contexts_file()).map(|file| file.permissions().mode() & 0o777);
    assert_eq!(mode.expect("it was written"), 0o600);
    let there = [
        "auth",
        "init",
        "--context",
        "there",
        "--url",
        NOBODY,
        "--unchecked",
    ];
    let _ = user
        .types_with(&there, "mst_any", &[])
        .expect_success("mainstay auth init");

    let apps = ["apps", "ls", "--format", "Spec.Name", "--no-header"];
    unreachable(&user, &apps, &[]);
    let named = user.types(&[&["--context", "here"], &apps[..]].concat());
    assert_eq!(
        named.expect_success("apps of a context").stdout,
        format!("{APP}\n")
    );
    let _ = user
        .types(&["auth", "switch", "here"])
        .expect_success("auth switch");
    assert_eq!(
        user.types(&apps).expect_success("apps").stdout,
        format!("{APP}\n")
    );
    unreachable(
        &user,
        &apps,
        &[("MAINSTAY_URL", NOBODY), ("MAINSTAY_TOKEN", "mst_any")],
    );

    let list = user.types(&["auth", "list", "--format", "Name,Current", "--no-header"]);
    assert_eq!(list.expect_success("auth list").stdout, "here   *\nthere\n");
    let _ = user
        .types(&["auth", "remove", "there"])
        .expect_success("auth remove");
    let shown = user
        .types(&["auth", "list", "--output", "json"])
        .expect_success("auth list");
    assert_eq!(shown.json()[0]["name"], "here");
    assert!(
        shown.json()[1].is_null() && !shown.stdout.contains("mst_"),
        "{shown:?}"
    );

    user.writes_contexts("contexts:\n  here:\n    url: [a]\n");
    let told = user.types(&apps);
    assert!(
        told.status == Some(2)
            && told
                .stderr
                .contains("config.yaml, line 3: contexts.here.url: must be text"),
        "{told:?}"
    );
}

fn unreachable(user: &User, arguments: &[&str], variables: &[(&str, &str)]) {
    let answer = user.types_with(arguments, "", variables);
    assert!(
        answer.status == Some(1)
            && answer
                .stderr
                .contains(&format!("could not reach the API at {NOBODY}")),
        "{answer:?}"
    );
}

fn ask(platform: &Platform, arguments: &[&str]) -> Value {
    let answer = platform.long_json(arguments);
    answer.expect_success(&arguments.join(" ")).json()
}
