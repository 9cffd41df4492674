//! What an account may take in all: each limit met once. What a spec asks for too much of is refused with its code and the numbers, and nothing is
//! created; builds wait for their turn; logs give way.

use std::{fs, time::Duration};

use mainstay_diagnosis::{Cause, Code};
use mainstay_e2e::{Folder, Platform, wait_until};
use serde_json::{Value, json};

const APP: &str = "greedy";
/// No spec asks for what it takes.
const SITE: &str = "patient";
const SETTLES_WITHIN: Duration = Duration::from_mins(1);
/// The operator's own.
const ACCOUNT: &str = "operators";

/// It takes some of everything: two instances of half a gigabyte and a core each among it.
fn spec() -> Value {
    json!({
        "name": APP,
        "services": [{
            "name": "web",
            "image": { "registry_type": "DOCKER_HUB", "registry": "library", "repository": "busybox" },
            "instance_count": 2,
            "instance_size_slug": "apps-s-1vcpu-0.5gb",
        }],
        "static_sites": [{ "name": "pages", "git": { "repo_clone_url": "https://git.example/pages.git" } }],
        "domains": [{ "domain": "greedy.example" }],
        "databases": [{ "name": "db", "engine": "PG" }],
    })
}

pub(crate) fn each_limit_of_an_account_is_met(platform: &mut Platform) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("app.json");
    fs::write(&file, spec().to_string()).expect("our own file");
    let file = file.display().to_string();
    for (resource, asked) in [
        ("apps", 1_u64),
        ("components", 3),
        ("instances", 2),
        ("memory", 2 * 512 * 1024 * 1024),
        ("cpu", 2000),
        ("static sites", 1),
        ("domains", 1),
        ("databases", 1),
    ] {
        set_limit(platform, resource, "0");
        let refused = platform.json(&["apps", "create", "--spec", &file]);
        set_limit(platform, resource, "default");
        assert!(!refused.is_success(), "{resource}: {}", refused.stdout);
        let reason = refused.json()["error"]["reason"].clone();
        let (code, cause) = match resource {
            "databases" => (Code::DatabaseLimitExceeded, Cause::DatabaseQuota),
            _ => (Code::ResourceExhausted, Cause::AccountQuota),
        };
        assert_eq!(
            (&reason["code"], &reason["cause"]),
            (&code.as_str().into(), &cause.as_str().into()),
            "{resource}: {reason}"
        );
        let quota = &reason["evidence"][0];
        let numbers = (quota["asked"].as_u64(), quota["limit"].as_u64());
        assert_eq!(numbers, (Some(asked), Some(0)), "{resource}: {reason}");
        assert!(
            !platform.json(&["apps", "get", APP]).is_success(),
            "{resource}: it was created"
        );
    }
}

pub(crate) fn builds_and_logs_of_an_account_are_limited(platform: &mut Platform) {
    let site = Folder::static_site(SITE).with("index.html", "Hello\n");
    set_limit(platform, "active builds", "0");
    platform.deploy_without_waiting(&site);
    let waiting = || {
        let leaves = platform.newest_deployment(SITE).leaves();
        leaves
            .into_iter()
            .find(|leaf| leaf.code() == Some(Code::BuildRateLimit))
    };
    assert!(
        wait_until(SETTLES_WITHIN, || waiting().is_some()),
        "{}",
        platform.newest_deployment(SITE)
    );
    let position = waiting().expect("just seen").json["reason"]["evidence"][0].clone();
    assert_eq!(
        (&position["scope"], &position["limit"]),
        (&"account".into(), &0.into()),
        "{position}"
    );
    set_limit(platform, "active builds", "default");
    let is_over = || platform.newest_deployment(SITE).is_final();
    assert!(wait_until(SETTLES_WITHIN, is_over), "the build still waits");
    assert_eq!(platform.newest_deployment(SITE).phase(), "ACTIVE");

    let mut broken = site;
    broken.spec["static_sites"][0]["build_command"] = "echo build it && exit 7".into();
    let older = platform.deploy(&broken);
    let newest = platform.deploy(&broken);
    let has_log = |id: &str| platform.build_log(SITE, id).contains("build it");
    assert!(has_log(older.id()) && has_log(newest.id()));
    set_limit(platform, "log bytes", "0");
    assert!(
        wait_until(SETTLES_WITHIN, || !has_log(older.id())),
        "the log of a failure that is not the newest stays"
    );
    set_limit(platform, "log bytes", "default");
    assert!(
        has_log(newest.id()),
        "the newest failure is explained in any case"
    );
    platform.delete(SITE);
}

fn set_limit(platform: &Platform, resource: &str, amount: &str) {
    let limit = format!("{resource}={amount}");
    let _ = platform
        .json(&["accounts", "set-limits", ACCOUNT, &limit])
        .expect_success("mainstay accounts set-limits");
}
