//! Broken versions end with the right code, cause and evidence, and harm nobody; healthy ones are believed.

use mainstay_diagnosis::Code;
use mainstay_e2e::{Platform, faults, flask_hello};
use serde_json::json;

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
