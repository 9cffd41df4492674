//! Jobs around a deployment and by hand, in a real app.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mainstay_diagnosis::{Cause, Code};
use mainstay_e2e::{Deployment, Folder, Platform, python_hello, wait_until};
use serde_json::{Value, json};

const APP: &str = "chores";
const GETS_THERE_WITHIN: Duration = Duration::from_mins(3);
const ENDS_WITHIN: Duration = Duration::from_mins(3);

/// Says its name, does what it is told, and looks at its own app.
const JOB: &str = r#"import sys
import time
import urllib.request

name, behaviour = sys.argv[1:3]
print(f"job {name} began", flush=True)
if behaviour == "look":
    page = urllib.request.urlopen("http://web/", timeout=5).read().decode().strip()
    print(f"job {name} sees {page!r}", flush=True)
if behaviour == "slow":
    time.sleep(8)
if behaviour == "hang":
    time.sleep(600)
print(f"job {name} ended", flush=True)
sys.exit(int(behaviour) if behaviour.isdigit() else 0)
"#;

fn job(name: &str, kind: &str, behaviour: &str) -> Value {
    json!({ "name": name, "kind": kind, "run_command": format!("python3 job.py {name} {behaviour}") })
}

/// A web service with these jobs.
fn chores(greeting: &str, jobs: Vec<Value>) -> Folder {
    let mut folder = python_hello(APP, greeting).with("job.py", JOB);
    folder.spec["jobs"] = jobs.into();
    folder
}

fn all_kinds(greeting: &str, migrate: &str, announce: &str) -> Folder {
    let jobs = vec![
        job("migrate", "PRE_DEPLOY", migrate),
        job("announce", "POST_DEPLOY", announce),
        job("report", "FAILED_DEPLOY", "well"),
    ];
    chores(greeting, jobs)
}

/// Job → phase of its runs in the deployment.
fn runs(platform: &Platform, deployment: &Deployment) -> Vec<(String, String)> {
    let answer = platform
        .json(&["jobs", "list", APP, "--deployment", deployment.id()])
        .expect_success("mainstay jobs list");
    let text = |run: &Value, field: &str| run[field].as_str().unwrap_or_default().to_owned();
    let json = answer.json();
    let runs = json.as_array().into_iter().flatten();
    let mut runs: Vec<_> = runs
        .map(|run| (text(run, "job_name"), text(run, "phase")))
        .collect();
    runs.sort();
    runs
}

fn steps(deployment: &Deployment, count: &str) -> u64 {
    deployment.json["progress"][count].as_u64().unwrap_or(0)
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(job, phase): &(&str, &str)| ((*job).to_owned(), (*phase).to_owned());
    expected.iter().map(owned).collect()
}

pub(crate) fn jobs_run_around_a_deployment(platform: &mut Platform) {
    let good = platform.deploy_active(&all_kinds("version 1", "well", "look"));
    assert_eq!(
        runs(platform, &good),
        pairs(&[("announce", "SUCCEEDED"), ("migrate", "SUCCEEDED")])
    );
    let log = platform.log(APP, good.id(), "deploy");
    assert!(log.contains("job announce sees 'version 1'"), "{log}");
    assert!(!log.contains("job report"), "nothing failed:\n{log}");
    assert_eq!(
        steps(&good, "success_steps"),
        steps(&good, "total_steps"),
        "clients wait for this"
    );

    let bad = platform.deploy(&all_kinds("version 2", "3", "look"));
    assert_eq!(bad.phase(), "ERROR");
    assert_eq!(
        (bad.code(), bad.cause()),
        (Some(Code::ContainerExitNonZero), Some(Cause::ExitedWithError)),
        "{bad}"
    );
    for words in ["migrate", "exited with code 3", "`web` was not started"] {
        assert!(bad.message().contains(words), "{words:?} is missing: {bad}");
    }
    expect_runs(platform, &bad, &[("migrate", "FAILED"), ("report", "SUCCEEDED")]);
    let log = platform.log(APP, bad.id(), "deploy");
    assert!(
        log.contains("job report ended") && !log.contains("job announce"),
        "{log}"
    );
    platform.expect_page(APP, "/", "version 1");

    taken_back_after_post_deploy(platform);
    by_hand(platform);
    platform.delete(APP);
    assert_eq!(platform.errors(), Vec::<String>::new());
}

