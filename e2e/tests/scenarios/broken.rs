//! Broken versions end with the right code, cause and evidence, and harm nobody.

use mainstay_e2e::{
    Platform,
    faults::{FAULTS, check, healthy},
};

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
