//! Good and bad snapshots.

use super::{
    app::App,
    harness::{HOST, Router, served_by},
};

#[test]
fn a_bad_snapshot_leaves_the_last_good_one_in_force_and_is_told() {
    let app = App::start("web");
    let mut router = Router::start(served_by(&[&app]));
    for (text, error) in [
        ("{\"version\": 2, \"hosts\"", "no valid JSON"),
        (
            "{\"version\": 2, \"hosts\": {\"A\": {\"app\": \"a\", \"routes\": []}}, \"candidates\": {}}",
            "hosts: `A`",
        ),
    ] {
        std::fs::write(router.snapshot_path(), text).unwrap();
        let told = |status: &mainstay_router::control::Status| {
            status
                .snapshot_error
                .as_ref()
                .is_some_and(|told| told.contains(error))
        };
        router.wait_for("the error is told", told);
        assert_eq!(router.connect().get(HOST, "/").text(), "web /");
        assert_eq!(router.status().version, 1);
    }
    std::fs::remove_file(router.snapshot_path()).unwrap();
    router.wait_for("the missing file is told", |status| {
        status
            .snapshot_error
            .as_ref()
            .is_some_and(|error| error.contains("cannot read"))
    });
    assert_eq!(router.connect().get(HOST, "/").text(), "web /");
    router.route(served_by(&[&app]));
    assert_eq!(router.status().snapshot_error, None);
}

#[test]
fn a_snapshot_comes_into_force_without_being_asked_for() {
    let (old, new) = (App::start("old"), App::start("new"));
    let mut router = Router::start(served_by(&[&old]));
    router.write(served_by(&[&new]));
    router.wait_for("the new version", |status| status.version == 2);
    super::harness::wait_until("the new app answers", || {
        router.connect().get(HOST, "/").text() == "new /"
    });
}