/// FAILED_DEPLOY jobs run when the failure is known already.
fn expect_runs(platform: &Platform, deployment: &Deployment, expected: &[(&str, &str)]) {
    let expected = pairs(expected);
    let mut last = Vec::new();
    wait_until(ENDS_WITHIN, || {
        last = runs(platform, deployment);
        last == expected
    });
    assert_eq!(last, expected);
}

fn taken_back_after_post_deploy(platform: &Platform) {
    let visiting = platform.visitors(APP, 20.0);
    let bad = platform.deploy(&all_kinds("version 3", "well", "4"));
    assert!(bad.message().contains("announce"), "{bad}");
    assert!(bad.message().contains("exited with code 4"), "{bad}");
    let back = || {
        let page = platform.get(APP, "/");
        page.is_ok_and(|page| page.status == 200 && page.text.contains("version 1"))
    };
    assert!(
        wait_until(ENDS_WITHIN, back),
        "the version before should serve again"
    );
    expect_runs(
        platform,
        &bad,
        &[
            ("announce", "FAILED"),
            ("migrate", "SUCCEEDED"),
            ("report", "SUCCEEDED"),
        ],
    );
    visiting.stop_unharmed(5);
}

fn by_hand(platform: &Platform) {
    let answer = platform
        .long_json(&["jobs", "run", APP, "announce", "--wait"])
        .expect_success("mainstay jobs run");
    let run = answer.json();
    assert_eq!(run["phase"], "SUCCEEDED", "{run}");
    assert_eq!(run["trigger"]["type"], "MANUAL", "{run}");
    let id = run["id"].as_str().expect("a run has an id");
    let log = platform.text(&["jobs", "logs", APP, id]).stdout;
    assert!(log.contains("job announce sees 'version 1'"), "{log}");
    let refused = platform.text(&["jobs", "cancel", APP, id]);
    assert!(refused.stderr.contains("has ended"), "{}", refused.stderr);
}

/// One that runs too long is ended, and the reason says that the platform did it.
pub(crate) fn a_job_has_a_time_limit(platform: &mut Platform) {
    let mut hangs = job("migrate", "PRE_DEPLOY", "hang");
    hangs["timeout"] = "3s".into();
    hangs["termination"] = json!({ "grace_period_seconds": 1 });
    let bad = platform.deploy(&chores("version 1", vec![hangs]));
    assert_eq!(
        (bad.code(), bad.cause()),
        (Some(Code::ContainerExitNonZero), Some(Cause::JobTimeLimit)),
        "{bad}"
    );
    assert!(bad.message().contains("time limit of 3.0 s"), "{bad}");
    platform.delete(APP);
}

pub(crate) fn a_job_runs_once_although_the_server_was_killed(platform: &mut Platform) {
    let slow = chores("version 1", vec![job("migrate", "PRE_DEPLOY", "slow")]);
    platform.deploy_without_waiting(&slow);
    let mut last = platform.newest_deployment(APP);
    let began = wait_until(GETS_THERE_WITHIN, || {
        last = platform.newest_deployment(APP);
        last.is_final()
            || platform
                .log(APP, last.id(), "deploy")
                .contains("job migrate began")
    });
    assert!(began && !last.is_final(), "{last}");
    platform.kill_server();
    platform.start_server();
    wait_until(ENDS_WITHIN, || {
        last = platform.newest_deployment(APP);
        last.is_final()
    });
    assert_eq!(last.phase(), "ACTIVE", "{last}");
    assert_eq!(runs(platform, &last), pairs(&[("migrate", "SUCCEEDED")]));
    let log = platform.log(APP, last.id(), "deploy");
    assert_eq!(log.matches("job migrate began").count(), 1, "{log}");
    assert!(log.contains("job migrate ended"), "{log}");
    platform.delete(APP);
}

/// From the beginning of a deployment until its jobs are due, at least.
const DEPLOYED_WITHIN: SignedDuration = SignedDuration::from_secs(45);
/// Tries to have a deployment ready before that.
const DEPLOYED_TIMES_MAX: usize = 5;
const DUE_WITHIN: Duration = Duration::from_secs(150);

