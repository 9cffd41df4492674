//! A whole Django app, and what its machine may do to it: nothing that was written is lost, and nobody has to lend a hand.

use std::{path::Path, time::Duration};

use mainstay_e2e::{Folder, Page, Platform, python_hello, wait_until};
use serde_json::{Value, json};

const APP: &str = "django";
/// Beside it: two instances that have no data.
const OTHER: &str = "other";
const RECOVERS_WITHIN: Duration = Duration::from_mins(2);
const ENDS_WITHIN: Duration = Duration::from_mins(3);

pub(crate) fn a_django_app_outlives_its_machine(platform: &mut Platform) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/django");
    let first = platform.deploy_directory(&example);
    assert_eq!(
        first.phase(),
        "ACTIVE",
        "{first}\n{}",
        platform.build_log(APP, first.id())
    );
    let migrated = platform.log(APP, first.id(), "deploy");
    assert!(migrated.contains("Applying notes.0001_initial"), "{migrated}");
    platform.expect_page(APP, "/static/notes/style.css", "font-family");
    platform.expect_page(APP, "/static/admin/css/base.css", "color");
    platform.deploy_active(&python_hello(OTHER, "the other").setting("instance_count", 2));
    let mut notes = Notes::default();
    notes.add(platform, "first");

    let again = platform.deploy_directory(&example);
    assert_eq!(again.phase(), "ACTIVE", "{again}");
    notes.are_there(platform);
    notes.add(platform, "redeployed");

    platform.stop_server();
    platform.start_server();
    notes.are_there(platform);
    notes.add(platform, "restarted");

    platform.kill_everything();
    platform.start_server();
    notes.come_back(platform);
    notes.add(platform, "killed");

    platform.switch_off();
    platform.start_server();
    notes.come_back(platform);
    nobody_is_blamed(platform);
    notes.add(platform, "switched off");

    switched_off_amid_a_rollout(platform);
    notes.come_back(platform);
    nothing_ran_again(platform, again.id());
    platform.delete(APP);
    platform.delete(OTHER);
}

/// Lines of the notebook.
#[derive(Default)]
struct Notes(Vec<&'static str>);

impl Notes {
    /// As a visitor's browser does: with the form's token, and the cookie that it belongs to.
    fn add(&mut self, platform: &Platform, text: &'static str) {
        let form = platform.get(APP, "/").expect("the app answers");
        let cookie = between(&form, "set-cookie: csrftoken=", ";");
        let token = between(&form, "name=\"csrfmiddlewaretoken\" value=\"", "\"");
        let answer = platform.post_with(
            APP,
            "/",
            &format!("csrfmiddlewaretoken={token}&text={}", text.replace(' ', "+")),
            &format!("Cookie: csrftoken={cookie}\r\n"),
        );
        let answer = answer.unwrap_or_else(|error| panic!("{APP} takes no note: {error}"));
        assert_eq!(answer.status, 302, "{}", answer.text);
        self.0.push(text);
        self.are_there(platform);
    }

    fn list(&self) -> String {
        self.0.iter().map(|text| format!("<li>{text}</li>")).collect()
    }

    fn are_there(&self, platform: &Platform) {
        platform.expect_page(APP, "/", &self.list());
    }

    /// Of everything, with nobody's help: the notes, the files, and the other app with all of its instances.
    fn come_back(&self, platform: &Platform) {
        let has = |app: &str, path: &str, words: &str| {
            let page = platform.get(app, path);
            page.is_ok_and(|page| page.status == 200 && page.text.contains(words))
        };
        let are_back = || {
            has(APP, "/", &self.list())
                && has(APP, "/static/notes/style.css", "font-family")
                && has(OTHER, "/", "the other")
                && platform.instances(OTHER).len() == 2
        };
        assert!(
            wait_until(RECOVERS_WITHIN, are_back),
            "not all is back: {:?}\n{}",
            platform.get(APP, "/"),
            platform.server_log()
        );
        for app in [APP, OTHER] {
            let deployment = platform.newest_deployment(app);
            assert_eq!(deployment.phase(), "ACTIVE", "{deployment}");
        }
    }
}

/// What stands between two pieces of an answer.
fn between(page: &Page, before: &str, after: &str) -> String {
    let rest = page.text.split_once(before).map(|(_, rest)| rest);
    let found = rest.and_then(|rest| rest.split_once(after));
    let (found, _) = found.unwrap_or_else(|| panic!("{before:?} is not in {}", page.text));
    found.to_owned()
}

/// A machine that went down is no failure of what ran on it.
fn nobody_is_blamed(platform: &Platform) {
    for (app, instances) in [(APP, 1), (OTHER, 2)] {
        let answer = platform.json(&["apps", "events", app]);
        let events = answer.expect_success("mainstay apps events").json();
        let events = events.as_array().expect("a list");
        let ended_with_it = |event: &&Value| {
            event["message"]
                .to_string()
                .contains("when the machine went down")
        };
        let ends: Vec<&Value> = events.iter().filter(ended_with_it).collect();
        assert_eq!(ends.len(), instances, "{events:#?}");
        assert!(
            ends.iter().all(|event| event.get("reason_code").is_none()),
            "{ends:#?}"
        );
    }
}

/// The deployment that was under way goes on where it was, and ends well.
fn switched_off_amid_a_rollout(platform: &mut Platform) {
    let patient = json!({ "period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 50 });
    let slow: Folder = python_hello(OTHER, "the other, renewed")
        .setting("instance_count", 2)
        .setting(
            "run_command",
            "sh -c 'echo waking up; sleep 3; exec python3 server.py'",
        )
        .setting("health_check", patient);
    platform.deploy_without_waiting(&slow);
    let mut last = platform.newest_deployment(OTHER);
    let arrived = wait_until(ENDS_WITHIN, || {
        last = platform.newest_deployment(OTHER);
        last.is_final() || platform.log(OTHER, last.id(), "run").contains("waking up")
    });
    assert!(arrived && !last.is_final(), "it should be starting: {last}");
    let under_way = last.id().to_owned();
    platform.switch_off();
    platform.start_server();
    wait_until(ENDS_WITHIN, || {
        last = platform.newest_deployment(OTHER);
        last.is_final()
    });
    assert_eq!(last.id(), under_way, "another deployment began by itself");
    assert_eq!(last.phase(), "ACTIVE", "{last}\n{}", platform.server_log());
    platform.expect_page(OTHER, "/", "the other, renewed");
}

/// A job is done once for its deployment, whatever became of the machine.
fn nothing_ran_again(platform: &Platform, deployment: &str) {
    let log = platform.log(APP, deployment, "deploy");
    let runs = log.matches("Running migrations").count();
    assert_eq!(runs, 1, "{log}");
}
