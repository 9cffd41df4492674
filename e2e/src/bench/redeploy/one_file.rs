//! One changed file of a Node app.

use std::cell::{Cell, RefCell};

use jiff::Timestamp;

use super::{
    super::{
        World,
        measure::{Series, in_turn},
        shop::{
            self,
            in_docker::{Containers, DockerRedeploy},
            told,
        },
        table::{Line, Target},
    },
    OVERHEAD_MS_MOST, ROUNDS,
    stages::{self, Redeploy},
};
use crate::Platform;

/// A deployment with what the app said of itself.
struct Measured {
    redeploy: Redeploy,
    own_build_ms: f64,
    own_boot_ms: f64,
}

impl Measured {
    /// All that is neither the app's own build nor its own start.
    fn overhead_ms(&self) -> f64 {
        self.redeploy.total_ms() - self.own_build_ms - self.own_boot_ms
    }
}

pub(in super::super) fn run_section(world: &mut World) -> Vec<Line> {
    let rounds = world.rounds(ROUNDS);
    println!(
        "An Express app of which one page is changed: its build renders the pages anew, the packages stay."
    );
    println!(
        "Ours: `mainstay deploy` of the folder until the router answers with the new page. Docker: `docker build` (BuildKit, packages"
    );
    println!(
        "cached), `docker run`, until the container answers. Own build and own boot are what the app's programs say of themselves;"
    );
    println!(
        "overhead is all the rest, the command line programs' time too. {rounds} rounds in turn; median (least–most):\n"
    );
    let (platform, docker, shop) = world.both_with_shop();
    let (ours_in, theirs_in) = shop.directories();
    let containers = RefCell::new(Containers::new(docker, "one-file"));
    let version = Cell::new(0);
    let next = || {
        version.set(version.get() + 1);
        format!("{} of this run", version.get())
    };
    let (ours, theirs) = in_turn(
        rounds,
        || redeploy(platform, ours_in, &next()),
        || {
            let version = next();
            shop::change(theirs_in, &version);
            containers
                .borrow_mut()
                .redeploy(theirs_in, &shop::words(&version))
        },
    );
    report(&ours, &theirs)
}

fn redeploy(platform: &Platform, directory: &std::path::Path, version: &str) -> Measured {
    shop::change(directory, version);
    let words = shop::words(version);
    let began = Timestamp::now();
    let path = directory.display().to_string();
    let _ = platform
        .text(&["deploy", "--no-wait", &path])
        .expect_success("mainstay deploy");
    let _ = platform.wait_for_page(shop::NAME, &|text| text.contains(&words));
    let answered = Timestamp::now();
    let deployment = platform.await_newest_deployment(shop::NAME);
    let log = |kind| platform.log(shop::NAME, deployment.id(), kind);
    Measured {
        own_build_ms: told(&log("build"), "build"),
        own_boot_ms: told(&log("run"), "boot"),
        redeploy: Redeploy {
            began,
            answered,
            deployment,
        },
    }
}

fn report(ours: &[Measured], theirs: &[DockerRedeploy]) -> Vec<Line> {
    let series = |value: fn(&Measured) -> f64| Series::of(ours.iter().map(value));
    let (total, overhead) = (series(|it| it.redeploy.total_ms()), series(Measured::overhead_ms));
    let (own_build, own_boot) = (series(|it| it.own_build_ms), series(|it| it.own_boot_ms));
    println!(
        "Ours: answered after {total}; own build {own_build}, own boot {own_boot}, overhead {overhead}. By the API's times:"
    );
    stages::show(&ours.iter().map(|it| &it.redeploy));
    let series = |value: fn(&DockerRedeploy) -> f64| Series::of(theirs.iter().map(value));
    let (built, answered) = (series(|it| it.built), series(|it| it.answered));
    let their_overhead = series(DockerRedeploy::overhead);
    println!(
        "Docker: built after {built}, answered after {answered}; own build {}, own boot {}, overhead {their_overhead}",
        series(|it| it.own_build),
        series(|it| it.own_boot)
    );
    let line = |name: &str, ours: &Series, theirs: &Series, target| Line {
        name: format!("one-file redeploy: {name}"),
        unit: "ms".to_owned(),
        ours: ours.median(),
        theirs: Some(theirs.median()),
        other: "docker build + run".to_owned(),
        target,
    };
    vec![
        line("until it answers", &total, &answered, Target::None),
        line(
            "overhead",
            &overhead,
            &their_overhead,
            Target::Most(OVERHEAD_MS_MOST),
        ),
    ]
}
