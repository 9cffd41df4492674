//! What is secret is in no file, no answer and no command line.

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use mainstay_diagnosis::Code;
use mainstay_e2e::{Answer, Platform, python_hello, run};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Of build and run time.
const API_KEY: &str = "wjalrXUtnFEMIbPxRfiCY-at-all-times";
/// Of a registry.
const REGISTRY_TOKEN: &str = "k7MDENGbPxRfiCYEXAMPLE-of-a-registry";
const SEARCHED_WITHIN: Duration = Duration::from_mins(1);
const UPDATES_WITHIN: Duration = Duration::from_mins(5);

/// A service with the secret and a worker from a registry. The folder itself holds no secret: what a user commits is shown to its build.
fn spec(name: &str, repository: &TempDir) -> Value {
    let folder = python_hello(name, "Hello");
    let mut spec = folder.spec;
    let service = &mut spec["services"][0];
    service["git"] =
        json!({ "repo_clone_url": format!("file://{}", repository.path().display()), "branch": "main" });
    service["envs"] = json!([
        { "key": "API_KEY", "value": API_KEY, "type": "SECRET" },
        { "key": "PLAIN", "value": "seen" },
    ]);
    spec["workers"] = json!([{
        "name": "pulled",
        "image": {
            "registry_type": "DOCKER_HUB",
            "registry": "acme",
            "repository": "sleeper",
            "tag": "1",
            "registry_credentials": format!("me:{REGISTRY_TOKEN}"),
        },
    }]);
    spec
}

fn on_disk(spec: &Value) -> TempDir {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let text = serde_json::to_string_pretty(spec).expect("a value is JSON");
    fs::write(directory.path().join("app.yaml"), text).expect("the temporary directory is writable");
    directory
}

fn file_of(directory: &TempDir) -> String {
    directory.path().join("app.yaml").display().to_string()
}

/// Command lines of this machine that hold a secret.
fn telling_command_lines() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc")
        .expect("it is mounted")
        .filter_map(Result::ok);
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines
        .filter(|line| {
            [API_KEY, REGISTRY_TOKEN]
                .iter()
                .any(|secret| line.contains(secret))
        })
        .filter(|line| !line.starts_with("grep "))
        .collect()
}

/// Files below the directory, newer than another, that hold the text.
fn files_with(text: &str, directory: &Path, newer_than: &str) -> String {
    let mut find = Command::new("find");
    find.arg(directory)
        .args(["-type", "f", "-newer", newer_than])
        .args([
            "-exec",
            "grep",
            "--files-with-matches",
            "--text",
            "--fixed-strings",
        ])
        .args(["-e", text, "{}", "+"])
        .env("LC_ALL", "C");
    let found = run(&mut find, SEARCHED_WITHIN);
    // What was deleted meanwhile is grep's business; a search that was cut off is not.
    assert!(found.status.is_some(), "the search does not end: {found:?}");
    found.stdout
}

