//! Broken versions end with the right code, cause and evidence, and harm nobody.

use mainstay_diagnosis::Code;
use mainstay_e2e::{
    Platform,
    faults::{FAULTS, check, healthy},
};
use serde_json::json;

const APP: &str = "shop";
const GREETING: &str = "the version before";
const VISITS_PER_SECOND: f64 = 10.0;

pub(crate) fn faults_are_explained_while_the_version_before_serves(platform: &mut Platform) {
    platform.deploy_active(&healthy(APP, GREETING));
    platform.expect_page(APP, "/", GREETING);
    let visiting = platform.visitors(APP, VISITS_PER_SECOND);
    let mut wrong = Vec::new();
    for fault in FAULTS {
        let outcome = check(platform, fault, APP, GREETING);
        eprintln!("  {}: {outcome}", fault.name);
        if !outcome.differences.is_empty() {
            wrong.push(format!("{}: {outcome}", fault.name));
        }
    }
    let report = visiting.stop();
    if report.failed() > 0 {
        wrong.push(format!(
            "of {} visits failed {:?}",
            report.requests, report.failures
        ));
    }
    platform.delete(APP);
    assert!(
        wrong.is_empty(),
        "{} of {} faults:\n{}",
        wrong.len(),
        FAULTS.len(),
        wrong.join("\n")
    );
}

/// Builds of an app wait for each other; those that still wait when one failed end without a word.
pub(crate) fn a_failed_build_calls_off_those_that_wait(platform: &mut Platform) {
    let mut folder = healthy("several", "never seen").setting("build_command", "exit 7");
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