/// Every hour at this minute, in a zone whose hours begin at another one: 5:45 h before UTC.
fn scheduled(name: &str, behaviour: &str, due: Timestamp) -> Value {
    let minute = (due + SignedDuration::from_mins(45)).strftime("%-M").to_string();
    let mut job = job(name, "SCHEDULED", behaviour);
    job["schedule"] = json!({ "cron": format!("{minute} * * * *"), "time_zone": "Asia/Kathmandu" });
    job["termination"] = json!({ "grace_period_seconds": 1 });
    job
}

/// Three jobs, ACTIVE before they are due.
fn deployed_in_time(platform: &Platform) -> Deployment {
    for _ in 0..DEPLOYED_TIMES_MAX {
        let due = Timestamp::now() + DEPLOYED_WITHIN + SignedDuration::from_mins(1);
        let due = due - SignedDuration::from_secs(due.as_second().rem_euclid(60));
        let jobs =
            ["slow", "hang", "3"].map(|behaviour| scheduled(&format!("job-{behaviour}"), behaviour, due));
        let deployment = platform.deploy_active(&chores("version 1", jobs.to_vec()));
        if Timestamp::now() + SignedDuration::from_secs(10) < due {
            return deployment;
        }
    }
    panic!("no deployment was ACTIVE before its jobs were due");
}

fn runs_of(platform: &Platform, job: &str) -> Vec<Value> {
    let listed = platform
        .json(&["jobs", "list", APP, "--job", job])
        .expect_success("mainstay jobs list");
    listed.json().as_array().cloned().unwrap_or_default()
}

fn await_run(platform: &Platform, job: &str, phase: &str) -> Value {
    let mut last = Vec::new();
    let is_there = |run: &&Value| run["phase"] == phase;
    wait_until(DUE_WITHIN, || {
        last = runs_of(platform, job);
        last.iter().any(|run| is_there(&run))
    });
    let found = last.iter().find(is_there);
    found
        .unwrap_or_else(|| panic!("no run of {job} is {phase}: {last:?}"))
        .clone()
}

/// In the same minute one runs over a killed server, one is skipped because somebody runs it already, and one fails.
pub(crate) fn jobs_run_by_the_clock(platform: &mut Platform) {
    let deployment = deployed_in_time(platform);
    let by_hand = platform
        .json(&["jobs", "run", APP, "job-hang"])
        .expect_success("mainstay jobs run");
    let by_hand = by_hand.json()["id"].as_str().expect("a run has an id").to_owned();

    // A start that is cut off is a lost run: the server is killed when all three have got beyond it.
    let failed = await_run(platform, "job-3", "FAILED");
    let slow = await_run(platform, "job-slow", "RUNNING");
    let slow = slow["id"].as_str().expect("a run has an id").to_owned();
    let log_of_slow = |platform: &Platform| platform.text(&["jobs", "logs", APP, &slow]).stdout;
    let began = wait_until(ENDS_WITHIN, || {
        log_of_slow(platform).contains("job job-slow began")
    });
    assert!(began, "{}", log_of_slow(platform));
    platform.kill_server();
    platform.start_server();

    assert_eq!(failed["reason"]["code"], "ContainerExitNonZero", "{failed}");
    assert_eq!(failed["trigger"]["type"], "SCHEDULED", "{failed}");
    let now = platform.newest_deployment(APP);
    assert_eq!((now.id(), now.phase()), (deployment.id(), "ACTIVE"), "{now}");
    let troubles = now.json["run_reasons"].to_string();
    assert!(
        troubles.contains("job-3") && troubles.contains("exited with code 3"),
        "{troubles}"
    );

    let skipped = await_run(platform, "job-hang", "SKIPPED");
    let note = skipped["note"].as_str().unwrap_or_default();
    assert!(note.contains(&by_hand), "{skipped}");
    let canceled = platform
        .long_json(&["jobs", "cancel", APP, &by_hand])
        .expect_success("mainstay jobs cancel");
    assert_eq!(canceled.json()["phase"], "CANCELED");

    let ended = await_run(platform, "job-slow", "SUCCEEDED");
    assert_eq!(ended["id"], *slow);
    assert_eq!(
        runs_of(platform, "job-slow").len(),
        1,
        "a killed server makes no second run"
    );
    let log = log_of_slow(platform);
    assert_eq!(log.matches("job job-slow began").count(), 1, "{log}");
    assert!(log.contains("job job-slow ended"), "{log}");
    platform.expect_page(APP, "/", "version 1");
    platform.delete(APP);
}
