//! `kill -9` of the server: apps go on, and what was under way ends.

use std::time::Duration;

use mainstay_e2e::{Deployment, Folder, Platform, python_hello, wait_until};
use serde_json::json;

const GETS_THERE_WITHIN: Duration = Duration::from_mins(2);
const ENDS_WITHIN: Duration = Duration::from_mins(3);
const VISITS_PER_SECOND: f64 = 20.0;
const VISITS_MIN: u64 = 5;

pub(crate) fn apps_outlive_a_killed_server(platform: &mut Platform) {
    platform.deploy_active(&python_hello("steady", "still here"));
    let before = platform.instances("steady");
    assert_eq!(before.len(), 1, "{before:?}");
    let visiting = platform.visitors("steady", VISITS_PER_SECOND);
    platform.kill_server();
    platform.expect_page("steady", "/", "still here");
    platform.start_server();
    platform.expect_page("steady", "/", "still here");
    assert_eq!(
        platform.instances("steady"),
        before,
        "the instance was not adopted"
    );
    assert_eq!(platform.newest_deployment("steady").phase(), "ACTIVE");
    visiting.stop_unharmed(VISITS_MIN);
    platform.delete("steady");
}

pub(crate) fn a_build_ends_although_the_server_was_killed(platform: &mut Platform) {
    platform.deploy_active(&python_hello("builder", "version 1"));
    let slow =
        python_hello("builder", "version 2").setting("build_command", "echo building slowly; sleep 10");
    killed_amid(platform, &slow, "BUILDING", |platform, deployment| {
        platform
            .build_log("builder", deployment.id())
            .contains("building slowly")
    });
    platform.expect_page("builder", "/", "version 2");
    platform.delete("builder");
}

pub(crate) fn a_rollout_ends_although_the_server_was_killed(platform: &mut Platform) {
    platform.deploy_active(&python_hello("roller", "version 1"));
    let patient = json!({ "period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 50 });
    let slow = python_hello("roller", "version 2")
        .setting(
            "run_command",
            "sh -c 'echo waking up; sleep 4; exec python3 server.py'",
        )
        .setting("health_check", patient);
    killed_amid(platform, &slow, "DEPLOYING", |platform, deployment| {
        platform
            .log("roller", deployment.id(), "run")
            .contains("waking up")
    });
    platform.expect_page("roller", "/", "version 2");
    platform.delete("roller");
}

/// Deploys, kills the server once the deployment is in `phase` and `there` holds, and starts a new one, which has to end the deployment well.
fn killed_amid(
    platform: &mut Platform,
    folder: &Folder,
    phase: &str,
    there: impl Fn(&Platform, &Deployment) -> bool,
) {
    let app = folder.name();
    let visiting = platform.visitors(app, VISITS_PER_SECOND);
    platform.deploy_without_waiting(folder);
    let mut last = platform.newest_deployment(app);
    let arrived = wait_until(GETS_THERE_WITHIN, || {
        last = platform.newest_deployment(app);
        last.is_final() || (last.phase() == phase && there(platform, &last))
    });
    assert!(arrived && !last.is_final(), "it should be {phase}: {last}");
    platform.kill_server();
    platform.expect_page(app, "/", "version 1");
    platform.start_server();
    let killed = last.id().to_owned();
    wait_until(ENDS_WITHIN, || {
        last = platform.newest_deployment(app);
        last.is_final()
    });
    assert_eq!(last.id(), killed, "another deployment began by itself");
    assert_eq!(last.phase(), "ACTIVE", "killed while {phase}: {last}");
    visiting.stop_unharmed(VISITS_MIN);
}
