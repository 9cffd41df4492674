//! The same commit again.

use std::cell::RefCell;

use jiff::Timestamp;
use mainstay_diagnosis::Code;
use serde_json::json;

use super::{
    super::{
        World,
        measure::{Series, in_turn},
        shop::{
            self,
            in_docker::{Containers, DockerRedeploy},
        },
        table::{Line, Target},
    },
    DECISION_MS_MOST, ROUNDS,
    stages::{self, Redeploy},
};
use crate::{Deployment, Platform};

const APP: &str = "unchanged";

pub(in super::super) fn run_section(world: &mut World) -> Vec<Line> {
    let rounds = world.rounds(ROUNDS);
    println!(
        "An Express app, deployed again from the same commit of its git repository: the build is the one before, the instance is new."
    );
    println!(
        "Ours: `mainstay deployments create` until the router answers from the new instance. Docker: `docker build` with every"
    );
    println!(
        "step cached (BuildKit), `docker run`, until the container answers. {rounds} rounds in turn; median (least–most):\n"
    );
    let (platform, docker, shop) = world.both_with_shop();
    let folder = shop.folder().clone().named(APP);
    let repository = folder.in_git();
    create(platform, &folder, repository.path());
    let containers = RefCell::new(Containers::new(docker, "unchanged"));
    let version = "the same";
    shop::change(shop.directories().1, version);
    let words = shop::words(version);
    let (ours, theirs) = in_turn(
        rounds,
        || redeploy(platform),
        || containers.borrow_mut().redeploy(shop.directories().1, &words),
    );
    drop(containers);
    platform.delete(APP);
    report(&ours, &theirs)
}

/// The spec lies beside the files, and clones them by their path.
fn create(platform: &Platform, folder: &crate::Folder, repository: &std::path::Path) {
    let url = format!("file://{}", repository.display());
    let spec = folder
        .clone()
        .setting("git", json!({ "repo_clone_url": url, "branch": "main" }))
        .spec
        .to_string();
    let file = repository.join(".git/spec.json");
    std::fs::write(&file, spec).expect("our own directory");
    let answer = platform.long_json(&["apps", "create", "--spec", &file.display().to_string(), "--wait"]);
    let deployment = Deployment { json: answer.json() };
    assert_eq!(deployment.phase(), "ACTIVE", "{deployment}\n{}", answer.stderr);
}

fn redeploy(platform: &Platform) -> Redeploy {
    let before = platform.get(APP, "/").expect("the app serves");
    let boot = boot(&before.text).to_owned();
    let began = Timestamp::now();
    let _ = platform
        .json(&["deployments", "create", APP])
        .expect_success("mainstay deployments create");
    let _ = platform.wait_for_page(APP, &|text| text.contains("boot ") && self::boot(text) != boot);
    let answered = Timestamp::now();
    let deployment = platform.await_newest_deployment(APP);
    assert!(
        deployment.notes(Code::PreviousBuildReused),
        "it was built again: {:#}",
        deployment.json
    );
    Redeploy {
        began,
        answered,
        deployment,
    }
}

/// Each start of the app has its own.
fn boot(page: &str) -> &str {
    page.split_once("<!-- boot ")
        .map_or("", |(_, rest)| rest.split(' ').next().unwrap_or_default())
}

fn report(ours: &[Redeploy], theirs: &[DockerRedeploy]) -> Vec<Line> {
    let decision = Series::of(ours.iter().map(Redeploy::decision_ms));
    let total = Series::of(ours.iter().map(Redeploy::total_ms));
    let built = Series::of(theirs.iter().map(|redeploy| redeploy.built));
    let answered = Series::of(theirs.iter().map(|redeploy| redeploy.answered));
    println!("Ours: decided after {decision}, answered after {total}; of that");
    stages::show(&ours.iter());
    println!("Docker: built after {built}, answered after {answered}");
    let line = |name: &str, ours: f64, theirs: f64, other: &str, target| Line {
        name: format!("unchanged redeploy: {name}"),
        unit: "ms".to_owned(),
        ours,
        theirs: Some(theirs),
        other: other.to_owned(),
        target,
    };
    vec![
        line(
            "decision not to build",
            decision.median(),
            built.median(),
            "docker build, all cached",
            Target::Most(DECISION_MS_MOST),
        ),
        line(
            "until it answers",
            total.median(),
            answered.median(),
            "docker build + run",
            Target::None,
        ),
    ]
}
