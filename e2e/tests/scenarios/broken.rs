//! Broken versions end with the right code, cause and evidence, and harm nobody; healthy ones are believed.

use mainstay_diagnosis::Code;
use mainstay_e2e::{Deployment, Platform, faults, flask_hello, python_hello};
use serde_json::{Value, json};

/// `MAINSTAY_FAULTS=exit,H3` runs those with such a name or class alone.
pub(crate) fn faults_are_explained_while_the_version_before_serves(platform: &mut Platform) {
    let wanted = std::env::var("MAINSTAY_FAULTS").unwrap_or_default();
    let filters: Vec<String> = wanted
        .split(',')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let chosen = faults::chosen(&filters);
    eprintln!("{}", faults::heading());
    let outcomes = faults::run(platform, &chosen, &|outcome| {
        eprintln!("{}", faults::line(outcome));
    });
    eprintln!("{}", faults::summary(&outcomes));
    let wrong: Vec<String> = outcomes
        .iter()
        .filter(|outcome| !outcome.differences.is_empty())
        .map(faults::line)
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} faults:\n{}",
        wrong.len(),
        outcomes.len(),
        wrong.join("\n")
    );
    assert_eq!(
        platform.errors(),
        Vec::<String>::new(),
        "nothing went wrong but the apps"
    );
}

/// Builds of an app wait for each other; those that still wait when one failed end without a word.
pub(crate) fn a_failed_build_calls_off_those_that_wait(platform: &mut Platform) {
    let mut folder = flask_hello("several", "never seen").setting("build_command", "exit 7");
    let first = folder.spec["services"][0].clone();
    for name in ["second", "third"] {
        let mut service = first.clone();
        service["name"] = name.into();
        let services = folder.spec["services"].as_array_mut().expect("a list");
        services.push(service);
    }
    folder.spec["ingress"] = json!({ "rules": [
        { "match": { "path": { "prefix": "/" } }, "component": { "name": "web" } },
    ] });
    let deployment = platform.deploy(&folder);
    assert_eq!(deployment.code(), Some(Code::BuildJobExitNonZero), "{deployment}");
    platform.delete("several");
    assert_eq!(
        platform.errors(),
        Vec::<String>::new(),
        "nothing went wrong but the app"
    );
}

/// What a failure left to be read is there as it was: over a rollback, two more deployments and a restart of the server.
pub(crate) fn a_failure_stays_readable_over_a_rollback(platform: &mut Platform) {
    const APP: &str = "kept";
    let first = platform.deploy_active(&python_hello(APP, "the first"));
    let second = platform.deploy_active(&python_hello(APP, "the second"));
    let last_words = "python3 -c \"print('these are my last words'); raise SystemExit(3)\"";
    let broken = platform.deploy(&python_hello(APP, "never seen").setting("run_command", last_words));
    assert_eq!(broken.code(), Some(Code::ContainerExitNonZero), "{broken}");
    let compared = &evidence(&broken, "changes")["since"];
    assert_eq!(compared, second.id(), "it says with what it compares");

    let before = Readable::of(platform, APP, &broken);
    assert!(before.card.contains(second.id()), "{}", before.card);
    assert!(
        before
            .logs
            .iter()
            .any(|log| log.contains("these are my last words"))
    );
    let rolled_back = platform.long_json(&["apps", "rollback", APP, first.id(), "--wait"]);
    let _ = rolled_back.expect_success("mainstay apps rollback");
    platform.expect_page(APP, "/", "the first");
    let _ = platform
        .json(&["apps", "commit-rollback", APP])
        .expect_success("commit-rollback");
    platform.deploy_active(&python_hello(APP, "the third"));
    platform.deploy_active(&python_hello(APP, "the fourth"));
    platform.stop_server();
    platform.start_server();
    assert_eq!(before, Readable::of(platform, APP, &broken));
    platform.delete(APP);
}

/// All that a user can read of a deployment that failed.
#[derive(Debug, PartialEq)]
struct Readable {
    reason: Value,
    card: String,
    logs: [String; 3],
}

impl Readable {
    fn of(platform: &Platform, app: &str, deployment: &Deployment) -> Self {
        let id = deployment.id();
        let get = ["deployments", "get", app, id];
        let answer = platform.json(&get).expect_success("mainstay deployments get");
        Self {
            reason: answer.json()["reason"].clone(),
            card: platform.text(&get).stdout,
            logs: ["build", "deploy", "run"].map(|kind| platform.log(app, id, kind)),
        }
    }
}

/// The piece of evidence of this kind; null where there is none.
fn evidence(deployment: &Deployment, kind: &str) -> Value {
    let pieces = deployment.reason()["evidence"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let piece = pieces.into_iter().find(|piece| piece["type"] == kind);
    piece.unwrap_or_default()
}