pub(crate) fn secrets_are_kept_from_everybody_but_the_app(platform: &mut Platform) {
    let registry = platform.start_registry();
    registry.push_busybox("acme/sleeper:1", &[], r#"["sleep", "86400"]"#);
    let repository = python_hello("vault", "Hello").in_git();
    let first = on_disk(&spec("vault", &repository));

    let created = platform.json(&["apps", "create", "--spec", &file_of(&first)]);
    let created = created.expect_success("mainstay apps create");
    assert!(!created.stdout.contains(API_KEY), "{}", created.stdout);
    let telling = watch_until_it_ends(platform, "vault");
    assert!(
        telling.is_empty(),
        "everybody on the machine could read {telling:?}"
    );
    let deployed = platform.newest_deployment("vault");
    assert_eq!(
        deployed.phase(),
        "ACTIVE",
        "{deployed}\n{}",
        platform.build_log("vault", deployed.id())
    );
    let value = || platform.variable_of("server.py", "API_KEY");
    assert_eq!(value().as_deref(), Some(API_KEY), "the app itself gets it");

    // Downloaded, changed elsewhere, sent again.
    let downloaded = platform.json(&["spec", "get", "vault"]).json();
    let sealed = downloaded["services"][0]["envs"][0]["value"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(sealed.starts_with("EV[1:"), "{downloaded}");
    let mut changed = downloaded.clone();
    changed["services"][0]["envs"][1]["value"] = "changed".into();
    let changed_on_disk = on_disk(&changed);
    let validated = platform.text(&["spec", "validate", &file_of(&changed_on_disk)]);
    let _ = validated.expect_success("mainstay spec validate");
    let updated = update(platform, "vault", &changed, &["--wait"]);
    let _ = updated.expect_success("mainstay apps update");
    assert_eq!(value().as_deref(), Some(API_KEY), "it is kept");

    refusals(platform, &changed, &sealed, &repository);

    // A deployment that fails tells a lot, and not that.
    let mut broken = changed.clone();
    broken["services"][0]["run_command"] = "sh -c 'exit 3'".into();
    let failed = update(platform, "vault", &broken, &["--wait"]);
    assert!(!failed.is_success());
    let failed = platform.newest_deployment("vault");
    assert_eq!(failed.code(), Some(Code::ContainerExitNonZero), "{failed}");
    assert!(!failed.json.to_string().contains(API_KEY), "{failed}");

    let root = platform.data_dir();
    let root = root.parent().expect("it lies below the platform's own");
    assert_ne!(
        files_with("sleeper", root, &file_of(&first)),
        "",
        "the search finds what is there"
    );
    for secret in [API_KEY, REGISTRY_TOKEN] {
        assert_eq!(
            files_with(secret, root, &file_of(&first)),
            "",
            "{secret} is in files"
        );
    }
    platform.delete("vault");
}

/// What it meets on the way.
fn watch_until_it_ends(platform: &Platform, app: &str) -> BTreeSet<String> {
    let mut telling = BTreeSet::new();
    loop {
        let over = ["ACTIVE", "ERROR", "CANCELED"].contains(&platform.newest_deployment(app).phase());
        for _ in 0..10 {
            telling.append(&mut telling_command_lines());
        }
        if over {
            return telling;
        }
    }
}

fn update(platform: &Platform, app: &str, spec: &Value, flags: &[&str]) -> Answer {
    let directory = on_disk(spec);
    let file = file_of(&directory);
    platform.cli(
        &[&["apps", "update", app, "--spec", &file], flags].concat(),
        UPDATES_WITHIN,
    )
}

/// Losses have to be wanted, and a secret is of one app and one server.
fn refusals(platform: &Platform, spec: &Value, sealed: &str, repository: &TempDir) {
    let mut less = spec.clone();
    less["services"][0]["envs"] = json!([{ "key": "API_KEY", "type": "SECRET" }]);
    let refused = update(platform, "vault", &less, &[]);
    assert_eq!(refused.status, Some(2), "{}{}", refused.stdout, refused.stderr);
    for named in ["`API_KEY` would be wiped", "lacks `PLAIN`", "--allow-losses"] {
        assert!(refused.stderr.contains(named), "{named}: {}", refused.stderr);
    }

    let mut tampered = spec.clone();
    let nonce = sealed.strip_prefix("EV[1:").unwrap_or_default();
    let first = if nonce.starts_with('A') { "B" } else { "A" };
    let other = format!("EV[1:{first}{}", &nonce[1..]);
    tampered["services"][0]["envs"][0]["value"] = other.into();
    let refused = update(platform, "vault", &tampered, &[]);
    let told = "services[0].envs[0].value: is no secret of this app on this server";
    assert!(in_one_line(&refused.stderr).contains(told), "{refused:?}");

    let mut stolen = self::spec("thief", repository);
    stolen["services"][0]["envs"][0]["value"] = sealed.into();
    let stolen = on_disk(&stolen);
    let refused = platform.text(&["apps", "create", "--spec", &file_of(&stolen)]);
    let words = "secret env value must not be encrypted before app is created";
    assert!(in_one_line(&refused.stderr).contains(words), "{refused:?}");
}

/// Errors are broken into lines for people.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
